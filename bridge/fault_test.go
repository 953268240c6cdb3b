package bridge

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"headgate/bridge/faultnet"
	"headgate/broker/packet"
)

func proxyTo(t testing.TB, target string) *faultnet.Proxy {
	t.Helper()
	p, err := faultnet.Listen("127.0.0.1:0", target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestOverALinkThatKeepsBreakingNothingIsLostAndQoS2ComesOnce(t *testing.T) {
	t.Parallel()
	for qos := 1; qos <= 2; qos++ {
		t.Run([]string{1: "QoS 1", 2: "QoS 2"}[qos], func(t *testing.T) {
			s, src := newSink(t, true), newMemory(t)
			p := proxyTo(t, s.addr())
			p.Delay(500 * time.Microsecond)
			cfg := withQoS(config(p.Addr()), qos)
			cfg.MaxInFlight = 50
			b := start(t, cfg, src, hasty)
			want := numbers(5000)
			src.put("field/a", want...)
			for range 10 {
				connects := func() uint64 { return b.Stats().Reconnects }
				before, n := connects(), b.Stats().Forwarded
				eventually(t, "it goes on", func() bool { return src.left() == 0 || b.Stats().Forwarded > n+uint64(rand.N(100)) })
				p.Break()
				eventually(t, "reconnected", func() bool { return connects() > before })
			}
			eventually(t, "all arrived", func() bool { return src.left() == 0 })
			got := s.payloads()
			if qos == 1 {
				// A repetition starts at the first that is unacknowledged: the first
				// occurrences are in order.
				seen := make(map[string]bool)
				got = slices.DeleteFunc(got, func(p string) bool { had := seen[p]; seen[p] = true; return had })
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d messages arrived of %d, or their order is not kept", len(got), len(want))
			}
			if len(src.twice) > 0 {
				t.Errorf("acknowledged twice: %v", src.twice)
			}
		})
	}
}

func TestDamagedBytesEndTheConnectionAndTheNextOneGoesOn(t *testing.T) {
	t.Parallel()
	s, src := newSink(t, true), newMemory(t)
	p := proxyTo(t, s.addr())
	b := start(t, config(p.Addr()), src)
	src.put("field/a", "1")
	eventually(t, "the first arrived", func() bool { return src.left() == 0 })
	p.Corrupt(faultnet.ToClient, 4)
	src.put("field/a", "2")
	eventually(t, "the second is let go", func() bool { return src.left() == 0 })
	p.Corrupt(faultnet.ToTarget, 4)
	src.put("field/a", "3")
	eventually(t, "the third is let go", func() bool { return src.left() == 0 })
	if got := s.payloads(); !slices.Equal(slices.Compact(got), []string{"1", "2", "3"}) {
		t.Errorf("arrived: %v", got)
	}
	if st := b.Stats(); st.Reconnects != 2 {
		t.Errorf("%d reconnects, want 2", st.Reconnects)
	}
	if b.log.lines("the upstream broke the protocol") == 0 {
		t.Error("the log does not say why")
	}
}

// Whatever stands in an upstream's bytes, the bridge ends the connection or goes
// on: it does not crash, and lets nothing go that was not acknowledged.
func TestNonsenseFromTheUpstreamDoesNoHarm(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	start(t, withDown(config(u.addr)), src, hasty)
	seed := packet.Publish{Topic: []byte("plant/cmd/a"), QoS: 2, PacketID: 3, Payload: []byte("x")}
	suback := packet.Suback{PacketID: 65535, Reasons: []packet.ReasonCode{0}}
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		c := u.welcome(nil)
		b := suback.Append(seed.Append(nil, packet.V5), packet.V5)
		for t := packet.PUBACK; t <= packet.PUBCOMP; t++ {
			a := packet.Ack{Type: t, PacketID: uint16(random.Uint32N(4) + 1), Reason: packet.ReasonCode(random.Uint32N(2) * 0x92)}
			b = a.Append(b, packet.V5)
		}
		for range 1 + random.IntN(3) {
			b[random.IntN(len(b))] ^= byte(1 + random.IntN(255))
		}
		c.send(b)
		c.net.(interface{ CloseWrite() error }).CloseWrite()
	}
}

func TestAFrozenLinkIsFoundDead(t *testing.T) {
	t.Parallel()
	s, src := newSink(t, true), newMemory(t)
	p := proxyTo(t, s.addr())
	cfg := config(p.Addr())
	cfg.ConnectTimeout = 500 * time.Millisecond
	b := start(t, cfg, src, keepAlive(400*time.Millisecond))
	src.put("field/a", "1")
	eventually(t, "connected", func() bool { return src.left() == 0 })
	p.Freeze()
	src.put("field/a", "2") // what is sent does not make it look alive
	eventually(t, "found dead", func() bool { return b.Stats().State != Connected })
	if got := b.Stats().LastError; got != "the upstream does not answer: nothing came within 200ms of a PINGREQ" {
		t.Errorf("last error %q", got)
	}
	p.Thaw()
	eventually(t, "all arrived", func() bool { return src.left() == 0 })
}

func TestAnIdleConnectionIsKeptAliveInTheUpstreamsMeasure(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	b := start(t, config(u.addr), src)
	c := u.welcome(func(a *packet.Connack) {
		a.Properties.ServerKeepAlive = 1
		a.Properties.Set(packet.PropServerKeepAlive)
	})
	for range 2 {
		c.expect(packet.PINGREQ)
		c.send(packet.AppendPingresp(nil))
	}
	if st := b.Stats(); st.State != Connected || st.Reconnects != 0 {
		t.Errorf("stats: %+v", st)
	}
}

func TestAnUpstreamThatAnswersPingsButAcknowledgesNothingIsLeft(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.put("field/a", "1")
	b := start(t, config(u.addr), src, keepAlive(600*time.Millisecond))
	c := u.welcome(nil)
	c.expectPublish()
	go func() {
		for {
			in, err := c.packets.next()
			if err != nil || in.Type != packet.PINGREQ {
				return
			}
			if _, err := c.net.Write(packet.AppendPingresp(nil)); err != nil {
				return
			}
		}
	}()
	if p := u.welcome(resumed).expectPublish(); !p.Dup {
		t.Error("not sent again")
	}
	if got := b.Stats().LastError; got != "the upstream acknowledged nothing for 1.2s" {
		t.Errorf("last error %q", got)
	}
}

func TestAfterACleanLossItIsBackWithinASecond(t *testing.T) {
	t.Parallel()
	s, src := newSink(t, true), newMemory(t)
	p := proxyTo(t, s.addr())
	cfg := config(p.Addr())
	cfg.MaxBackoff = 0 // the default
	b := start(t, cfg, src)
	eventually(t, "connected", func() bool { return b.Stats().State == Connected })
	p.Break()
	began := time.Now()
	eventually(t, "connected again", func() bool { return b.Stats().Reconnects == 1 })
	t.Logf("back after %v", time.Since(began))
}

func TestALargeMessageOverASlowLinkIsNotTakenForADeadLink(t *testing.T) {
	t.Parallel()
	s, src := newSink(t, false), newMemory(t)
	p := proxyTo(t, s.addr())
	p.Delay(20 * time.Millisecond)
	b := start(t, config(p.Addr()), src)
	for range 8 {
		src.add(Message{Topic: "field/a", Payload: bytes.Repeat([]byte("x"), 3<<20), QoS: 1}, true)
	}
	eventually(t, "all arrived", func() bool { return src.left() == 0 })
	if b.Stats().Reconnects != 0 {
		t.Error("it reconnected")
	}
}

func TestNothingRunsAfterRunHasEnded(t *testing.T) {
	s, src := newSink(t, true), newMemory(t)
	p := proxyTo(t, s.addr())
	before := runtime.NumGoroutine()
	for range 5 {
		b := start(t, withDown(config(p.Addr())), src)
		src.put("field/a", numbers(100)...)
		eventually(t, "arrived", func() bool { return src.left() == 0 })
		p.Freeze()
		b.stop()
		p.Thaw()
	}
	p.Break()
	eventually(t, "the goroutines are gone", func() bool { return runtime.NumGoroutine() <= before })
}
