package bridge

// progress is how far one message of the Source has come.
type progress uint8

const (
	unknown   progress = iota
	writing            // QoS 0: in the buffer, let go when it is written
	sent1              // QoS 1: waits for PUBACK
	sent2              // QoS 2: waits for PUBREC
	recording          // QoS 2: PUBREC came and is being made durable
	released           // QoS 2: PUBREL sent, waits for PUBCOMP
	refused            // the upstream was full: to be sent again
	done
)

// flight is what has been taken from the Source and is not let go from its
// front: a ring in the order of sending. It is never longer than limit, done
// ones behind an undone one included, so that what the Source keeps track of and
// the span of packet identifiers are bounded however late the first one is
// answered.
type flight struct {
	limit int
	ring  []flown
	head  int
	n     int

	at map[uint16]int // identifier -> place in ring, of those not done

	refused int // of these
	exact   int // of these, those of QoS 2
	replays int // of these, those of the backlog
}

type flown struct {
	packetID uint16
	progress progress
	replay   bool   // it is of the backlog
	topic    string // the local name, for the log
}

func newFlight(limit int) flight {
	return flight{limit: limit, at: make(map[uint16]int)}
}

func (f *flight) full() bool    { return f.n >= f.limit }
func (f *flight) undone() int   { return len(f.at) }
func (f *flight) waiting() bool { return len(f.at) > f.refused } // for anything but to be sent again

// add puts a message at the end. There is room: the caller has asked full.
func (f *flight) add(packetID uint16, p progress, replay bool, topic string) {
	if p == done && f.n == 0 {
		return
	}
	if f.n == len(f.ring) {
		f.grow()
	}
	i := (f.head + f.n) % len(f.ring)
	f.ring[i] = flown{packetID, p, replay, topic}
	f.n++
	if p != done {
		f.at[packetID] = i
		if replay {
			f.replays++
		}
	}
	if p == sent2 || p == released {
		f.exact++
	}
}

func (f *flight) grow() {
	ring := make([]flown, min(max(64, 2*len(f.ring)), f.limit))
	for i := range f.n {
		ring[i] = f.ring[(f.head+i)%len(f.ring)]
		if ring[i].progress != done {
			f.at[ring[i].packetID] = i
		}
	}
	f.ring, f.head = ring, 0
}

// get gives the undone message of an identifier, nil for none.
func (f *flight) get(packetID uint16) *flown {
	i, ok := f.at[packetID]
	if !ok {
		return nil
	}
	return &f.ring[i]
}

// finish marks a message as done and shortens the ring.
func (f *flight) finish(m *flown) {
	delete(f.at, m.packetID)
	switch m.progress {
	case sent2, recording, released:
		f.exact--
	case refused:
		f.refused--
	}
	if m.replay {
		f.replays--
	}
	m.progress, m.topic = done, ""
	for f.n > 0 && f.ring[f.head].progress == done {
		f.head = (f.head + 1) % len(f.ring)
		f.n--
	}
}

// refuse marks a message as one to be sent again.
func (f *flight) refuse(m *flown) {
	if m.progress == sent2 {
		f.exact--
	}
	m.progress = refused
	f.refused++
}

// first gives the progress of the oldest one, unknown when there is none.
func (f *flight) first() progress {
	if f.n == 0 {
		return unknown
	}
	return f.ring[f.head].progress
}

// clear forgets all.
func (f *flight) clear() {
	f.head, f.n, f.refused, f.exact, f.replays = 0, 0, 0, 0, 0
	clear(f.at)
}
