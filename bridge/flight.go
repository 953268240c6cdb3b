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
	gathered           // in a batch that is not sent yet
	carried            // in a batch that is: the PUBACK of its first message counts
	fenced             // of an edge node: waits for the PINGRESP of its fence
	refused            // the upstream was full: to be sent again
	done
)

// flight is what has been taken from the Source and is not let go from its
// front: a ring in the order of sending. It is never longer than limit, done
// ones behind an undone one included, so that what the Source keeps track of and
// the span of packet identifiers are bounded however late the first one is
// answered.
type flight struct {
	limit  int
	window int // PUBLISHes that may be unanswered
	ring   []flown
	head   int
	n      int

	at      map[uint16]int      // identifier -> place in ring, of those not done
	carries map[uint16][]uint16 // of the first message of a batch: the others

	refused  int // of these
	gathered int // of these
	carried  int // of these
	exact    int // of these, those of QoS 2
	replays  int // of these, those of the backlog
}

type flown struct {
	packetID uint16
	progress progress
	replay   bool   // it is of the backlog
	topic    string // the local name, for the log
}

func newFlight(limit, window int) flight {
	return flight{limit: limit, window: window, at: make(map[uint16]int), carries: make(map[uint16][]uint16)}
}

func (f *flight) spanned() bool   { return f.n >= f.limit } // no more may be taken from the Source
func (f *flight) full() bool      { return f.unanswered() >= f.window }
func (f *flight) undone() int     { return len(f.at) }
func (f *flight) unanswered() int { return len(f.at) - f.gathered - f.carried } // PUBLISHes
func (f *flight) waiting() bool   { return len(f.at)-f.gathered > f.refused }   // for anything but to be sent, again or at all

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
	switch p {
	case sent2, released:
		f.exact++
	case gathered:
		f.gathered++
	}
}

// load marks gathered messages as sent in one PUBLISH, under the identifier of the
// first one.
func (f *flight) load(ids []uint16, qos byte) {
	f.gathered -= len(ids)
	for i, id := range ids {
		m := f.get(id)
		switch {
		case qos == 0:
			m.progress = writing
		case i == 0:
			m.progress = sent1
		default:
			m.progress = carried
			f.carried++
		}
	}
	if qos > 0 && len(ids) > 1 {
		f.carries[ids[0]] = ids[1:]
	}
}

// unload gives what went with a message in one batch, once.
func (f *flight) unload(packetID uint16) []uint16 {
	ids := f.carries[packetID]
	delete(f.carries, packetID)
	return ids
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
	case gathered:
		f.gathered--
	case carried:
		f.carried--
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
	switch m.progress {
	case sent2:
		f.exact--
	case carried:
		f.carried--
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
	f.head, f.n, f.refused, f.gathered, f.carried, f.exact, f.replays = 0, 0, 0, 0, 0, 0, 0
	clear(f.at)
	clear(f.carries)
}
