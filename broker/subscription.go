package broker

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// subscription is what one SUBSCRIBE asked for one topic filter.
type subscription struct {
	qos               byte
	noLocal           bool
	retainAsPublished bool
	retainHandling    byte
	id                uint32 // subscription identifier, 0: none

	// raise gives every message that matches the subscription's QoS, also one
	// that was published with less: a bridge's.
	raise bool
}

// subscriptions are a session's, in the order of their topic filters: most clients
// have few.
type subscriptions []filtered

type filtered struct {
	filter string
	subscription
}

func (ss subscriptions) find(filter string) (at int, had bool) {
	return slices.BinarySearchFunc(ss, filter, func(f filtered, filter string) int { return cmp.Compare(f.filter, filter) })
}

func (ss *subscriptions) set(filter string, sub subscription) (had bool) {
	at, had := ss.find(filter)
	if had {
		(*ss)[at].subscription = sub
	} else {
		*ss = slices.Insert(*ss, at, filtered{filter, sub})
	}
	return had
}

func (ss *subscriptions) remove(filter string) (had bool) {
	at, had := ss.find(filter)
	if had {
		*ss = slices.Delete(*ss, at, at+1)
	}
	return had
}

func (s subscription) encode() []byte {
	flags := s.qos | s.retainHandling<<4
	if s.noLocal {
		flags |= 1 << 2
	}
	if s.retainAsPublished {
		flags |= 1 << 3
	}
	return binary.BigEndian.AppendUint32([]byte{stateFormat, flags}, s.id)
}

func decodeSubscription(b []byte) (s subscription, err error) {
	if len(b) != 6 || b[0] != stateFormat {
		return s, errState
	}
	f := b[1]
	return subscription{qos: f & 3, noLocal: f&(1<<2) != 0, retainAsPublished: f&(1<<3) != 0,
		retainHandling: f >> 4, id: binary.BigEndian.Uint32(b[2:])}, nil
}
