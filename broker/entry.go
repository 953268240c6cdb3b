package broker

import (
	"bytes"
	"slices"
	"strings"

	"headgate/broker/packet"
	"headgate/broker/topic"
)

// entry is how a connection came in, and what its listener says of it.
type entry struct {
	local    bool             // from this machine
	nameless bool             // it may come without a user name
	versions []packet.Version // that are taken; nil: all
	mount    string           // stands before all topics of its clients; ends with "/"
	named    bool             // its certificate gives the user's name: username
	username string
}

func (e *entry) allows(v packet.Version) bool {
	return e.versions == nil || slices.Contains(e.versions, v)
}

// mountName gives a topic name of the client's as the broker has it.
func (e *entry) mountName(name []byte) []byte {
	if e.mount == "" || bytes.HasPrefix(name, []byte(SysPrefix)) {
		return name
	}
	return append([]byte(e.mount), name...)
}

// mountFilter does it for a topic filter.
func (e *entry) mountFilter(filter string) string {
	group, inner, shared, err := topic.SplitShared(filter)
	switch {
	case e.mount == "" || err != nil || strings.HasPrefix(inner, SysPrefix):
		return filter
	case shared:
		return "$share/" + group + "/" + e.mount + inner
	}
	return e.mount + filter
}

// unmount gives a message as the client has it.
func (e *entry) unmount(m *message) *message {
	if e.mount == "" {
		return m
	}
	c := *m
	c.topic = bytes.TrimPrefix(m.topic, []byte(e.mount))
	return &c
}
