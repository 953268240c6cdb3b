package bridge

import (
	"testing"
	"time"

	"headgate/broker/packet"
)

func TestPauseHoldsWhatGoesUpAndNothingElse(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.put("field/a", "1")
	b := start(t, withDown(config(u.addr)), src)
	c := u.welcome(nil)
	c.suback(c.expectSubscribe().PacketID, 2)
	first := c.expectPublish()
	b.Pause()
	eventually(t, "held", func() bool { return b.Stats().Held == "paused" })
	eventually(t, "the source knows", func() bool { return !src.isLive() })
	src.put("field/a", "2")
	c.expectNothing("it is paused")
	c.ack(packet.PUBACK, first.PacketID, 0)
	eventually(t, "acknowledged all the same", func() bool { return src.left() == 1 })
	c.publish(packet.Publish{Topic: []byte("plant/cmd/a"), QoS: 1, PacketID: 1, Payload: []byte("on")})
	c.expectAck(packet.PUBACK)
	c.net.Close()
	c = u.welcome(nil) // also in the next connection
	c.suback(c.expectSubscribe().PacketID, 2)
	c.expectNothing("it is still paused")
	b.Resume()
	if p := c.expectPublish(); string(p.Payload) != "2" {
		t.Errorf("got %s, want what waited", p.Payload)
	}
	src.put("field/a", "3")
	if p := c.expectPublish(); string(p.Payload) != "3" {
		t.Errorf("got %s, want what came after", p.Payload)
	}
	if got := b.Stats().Held; got != "" {
		t.Errorf("held: %q", got)
	}
}

func TestHurrySendsTheBacklogOutsideItsTimeOfTheDayOnce(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.liveFirst = true
	cfg := config(u.addr)
	cfg.Replay = ReplayLiveFirst
	in := func(d time.Duration) int { at := time.Now().Add(d); return at.Hour()*60 + at.Minute() }
	cfg.ReplayWindow = Window{in(6 * time.Hour), in(7 * time.Hour)}
	src.put("field/a", "old 1", "old 2")
	b := start(t, cfg, src)
	c := u.welcome(nil)
	c.expectNothing("the window is not open")
	src.put("field/a", "new")
	if p := c.expectPublish(); string(p.Payload) != "new" {
		t.Errorf("got %s, want the live one", p.Payload)
	}
	if got, want := b.Stats().Held, "the backlog waits for "+cfg.ReplayWindow.String(); got != want {
		t.Errorf("held: %q, want %q", got, want)
	}
	c.ack(packet.PUBACK, 3, 0)
	eventually(t, "the live one is let go", func() bool { return src.left() == 2 })
	b.Hurry()
	expectOld := func(payloads ...string) {
		t.Helper()
		for _, want := range payloads {
			p := c.expectPublish()
			if string(p.Payload) != want {
				t.Errorf("got %s, want %s", p.Payload, want)
			}
		}
	}
	expectOld("old 1", "old 2")
	c.ack(packet.PUBACK, 1, 0)
	eventually(t, "the first is let go", func() bool { return src.left() == 1 })
	c.net.Close() // the last one is on its way: it must not wait for the window now
	c = u.welcome(resumed)
	expectOld("old 2")
	if got := b.Stats().Held; got != "" {
		t.Errorf("held: %q before the upstream has all of the backlog", got)
	}
	c.ack(packet.PUBACK, 2, 0)
	eventually(t, "the window counts again", func() bool { return b.Stats().Held != "" })
}

func TestTheMeterSaysHowFastItGoesAndWhenTheBacklogIsEmpty(t *testing.T) {
	t.Parallel()
	var m meter
	if m.rate() != 0 || m.left(5) != 0 {
		t.Error("without a sample something is known")
	}
	at := time.Unix(0, 0)
	for i := range 30 { // 100 a second go, 20 come; ten seconds ago it was half as fast
		speed := 100
		if i < 15 {
			speed = 50
		}
		forwarded, backlog := uint64(0), int64(100_000)
		if n := len(m.samples); n > 0 {
			forwarded, backlog = m.samples[n-1].forwarded+uint64(speed), m.samples[n-1].backlog-int64(speed-20)
		}
		if !m.due(at) || len(m.samples) > 0 && m.due(at.Add(-time.Millisecond)) {
			t.Fatalf("sample %d is not due each second", i)
		}
		m.add(sample{at, forwarded, backlog})
		at = at.Add(time.Second)
	}
	if got := m.rate(); got != 100 {
		t.Errorf("rate %v, want 100", got)
	}
	if got := m.left(8000); got != 100*time.Second {
		t.Errorf("left %v, want 100s", got)
	}
	m.add(sample{at, m.samples[10].forwarded, 200_000})
	if got := m.left(200_000); got != 0 {
		t.Errorf("a backlog that grows is empty in %v", got)
	}
	if m.reset(); m.rate() != 0 {
		t.Error("a connection that ended has a rate")
	}
}
