package main

import (
	"sync/atomic"
	"time"

	"headgate/broker/brokertest/mqttload/wire"
)

// publisher sends one client's messages. run and paced belong to one goroutine,
// acks to another; the atomics are what they and the measuring side share.
type publisher struct {
	c     *wire.Conn
	id    uint32
	qos   byte
	tmpl  []*wire.Template // sent in turn
	exp   []int64          // deliveries expected of each template; nil: one
	f     *flow            // nil: no end-to-end window
	win   int64            // acknowledgement window in messages (QoS>0)
	batch int              // bytes gathered before a write
	onAck func(seq uint32) // may be nil

	sent   atomic.Int64          // messages handed to the socket
	expct  atomic.Int64          // deliveries expected of them
	acked  atomic.Int64          // acknowledged, refused ones included
	refuse atomic.Int64          // acknowledged with a reason code of 0x80 or more
	stalls atomic.Int64          // times that a whole window was given up for lost
	ackCh  chan struct{}         // holds a token when acked has grown
	err    atomic.Pointer[error] // of a write
	gone   chan struct{}         // closed when the ack reader ends
}

func (p *publisher) fail(err error) { p.err.CompareAndSwap(nil, &err) }

// start sizes the acknowledgement window and starts the ack reader, which ends
// with the connection.
func (p *publisher) start() {
	p.ackCh = make(chan struct{}, 1)
	p.gone = make(chan struct{})
	if p.win <= 0 || p.win > int64(p.c.RecvMax) {
		p.win = int64(p.c.RecvMax)
	}
	go p.acks()
}

// close ends the connection and the ack reader.
func (p *publisher) close() {
	_ = p.c.NC.Close()
	<-p.gone
}

func (p *publisher) acks() {
	defer close(p.gone)
	var out []byte
	var n int64
	var base uint32 // next sequence number expected to be acknowledged
	for {
		h, b, ok := p.c.TryNext()
		if !ok {
			if len(out) > 0 {
				if _, err := p.c.NC.Write(out); err != nil {
					return
				}
				out = out[:0]
			}
			if n > 0 {
				p.acked.Add(n)
				n = 0
				select {
				case p.ackCh <- struct{}{}:
				default:
				}
			}
			if p.c.Fill() != nil {
				return
			}
			continue
		}
		switch h >> 4 {
		case wire.PUBACK, wire.PUBCOMP:
			n++
			if p.c.Ver == 5 && len(b) > 2 && b[2] >= 0x80 {
				p.refuse.Add(1)
				continue
			}
			if p.onAck != nil {
				seq := sequenceOf(base, wire.PID(b))
				p.onAck(seq)
				if seq >= base {
					base = seq + 1
				}
			}
		case wire.PUBREC:
			if p.c.Ver == 5 && len(b) > 2 && b[2] >= 0x80 {
				n++
				p.refuse.Add(1)
				continue
			}
			out = wire.AppendAck(out, wire.PUBREL, wire.PID(b))
		}
	}
}

// sequenceOf gives the sequence number nearest to base that has packet
// identifier pid: identifiers go round from 1 to 65535.
func sequenceOf(base uint32, pid uint16) uint32 {
	k := (uint32(pid) - 1 + 65535 - base%65535) % 65535
	if k > 32767 {
		return base - (65535 - k)
	}
	return base + k
}

// run publishes until stop is closed, or count messages when count > 0.
func (p *publisher) run(stop <-chan struct{}, count int64) {
	buf := make([]byte, 0, p.batch+70000)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var seq uint32
	var sent, expct, credit int64
	ti := int(p.id*7919) % len(p.tmpl)
	flush := func() bool {
		if len(buf) == 0 {
			return true
		}
		if _, err := p.c.NC.Write(buf); err != nil {
			p.fail(err)
			return false
		}
		buf = buf[:0]
		p.sent.Store(sent)
		p.expct.Store(expct)
		select {
		case <-stop:
			return false
		default:
			return true
		}
	}
	credit = -1
	for count == 0 || sent < count {
		if p.f != nil && credit <= 0 {
			if credit = p.f.credit(); credit <= 0 {
				if !flush() || !p.awaitCredit(stop, timer) {
					return
				}
				continue
			}
		}
		if p.qos > 0 && sent-p.acked.Load() >= p.win {
			if !flush() || !p.awaitAck(stop, sent) {
				return
			}
			continue
		}
		t := p.tmpl[ti]
		e := int64(1)
		if p.exp != nil {
			e = p.exp[ti]
		}
		if ti++; ti == len(p.tmpl) {
			ti = 0
		}
		buf = t.Append(buf, uint16(seq%65535)+1, p.id, seq, 0)
		seq++
		sent++
		expct += e
		credit -= e
		if p.f != nil {
			p.f.exp += e
		}
		if len(buf) >= p.batch && !flush() {
			return
		}
	}
	flush()
}

// awaitAck waits for an acknowledgement while the window is full. It is false
// at the end.
func (p *publisher) awaitAck(stop <-chan struct{}, sent int64) bool {
	if sent-p.acked.Load() < p.win {
		return true
	}
	select {
	case <-p.ackCh:
		return true
	case <-stop:
		return false
	case <-p.gone:
		return false
	}
}

// awaitCredit waits until the subscribers have caught up by a quarter of the
// window. What has not come within a second is given up for lost, so that a
// broker that drops messages goes on being measured. It is false at the end.
func (p *publisher) awaitCredit(stop <-chan struct{}, timer *time.Timer) bool {
	p.f.need.Store(p.f.exp - p.f.lost - p.f.limit*3/4)
	defer p.f.need.Store(1 << 62)
	if p.f.credit() > p.f.limit/4 {
		return true
	}
	timer.Reset(time.Second)
	select {
	case <-p.f.ch:
	case <-stop:
		return false
	case <-p.gone:
		return false
	case <-timer.C:
		if d := p.f.exp - p.f.lost - p.f.recv.Load(); d >= p.f.limit {
			p.f.lost += d
			p.stalls.Add(1)
		}
	}
	return true
}

// waitAcks waits until every message sent was acknowledged, or for d.
func (p *publisher) waitAcks(d time.Duration) {
	if p.qos == 0 {
		return
	}
	end := time.Now().Add(d)
	for p.acked.Load() < p.sent.Load() && time.Now().Before(end) {
		select {
		case <-p.gone:
			return
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// paced publishes rate messages a second until stop is closed, in bursts of one
// millisecond.
func (p *publisher) paced(stop <-chan struct{}, rate int) {
	buf := make([]byte, 0, 64<<10)
	var seq uint32
	t0 := time.Now()
	for {
		select {
		case <-stop:
			return
		case <-p.gone:
			return
		case <-time.After(time.Millisecond):
		}
		due := int64(time.Since(t0).Seconds() * float64(rate))
		buf = buf[:0]
		for int64(seq) < due && int64(seq)-p.acked.Load() < p.win {
			buf = p.tmpl[0].Append(buf, uint16(seq%65535)+1, p.id, seq, 0)
			seq++
		}
		if len(buf) > 0 {
			if _, err := p.c.NC.Write(buf); err != nil {
				p.fail(err)
				return
			}
			p.sent.Store(int64(seq))
		}
	}
}
