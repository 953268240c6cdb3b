package bridge

import (
	"strings"
	"time"

	"headgate/broker/topic"
	"headgate/gateway/format"
)

const (
	retainKeep  = "keep"
	retainStrip = "strip"
)

// Map gives where a message of a local topic goes upstream: its topic there,
// the highest QoS used and whether a RETAIN flag is kept. The first entry of up whose
// filter matches decides; ok is false when none does, when Skip takes the topic
// out, or when nothing valid is left of the name without its prefix. It may be
// called after SetDefaults.
func (c *Config) Map(localTopic string) (remoteTopic string, qos byte, keepRetain, ok bool) {
	if c.Skip != nil && c.Skip(localTopic) {
		return "", 0, false, false
	}
	u := c.match(localTopic)
	if u == nil {
		return "", 0, false, false
	}
	remote, ok := u.appendRemote(nil, localTopic)
	return string(remote), u.Highest(), u.Retain == retainKeep, ok
}

// match finds the entry of up that decides over a local topic, nil for none.
func (c *Config) match(localTopic string) *Up {
	for i := range c.Up {
		if topic.Match(c.Up[i].Filter, localTopic) {
			return &c.Up[i]
		}
	}
	return nil
}

// appendRemote appends the upstream's name of a local topic to dst. It fails
// where the name has not the prefix (the filter a/# matches the topic a too,
// which has no a/ to take off) and where nothing or too much is left.
func (u *Up) appendRemote(dst []byte, localTopic string) (remote []byte, ok bool) {
	rest, ok := strings.CutPrefix(localTopic, u.LocalPrefix)
	if ok && u.Topic != "" {
		return u.template.append(dst, rest)
	}
	n := len(u.RemotePrefix) + len(rest)
	if !ok || n == 0 || n > topic.MaxBytes {
		return dst, false
	}
	return append(append(dst, u.RemotePrefix...), rest...), true
}

// translate puts topic and payload of a message into d.publish as the upstream
// has them; s is the sample that it is, where that is to go in another format, or
// nil. It says in words why the upstream cannot get it, "" where it can, and
// nothing where the configuration makes nothing of it.
func (d *drainer) translate(up *Up, o *Outgoing, s *format.Sample) string {
	p := &d.publish
	var ok bool
	if up.encoded {
		var name string
		if name, p.Payload, ok = encodeBoard(strings.TrimPrefix(o.Topic, up.LocalPrefix), o.Payload, time.Now().Add(-o.Age)); !ok {
			return "it is no JSON, or its topic has no device and key"
		}
		p.Topic = append(d.topic[:0], name...)
	} else {
		local := o.Topic
		if p.Payload = o.Payload; s != nil {
			if why := d.recode(up, s); why != "" {
				return why
			}
			if up.Format == format.JSONDevice {
				local = s.DeviceTopic
			}
		}
		if p.Topic, ok = up.appendRemote(d.topic[:0], local); !ok {
			return "the topic cannot be mapped"
		}
	}
	d.topic = p.Topic
	return d.b.service.refuses(p.Topic, len(p.Payload))
}

// remoteFilter gives one that matches all that the entry sends up.
func (u *Up) remoteFilter() string {
	rest := strings.TrimPrefix(u.Filter, u.LocalPrefix)
	if u.encoded {
		return "v1/gateway/+"
	}
	if u.Topic != "" {
		return u.template.filter(rest)
	}
	return u.RemotePrefix + rest
}

// Highest is the QoS that a message of the entry has upstream at most.
func (u *Up) Highest() byte {
	if u.MaxQoS != nil {
		return byte(*u.MaxQoS)
	}
	return byte(*u.QoS)
}

// qosOf gives the QoS upstream of a message that was published with another.
func (u *Up) qosOf(published byte) byte {
	if u.MaxQoS != nil {
		return min(published, byte(*u.MaxQoS))
	}
	return byte(*u.QoS)
}

// localTopic gives the local name of an upstream topic, by the first entry of
// down that matches and fits. Several subscriptions of ours may overlap, and
// the upstream may send one copy or one each: the mapping is by the topic
// alone, so that copies of one message do not land in several places.
func (c *Config) localTopic(remoteTopic string) (local string, d *Down, ok bool) {
	for i := range c.Down {
		d := &c.Down[i]
		_, filter, _, err := topic.SplitShared(d.Filter)
		if err != nil || !topic.Match(filter, remoteTopic) {
			continue
		}
		rest, ok := strings.CutPrefix(remoteTopic, d.RemotePrefix)
		local = d.LocalPrefix + rest
		if !ok || local == "" || len(local) > topic.MaxBytes {
			continue
		}
		return local, d, true
	}
	return "", nil, false
}
