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

// sample reads the gateway's JSON where it goes up in another format; nil for a
// message that is no sample of the gateway, and where it goes as it is.
func (c *Config) sample(up *Up, o *Outgoing) *format.Sample {
	if up.encode == nil || c.Origin == nil {
		return nil
	}
	from, pointName, ok := c.Origin(o.Topic)
	s := new(format.Sample)
	if !ok || !format.Parse(o.Payload, s) {
		return nil
	}
	s.Origin, s.Point = from, pointName
	return s
}

// nothing is why a message does not go up of which a template makes nothing.
const nothing = "nothing"

// recode puts into d.publish the payload of a sample in the format of the entry. It
// says in words why there is nothing to send, "" where there is.
func (d *drainer) recode(up *Up, s *format.Sample) string {
	payload, err := up.encode(d.payload[:0], s)
	if err == format.ErrNothing {
		return nothing
	}
	if err != nil {
		const reason = "the template fails"
		if times, ok := d.b.repeats.note(reason + " in words"); ok {
			d.b.log.Warn(reason, "topic", s.Topic, "err", err, "count", times)
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
