package bridge

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// spring is a Source that never runs dry and keeps nothing but what is in
// flight: the bridge's own cost is measured.
type spring struct {
	*memory
	payload []byte
	limit   int
	sent    int
	acked   chan int // gets how many were acknowledged, now and then
	count   int
}

func (s *spring) TryNext(bool) (Outgoing, bool, error) {
	if s.sent == s.limit {
		return Outgoing{}, false, nil
	}
	s.sent++
	return Outgoing{Message: Message{Topic: "field/meter1/power", Payload: s.payload, QoS: 1}, PacketID: uint16((s.sent-1)%65535 + 1)}, true, nil
}

func (s *spring) Next(ctx context.Context, _ bool) (Outgoing, error) {
	if o, ok, _ := s.TryNext(true); ok {
		return o, nil
	}
	<-ctx.Done()
	return Outgoing{}, ctx.Err()
}

func (s *spring) Rewind() {}

func (s *spring) Ack(uint16) {
	if s.count++; s.count == s.limit {
		s.acked <- s.count
	}
}

func (s *spring) Received(_ uint16, done func(error)) { done(nil) }
func (s *spring) Live(bool)                           {}
func (s *spring) Backlog() (b Backlog)                { return b }

// BenchmarkForward is what the bridge forwards to a sink in the same process
// over loopback, 200 byte payloads.
func BenchmarkForward(b *testing.B) {
	for _, qos := range []int{1, 2} {
		for _, window := range []int{20, 1000, 10000} {
			b.Run(fmt.Sprintf("qos=%d/window=%d", qos, window), func(b *testing.B) {
				k := newSink(b, false)
				src := &spring{memory: newMemory(b), payload: make([]byte, 200), limit: b.N, acked: make(chan int, 1)}
				cfg := withQoS(config(k.addr()), qos)
				cfg.MaxInFlight = window
				b.ReportAllocs()
				b.ResetTimer()
				began := time.Now()
				start(b, cfg, src)
				<-src.acked
				b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "msg/s")
			})
		}
	}
}

// nodeSpring is a spring of values of one point, each other than the one before.
type nodeSpring struct {
	*spring
	payloads [2][]byte
}

func (s *nodeSpring) TryNext(bool) (Outgoing, bool, error) {
	o, ok, err := s.spring.TryNext(true)
	o.Topic, o.Payload = "field/meter/power", s.payloads[s.sent&1]
	return o, ok, err
}

func (s *nodeSpring) Next(ctx context.Context, _ bool) (Outgoing, error) {
	<-ctx.Done()
	return Outgoing{}, ctx.Err()
}

// BenchmarkEdgeNode is what an edge node makes of the gateway's values and sends to
// a sink in the same process over loopback, each let go behind its fence.
func BenchmarkEdgeNode(b *testing.B) {
	k := newSink(b, false)
	src := &nodeSpring{spring: &spring{memory: newMemory(b), limit: b.N, acked: make(chan int, 1)}}
	src.payloads = [2][]byte{[]byte(reading(231.4, 1)), []byte(reading(231.5, 1))}
	b.ReportAllocs()
	b.ResetTimer()
	began := time.Now()
	start(b, nodeConfig(k.addr(), newPlant()), src)
	<-src.acked
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "msg/s")
}
