package bridge

import (
	"strings"

	"headgate/broker/topic"
)

const (
	retainKeep  = "keep"
	retainStrip = "strip"
)

// Map gives where a message of a local topic goes upstream: its topic there,
// the QoS used and whether a RETAIN flag is kept. The first entry of up whose
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
	return string(remote), byte(*u.QoS), u.Retain == retainKeep, ok
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
	n := len(u.RemotePrefix) + len(rest)
	if !ok || n == 0 || n > topic.MaxBytes {
		return dst, false
	}
	return append(append(dst, u.RemotePrefix...), rest...), true
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
