package broker

import (
	"encoding/binary"
	"time"

	"headgate/broker/packet"
)

// stage gathers what a batch of one publisher sends to clients that are there:
// each message is encoded once for all who get it in the same form, and each
// client is handed its part of the whole batch at once, in the order in which it
// was published.
type stage struct {
	forms    []form
	outlets  map[*session]*outlet // of those that topics were found to go to
	lent     []*outlet            // with something that is not handed over yet
	messages []message            // of forms with QoS 1 or 2, for clients without room in flight
	clones   map[int]*message     // of messages
	bytes    int                  // in forms
	number   uint64               // of the message that is being routed
	kept     uint64               // number of the last of messages
}

// form is how messages look to all clients of a kind: packets, one after another.
type form struct {
	v5      bool
	qos     byte
	retain  bool
	buf     []byte
	packets []stagedPacket
	newest  uint64 // number of the message of the last packet
}

// stagedPacket is a packet in a form's buf, from the end of the one before.
type stagedPacket struct {
	end     int
	id      int // where in it its packet identifier goes; 0: it has none
	payload int // bytes, with those of all before it
	message int // of stage.messages

	// A large packet has memory of its own, in which all who get it share it, and
	// is not in buf.
	large []byte
}

// outlet is a session that gets messages of this publisher.
type outlet struct {
	session *session
	conn    *conn // that spans are for
	spans   []span

	found uint64 // the search that found it last, and where it is in what that found
	at    int
}

// span is packets first to end-1 of a form.
type span struct{ form, first, end int }

// maxStaged is the most that is staged before it is handed over, in bytes.
const maxStaged = 64 << 10

// outlet gives the session's, to be remembered until forget.
func (st *stage) outlet(s *session) *outlet {
	o := st.outlets[s]
	if o == nil {
		if st.outlets == nil {
			st.outlets = make(map[*session]*outlet)
		}
		o = &outlet{session: s}
		st.outlets[s] = o
	}
	return o
}

// add puts m's packet into o for c. A client that has forms of its own is not
// for it. It is false for a packet that is too large for the client.
func (st *stage) add(o *outlet, c *conn, m *message, d delivery, now time.Time) bool {
	at := st.form(c.version == packet.V5, d)
	f := &st.forms[at]
	if f.newest != st.number {
		st.encode(f, m, d, now)
	}
	n := len(f.packets)
	if c.maxPacket > 0 && f.size(n-1, n) > c.maxPacket { // [MQTT-3.1.2-24]
		return false
	}
	if len(o.spans) == 0 {
		o.conn = c
		st.lent = append(st.lent, o)
	} else if s := &o.spans[len(o.spans)-1]; s.form == at && s.end == n-1 && f.packets[n-1].large == nil && f.packets[n-2].large == nil {
		s.end = n
		return true
	}
	o.spans = append(o.spans, span{at, n - 1, n})
	return true
}

// form finds the one for d, or makes it.
func (st *stage) form(v5 bool, d delivery) int {
	for i := range st.forms {
		if f := &st.forms[i]; f.v5 == v5 && f.qos == d.qos && f.retain == d.retain {
			return i
		}
	}
	st.forms = append(st.forms, form{v5: v5, qos: d.qos, retain: d.retain})
	return len(st.forms) - 1
}

func (st *stage) encode(f *form, m *message, d delivery, now time.Time) {
	version := packet.V311
	if f.v5 {
		version = packet.V5
	}
	size := m.publishSize(version, d)
	p := stagedPacket{end: len(f.buf), payload: f.payload(len(f.packets)) + len(m.payload)}
	var b []byte
	if size > readRoom {
		p.large = m.appendPublish(make([]byte, 0, size), version, d, now)
		b = p.large
	} else {
		f.buf = m.appendPublish(f.buf, version, d, now)
		b = f.buf[p.end:]
		p.end = len(f.buf)
	}
	if f.qos > 0 {
		p.id = idPlace(b, len(m.topic))
		p.message = st.keep(m)
	}
	f.packets = append(f.packets, p)
	f.newest = st.number
	st.bytes += size
}

// idPlace is where in a PUBLISH its packet identifier is. [MQTT 3.3.2.2]
func idPlace(b []byte, topic int) int {
	at := 1
	for b[at] >= 0x80 { // the Remaining Length
		at++
	}
	return at + 1 + 2 + topic
}

// keep gives m's place in messages; forms of two kinds share it.
func (st *stage) keep(m *message) int {
	if st.kept == st.number {
		return len(st.messages) - 1
	}
	st.kept = st.number
	k := *m
	k.props = append([]byte(nil), m.props...) // their room is used again for the next message
	st.messages = append(st.messages, k)
	return len(st.messages) - 1
}

// clone gives a message that all who have to wait for it share.
func (st *stage) clone(i int) *message {
	if st.clones == nil {
		st.clones = make(map[int]*message)
	}
	m := st.clones[i]
	if m == nil {
		m = st.messages[i].clone()
		st.clones[i] = m
	}
	return m
}

// bytes gives packets first to end-1, which are one if it is large.
func (f *form) bytes(first, end int) []byte {
	if large := f.packets[first].large; large != nil {
		return large
	}
	return f.buf[f.start(first):f.packets[end-1].end]
}

// size is how many bytes they are.
func (f *form) size(first, end int) int { return len(f.bytes(first, end)) }

// start is where packet i begins.
func (f *form) start(i int) int {
	if i == 0 {
		return 0
	}
	return f.packets[i-1].end
}

// payload is how many bytes the payloads of the first n packets have.
func (f *form) payload(n int) int {
	if n == 0 {
		return 0
	}
	return f.packets[n-1].payload
}

// reset empties it after all has been handed over. Much room is let go.
func (st *stage) reset() {
	for i := range st.forms {
		f := &st.forms[i]
		clear(f.packets)
		f.buf, f.packets, f.newest = f.buf[:0], f.packets[:0], 0
		if cap(f.buf) > 2*maxStaged {
			f.buf = nil
		}
	}
	clear(st.messages)
	clear(st.clones)
	clear(st.lent)
	st.lent, st.messages, st.bytes = st.lent[:0], st.messages[:0], 0
}

// accept takes what is staged for c, as far as there is room for it.
func (c *conn) accept(st *stage, spans []span) (r received) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.out.len()
	size := 0
	for _, s := range spans {
		f := &st.forms[s.form]
		if f.packets[s.first].large == nil {
			size += f.size(s.first, s.end)
		}
	}
	if !c.last {
		c.out.expect(min(size, readRoom))
	}
	for _, s := range spans {
		f := &st.forms[s.form]
		if f.qos == 0 && c.acceptBytes(f, s.first, s.end) {
			continue
		}
		for i := s.first; i < s.end; i++ {
			if f.qos == 0 && !c.acceptBytes(f, i, i+1) || f.qos > 0 && !c.acceptOne(st, f, i) {
				r.dropped++
			}
		}
	}
	if c.out.len() > before {
		r.wake, c.signaled = !c.signaled, true
		r.behind = c.behind()
	}
	return r
}

// received is what has become of what a client was handed.
type received struct {
	dropped int64
	wake    bool // the caller must wake the writer
	behind  bool // the publisher is to wait a moment: see ebb
}

// acceptBytes takes packets of QoS 0, all or none. The caller holds c.mu.
func (c *conn) acceptBytes(f *form, first, end int) bool {
	b := f.bytes(first, end)
	if !c.roomFor(len(b)) {
		return false
	}
	if f.packets[first].large != nil {
		c.out.share(b)
	} else {
		c.out.write(b)
	}
	n := int64(end - first)
	c.sent.add(tally{packets: n, messages: n, payload: int64(f.payload(end) - f.payload(first))})
	return true
}

// roomFor says whether a packet may be added to what waits for the client, and
// charges for it. The caller holds c.mu.
func (c *conn) roomFor(size int) bool {
	return !c.last && c.outBytes()+int64(size) <= int64(c.b.live.Load().MaxQueuedBytes) && c.charge(int64(size))
}

// acceptOne takes a packet of QoS 1 or 2, or keeps its message while too many are
// in flight. The caller holds c.mu.
func (c *conn) acceptOne(st *stage, f *form, i int) bool {
	p := f.packets[i]
	if c.volatile.full() {
		return !c.last && c.postpone(st.clone(p.message), delivery{qos: f.qos, retain: f.retain})
	}
	b := f.bytes(i, i+1)
	if !c.roomFor(len(b)) {
		return false
	}
	own := b
	if p.large != nil {
		own = b[:p.id+2]
	}
	out := append(c.out.room(len(own)), own...)
	id := c.volatile.id(f.qos)
	binary.BigEndian.PutUint16(out[len(out)-len(own)+p.id:], id)
	c.out.buf = out
	if p.large != nil {
		c.out.share(b[p.id+2:])
	}
	c.sent.message(p.payload - f.payload(i))
	return true
}
