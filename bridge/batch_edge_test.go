package bridge

import (
	"strconv"
	"strings"
	"testing"

	"headgate/broker/packet"
)

func TestWhatExpiresTakesNothingElseWithIt(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	start(t, inBatches(config(u.addr), Batch{Messages: 2}), src)
	c := u.welcome(nil)
	eventually(t, "there is no backlog", src.isLive)
	for i, seconds := range []uint32{0, 60, 0, 0} {
		m := Message{Topic: "field/a", Payload: []byte(strconv.Itoa(i)), QoS: 1}
		if seconds > 0 {
			m.Properties.MessageExpiry = seconds
			m.Properties.Set(packet.PropMessageExpiry)
		}
		src.add(m, true)
	}
	for i, want := range []string{"0", "1", "2 3"} {
		p := c.expectPublish()
		got := string(p.Payload)
		if i != 1 {
			got = numbersOf(t, p)
		}
		if expires := p.Properties.Has(packet.PropMessageExpiry); got != want || expires != (i == 1) {
			t.Errorf("got %s, expires %v, want %s", got, expires, want)
		}
	}
}

func TestInOrderWhatGoesAloneDoesNotOvertakeTheBacklog(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	cfg := inBatches(config(u.addr), Batch{Messages: 10})
	src.put("field/a", "1", "2", "3")
	src.onLive = func() { // it comes when the backlog is not yet taken
		m := Message{Topic: "field/a", Payload: []byte("4"), QoS: 1}
		m.Properties.ContentType = []byte("text/plain")
		m.Properties.Set(packet.PropContentType)
		src.add(m, true)
	}
	start(t, cfg, src)
	c := u.welcome(nil)
	if p := c.expectPublish(); string(p.Payload) == "4" || numbersOf(t, p) != "1 2 3" {
		t.Errorf("first came %s", p.Payload)
	}
	if p := c.expectPublish(); string(p.Payload) != "4" {
		t.Errorf("then came %s", p.Payload)
	}
}

func TestWhatABatchMakesTooLargeGoesAlone(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	b := start(t, inBatches(config(u.addr), Batch{Messages: 2}), src)
	c := u.welcome(func(a *packet.Connack) {
		a.Properties.MaximumPacketSize = 3000
		a.Properties.Set(packet.PropMaximumPacketSize)
	})
	eventually(t, "there is no backlog", src.isLive)
	src.put("field/a", strings.Repeat("\xff", 2500)) // 3300 in base64
	if p := c.expectPublish(); len(p.Payload) != 2500 || string(p.Topic) != "plant/a" {
		t.Errorf("got %d bytes on %s, given up %v", len(p.Payload), p.Topic, b.Stats().GivenUp)
	}
}

func TestLiveFirstNoBatchOfTheBacklogIsWaitedForThatCannotBeFilled(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.liveFirst = true
	cfg := inBatches(config(u.addr), Batch{Messages: 16})
	cfg.MaxInFlight, cfg.Replay = 16, ReplayLiveFirst
	src.put("field/a", numbers(40)...)
	start(t, cfg, src)
	c := u.welcome(nil)
	for src.left() > 0 {
		p := c.expectPublish()
		left := src.left()
		c.ack(packet.PUBACK, p.PacketID, 0)
		eventually(t, "it is let go", func() bool { return src.left() < left })
	}
}

func TestInOrderWhatCameBeforeAPauseGoesBeforeWhatCameInIt(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	b := start(t, inBatches(config(u.addr), Batch{Messages: 4}), src)
	c := u.welcome(nil)
	eventually(t, "there is no backlog", src.isLive)
	src.put("field/a", "1", "2")
	eventually(t, "they are gathered", func() bool { return b.Stats().InFlight == 2 })
	b.Pause()
	eventually(t, "the source knows", func() bool { return !src.isLive() })
	src.put("field/a", "3", "4", "5", "6")
	b.Resume()
	for _, want := range []string{"1 2", "3 4 5 6"} {
		if got := numbersOf(t, c.expectPublish()); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
