package broker_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/listen"
	"headgate/broker/packet"
	"headgate/broker/store"
)

func TestAClockThatJumpsDropsNothingAndKeepsNothingForEver(t *testing.T) {
	for _, from := range []time.Duration{0, -years50} {
		for _, to := range []time.Duration{years50, -years50, 0} {
			for _, synced := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v to %v synced %v", from, to, synced), func(t *testing.T) {
					inGateway(t, func(g *gateway) {
						g.setWall(from, false)
						g.restart()
						g.leave("c", 2*3600)
						g.publish(3600, "1", "2", "3")
						time.Sleep(10*time.Minute + time.Second/2)
						g.want("1", 3000)
						g.setWall(to, synced)
						time.Sleep(20 * time.Minute)
						g.want("2", 1800)
						g.there("after the jump", 1, 1)
						g.restart()
						g.want("3", 1800)
						g.there("after a restart", 1, 1)

						g.publish(3600, "4")
						time.Sleep(time.Hour + 11*time.Second)
						g.want("", 0)
						g.there("when the messages have expired", 1, 0)
						time.Sleep(time.Hour / 2)
						g.there("when the session has", 0, 0)
					})
				})
			}
		}
	}
}

func TestBetweenBootsThatWereNotSyncedOnlyRunningTimeCounts(t *testing.T) {
	for _, synced := range [][2]bool{{false, false}, {true, false}, {false, true}} {
		inGateway(t, func(g *gateway) {
			g.setWall(0, synced[0])
			g.restart()
			g.leave("c", 2*3600)
			g.publish(3600, "1", "2")
			time.Sleep(10*time.Minute + 30*time.Second)
			g.reboot(48 * time.Hour)
			g.setWall(0, synced[1])
			time.Sleep(20 * time.Minute)
			g.want("1", 1770)
			g.there("two days later", 1, 1)
			time.Sleep(29*time.Minute + 41*time.Second)
			g.want("", 0)
			g.there("when the messages have expired", 1, 0)
			time.Sleep(time.Hour)
			g.there("when the session has", 0, 0)
		})
	}
}

func TestBetweenBootsThatWereSyncedTheTimeSwitchedOffCounts(t *testing.T) {
	inGateway(t, func(g *gateway) {
		g.setWall(0, true)
		g.restart()
		g.leave("c", 2*3600)
		g.publish(3600, "1")
		g.publish(4*3600, "2")
		g.reboot(3 * time.Hour)
		g.there("before NTP comes", 1, 1)
		g.setWall(0, true)
		time.Sleep(2 * time.Minute)
		g.there("afterwards", 0, 1)
		g.want("2", 3600-120)
		g.want("", 0)
	})
}

// A session whose client was there when the power failed has been left since
// then, also if the power fails again and again before the session's time is up.
func TestASessionExpiresWhereThePowerFailsAgainAndAgain(t *testing.T) {
	inGateway(t, func(g *gateway) {
		_, nc := g.connect("c", 3*3600)
		time.Sleep(5 * time.Hour)
		for i := range 3 {
			g.powerFails(time.Minute)
			g.there(fmt.Sprintf("after power failure %d", i+1), 1, 0)
			time.Sleep(time.Hour)
		}
		nc.Close()
		time.Sleep(3 * time.Minute) // what ran of a last minute does not count
		g.there("three hours later", 0, 0)
	})
}

func TestASessionWhoseClientWasThereWhenThePowerFailedIsLeftSinceThen(t *testing.T) {
	inGateway(t, func(g *gateway) {
		g.setWall(0, true)
		_, nc := g.connect("c", 2*3600)
		time.Sleep(2 * time.Minute)
		g.powerFails(3 * time.Hour)
		nc.Close()
		g.there("before NTP comes", 1, 0)
		g.setWall(0, true)
		time.Sleep(2 * time.Minute)
		g.there("afterwards", 0, 0)
	})
}

func TestABootThatEndsInItsFirstMinuteIsKnown(t *testing.T) {
	inGateway(t, func(g *gateway) {
		time.Sleep(2 * time.Minute)
		g.powerFails(time.Second)
		time.Sleep(40 * time.Second)
		g.leave("c", 60)
		g.powerFails(time.Second)
		time.Sleep(59 * time.Second)
		g.there("before its time is up", 1, 0)
		time.Sleep(2 * time.Second)
		g.there("afterwards", 0, 0)
	})
}

// That the end of a session was not seen is not forgotten when its time begins to
// count: what had been sent before is in doubt until the client is back.
func TestWhatMayHaveBeenSentBeforeACrashHasDupAlsoAfterFurtherStarts(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	open := func() *store.Store {
		var cfg store.Config
		cfg.SetDefaults()
		st, err := store.Open(dir, cfg, log)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	st := open()
	q, err := st.Queue("c")
	if err != nil {
		t.Fatal(err)
	}
	st.Commit([]store.Record{
		{Kind: store.Put, Key: "session/c", Data: []byte{3, 0, 0, 0, 0x0E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0}}, // connected
		{Kind: store.Message, Refs: []store.Ref{{Queue: q.ID(), Meta: []byte{1}}}, Data: []byte{2, 1, 1, 'a', 0, 'x'}},
	}, nil)
	cfg := broker.Config{Listener: []listen.Config{{URL: "mqtt://127.0.0.1:0"}}}
	cfg.SetDefaults()
	for range 2 {
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		st = open()
		if _, err := broker.New(cfg, st, log); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	st = open()
	b, err := broker.New(cfg, st, log)
	if err == nil {
		err = b.Listen()
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { b.Run(ctx) })
	c, ack := brokertest.Connect(t, b.Addresses()[0], packet.V5, "c", brokertest.Persistent)
	if p := c.Receive(); !ack.SessionPresent || !p.Dup || string(p.Payload) != "x" {
		t.Errorf("got session present %v, DUP %v of %q, want both and x", ack.SessionPresent, p.Dup, p.Payload)
	}
	c.Close()
	cancel()
	running.Wait()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedClockRecordIsReplacedAndSaid(t *testing.T) {
	inGateway(t, func(g *gateway) {
		g.leave("c", 2*3600)
		g.publish(3600, "1", "2")
		time.Sleep(30 * time.Minute)
		g.stop()
		g.put(store.Record{Kind: store.Put, Key: "clock", Data: []byte{1, 2, 3}})
		g.bootAfter(time.Hour)
		g.log.Reset()
		g.start()
		if n := strings.Count(g.log.String(), "clock's record cannot be used"); n != 1 {
			t.Errorf("it is said %d times, want once:\n%s", n, g.log.String())
		}
		time.Sleep(30 * time.Minute)
		g.want("1", 1800) // counted from the start
		g.there("after the start", 1, 1)
		g.log.Reset()
		g.restart()
		if g.log.Len() > 0 {
			t.Errorf("it is said again:\n%s", g.log.String())
		}
		time.Sleep(90*time.Minute + time.Second)
		g.want("", 0)
		g.there("in the end", 0, 0)
	})
}
