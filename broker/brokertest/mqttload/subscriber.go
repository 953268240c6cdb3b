package main

import (
	"sync/atomic"

	"headgate/broker/brokertest/mqttload/wire"
)

// subscriber receives one client's messages.
type subscriber struct {
	c     *wire.Conn
	flows []*flow // by publisher id; nil entries or a short slice: none
	onMsg func(pub, seq uint32, ts int64, m *wire.Msg)
	order bool

	recv atomic.Int64
	ooo  atomic.Int64 // sequence went back (a duplicate or a message out of order)
	bad  atomic.Int64
	gone chan struct{}
}

func (s *subscriber) start(pubs int) {
	s.gone = make(chan struct{})
	go s.loop(pubs)
}

// close ends the connection and the reader, if it was started.
func (s *subscriber) close() {
	_ = s.c.NC.Close()
	if s.gone != nil {
		<-s.gone
	}
}

// loop reads until the connection ends.
func (s *subscriber) loop(pubs int) {
	defer close(s.gone)
	var out []byte
	var total int64
	cnt := make([]int64, pubs)
	touched := make([]uint32, 0, pubs)
	last := make([]int64, pubs)
	for i := range last {
		last[i] = -1
	}
	var m wire.Msg
	for {
		h, b, ok := s.c.TryNext()
		if !ok {
			if total > 0 {
				s.recv.Add(total)
				total = 0
				for _, p := range touched {
					if int(p) < len(s.flows) && s.flows[p] != nil {
						s.flows[p].add(cnt[p])
					}
					cnt[p] = 0
				}
				touched = touched[:0]
			}
			if len(out) > 0 {
				if _, err := s.c.NC.Write(out); err != nil {
					return
				}
				out = out[:0]
			}
			if s.c.Fill() != nil {
				return
			}
			continue
		}
		switch h >> 4 {
		case wire.PUBLISH:
			if !wire.ParsePublish(h, b, s.c.Ver, &m) {
				s.bad.Add(1)
				continue
			}
			pub, seq, ts, ok := wire.Head(m.Payload)
			if !ok || int(pub) >= pubs {
				s.bad.Add(1)
				continue
			}
			total++
			if cnt[pub] == 0 {
				touched = append(touched, pub)
			}
			cnt[pub]++
			if s.order {
				if int64(seq) <= last[pub] {
					s.ooo.Add(1)
				} else {
					last[pub] = int64(seq)
				}
			}
			if s.onMsg != nil {
				s.onMsg(pub, seq, ts, &m)
			}
			if m.QoS == 1 {
				out = wire.AppendAck(out, wire.PUBACK, m.PID)
			} else if m.QoS == 2 {
				out = wire.AppendAck(out, wire.PUBREC, m.PID)
			}
		case wire.PUBREL:
			out = wire.AppendAck(out, wire.PUBCOMP, wire.PID(b))
		}
	}
}
