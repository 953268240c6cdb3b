package bridge

import (
	"fmt"

	"headgate/broker/packet"
	"headgate/gateway/format"
)

// setEncoders makes what an entry of Up that has another format needs. Up is the
// bridge's own from then on.
func (c *Config) setEncoders() error {
	up := make([]Up, len(c.Up))
	for i, u := range c.Up {
		if u.recodes() {
			e, err := format.New(u.Config)
			if err != nil {
				return fmt.Errorf("up[%d].%w", i, err)
			}
			u.encode, u.contentType = e.Append, e.ContentType()
		}
		up[i] = u
	}
	c.Up = up
	return nil
}

// recodes says that the samples of the gateway go up in another format than the one
// that they have here.
func (u *Up) recodes() bool { return u.Format != "" && u.Format != format.JSON }

// sample reads the gateway's JSON into s; false for a message that is no sample
// of the gateway.
func (c *Config) sample(o *Outgoing, s *format.Sample) bool {
	if c.Origin == nil {
		return false
	}
	from, pointName, ok := c.Origin(o.Topic)
	if !ok || !format.Parse(o.Payload, s) {
		return false
	}
	s.Origin, s.Point = from, pointName
	return true
}

// nothing is why a message does not go up of which a template makes nothing.
const nothing = "nothing"

// recode puts into d.publish the payload of a sample in the format of the entry.
// What is no sample of the gateway stays as it is. It says in words why there is
// nothing to send, "" where there is.
func (d *drainer) recode(up *Up, o *Outgoing) string {
	var s format.Sample
	if up.encode == nil || !d.b.cfg.sample(o, &s) {
		return ""
	}
	payload, err := up.encode(d.payload[:0], &s)
	if err == format.ErrNothing {
		return nothing
	}
	if err != nil {
		const reason = "the template fails"
		if times, ok := d.b.repeats.note(reason + " in words"); ok {
			d.b.log.Warn(reason, "topic", o.Topic, "err", err, "count", times)
		}
		return reason
	}
	d.payload, d.publish.Payload = payload, payload
	setContentType(&d.publish.Properties, up.contentType)
	return ""
}

func setContentType(p *packet.Properties, contentType string) {
	if contentType != "" {
		p.ContentType = []byte(contentType)
		p.Set(packet.PropContentType)
	}
}
