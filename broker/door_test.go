package broker_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headgate/broker/packet"
	"headgate/broker/store"
)

// line is a client's end of a connection: it takes all that comes, and looks at it
// when everything has come to rest.
type line struct {
	t  *testing.T
	nc net.Conn

	mu  sync.Mutex
	got []byte
}

// dial connects c, and does not wait for the answer.
func (g *gateway) dial(c packet.Connect) *line {
	g.t.Helper()
	near, far := net.Pipe()
	b, ctx := g.broker, g.ctx
	g.done.Go(func() { b.ServeConn(ctx, far) })
	l := &line{t: g.t, nc: near}
	g.done.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := near.Read(buf)
			l.mu.Lock()
			l.got = append(l.got, buf[:n]...)
			l.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	l.send(c.Append(nil))
	return l
}

func (l *line) send(b []byte) {
	l.t.Helper()
	if _, err := l.nc.Write(b); err != nil && err != io.ErrClosedPipe {
		l.t.Fatal(err)
	}
	synctest.Wait()
}

// take gives the types of the packets that have come since the last take.
func (l *line) take() (types []packet.Type) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.got) > 0 {
		h, err := packet.ParseHeader(l.got)
		if err != nil {
			l.t.Fatal(err)
		}
		types = append(types, h.Type)
		l.got = l.got[h.Size+h.Remaining:]
	}
	return types
}

func (l *line) close() {
	l.nc.Close()
	synctest.Wait()
}

// connecting is a CONNECT of 5.0, of a session that outlives its connection by so
// many seconds.
func connectAs(id string, clean bool, expiry, willDelay uint32, will string) packet.Connect {
	c := packet.Connect{Version: packet.V5, ClientID: []byte(id), CleanStart: clean}
	if expiry > 0 {
		c.Properties.SessionExpiry = expiry
		c.Properties.Set(packet.PropSessionExpiry)
	}
	if will != "" {
		c.HasWill, c.Will = true, packet.Will{QoS: 1, Topic: []byte("v/will"), Payload: []byte(will)}
		c.Will.Properties.WillDelay = willDelay
		c.Will.Properties.Set(packet.PropWillDelay)
	}
	return c
}

// hold keeps the log from taking anything more to the disk, until release.
func (g *gateway) hold() (release func()) {
	held := make(chan struct{})
	g.store.Commit(nil, func(error) { <-held })
	synctest.Wait()
	return func() { close(held); synctest.Wait() }
}

// onDisk gives the state keys that all completed commits have left.
func (g *gateway) onDisk() (keys []string) {
	g.t.Helper()
	for _, prefix := range []string{"session/", "sub/", "rx/", "will/", "retained/v"} {
		if err := g.store.State(prefix, func(key string, _ []byte) error {
			if !strings.Contains(key, "$bridge") {
				keys = append(keys, strings.ReplaceAll(key, "\x00", " "))
			}
			return nil
		}); err != nil {
			g.t.Fatal(err)
		}
	}
	return keys
}

func publishID(qos byte, id uint16, payload string, retain bool) []byte {
	p := packet.Publish{Topic: []byte("v/1"), Payload: []byte(payload), QoS: qos, PacketID: id, Retain: retain}
	return p.Append(nil, packet.V5)
}

func ackID(t packet.Type, id uint16) []byte {
	a := packet.Ack{Type: t, PacketID: id}
	return a.Append(nil, packet.V5)
}

func subscribeID(id uint16) []byte {
	p := packet.Subscribe{PacketID: id, Subscriptions: []packet.Subscription{{Filter: []byte("v/1"), QoS: 2}}}
	return p.Append(nil, packet.V5)
}

func unsubscribeID(id uint16) []byte {
	p := packet.Unsubscribe{PacketID: id, Filters: [][]byte{[]byte("v/1")}}
	return p.Append(nil, packet.V5)
}

// left is a session of c with a subscription, an open QoS 2 identifier and a will
// that waits, whose client has gone.
func (g *gateway) left() {
	g.t.Helper()
	l := g.dial(connectAs("c", true, 3600, 600, "gone"))
	l.send(subscribeID(1))
	l.send(publishID(2, 7, "x", false))
	l.close()
	if got, want := g.onDisk(), []string{"session/c", "sub/c v/1", "rx/c 7", "will/c"}; !slices.Equal(got, want) {
		g.t.Fatalf("before: got %q, want %q", got, want)
	}
}

// While the log is held, nothing leaves that it is to stand behind; when it is let
// go the answer leaves, and what it says is there by then: all that was handed to
// the log later is held again.
//
// The control is any of the doors without its wait: answerDurably or attach that
// answer at once, owe with durable false, settle with two commits. Its row fails.
func TestNoAcknowledgementLeavesBeforeTheDiskHasIt(t *testing.T) {
	connected := func(g *gateway) *line { return g.dial(connectAs("c", true, 3600, 0, "")) }
	tests := []struct {
		name   string
		before func(g *gateway) *line // the connection that asks; nil: ask makes it
		ask    func(g *gateway, l *line) *line
		want   packet.Type
		onDisk []string
	}{
		{name: "CONNACK of a new session",
			ask:  func(g *gateway, _ *line) *line { return g.dial(connectAs("c", true, 3600, 0, "")) },
			want: packet.CONNACK, onDisk: []string{"session/c"}},
		{name: "CONNACK of a new session with a will",
			ask:  func(g *gateway, _ *line) *line { return g.dial(connectAs("c", true, 3600, 0, "gone")) },
			want: packet.CONNACK, onDisk: []string{"session/c", "will/c"}},
		{name: "CONNACK of a clean session with a will",
			ask:  func(g *gateway, _ *line) *line { return g.dial(connectAs("c", true, 0, 0, "gone")) },
			want: packet.CONNACK, onDisk: []string{"will/c"}},
		{name: "CONNACK of a session that is there, without the will that it had",
			before: func(g *gateway) *line { g.left(); return nil },
			ask:    func(g *gateway, _ *line) *line { return g.dial(connectAs("c", false, 3600, 0, "")) },
			want:   packet.CONNACK, onDisk: []string{"session/c", "sub/c v/1", "rx/c 7"}},
		{name: "CONNACK of a clean session in the place of another",
			before: func(g *gateway) *line { g.left(); return nil },
			ask:    func(g *gateway, _ *line) *line { return g.dial(connectAs("c", true, 0, 0, "")) },
			want:   packet.CONNACK, onDisk: nil},
		{name: "CONNACK of a new session with a will in the place of another",
			before: func(g *gateway) *line { g.left(); return nil },
			ask:    func(g *gateway, _ *line) *line { return g.dial(connectAs("c", true, 60, 0, "gone")) },
			want:   packet.CONNACK, onDisk: []string{"session/c", "will/c"}},
		{name: "CONNACK that finds no session, after a DISCONNECT has ended it",
			before: func(g *gateway) *line { g.left(); return g.dial(connectAs("c", false, 3600, 0, "")) },
			ask: func(g *gateway, l *line) *line {
				d := packet.Disconnect{}
				d.Properties.Set(packet.PropSessionExpiry) // 0
				l.send(d.Append(nil, packet.V5))
				l.close()
				return g.dial(connectAs("c", false, 0, 0, ""))
			},
			want: packet.CONNACK, onDisk: nil},
		{name: "PUBACK", before: connected,
			ask:  func(_ *gateway, l *line) *line { l.send(publishID(1, 7, "x", false)); return l },
			want: packet.PUBACK, onDisk: []string{"session/c"}},
		{name: "PUBACK of a retained message", before: connected,
			ask:  func(_ *gateway, l *line) *line { l.send(publishID(1, 7, "x", true)); return l },
			want: packet.PUBACK, onDisk: []string{"session/c", "retained/v/1"}},
		{name: "PUBACK of one that clears it",
			before: func(g *gateway) *line {
				l := connected(g)
				l.send(publishID(1, 7, "x", true))
				l.take()
				return l
			},
			ask:  func(_ *gateway, l *line) *line { l.send(publishID(1, 8, "", true)); return l },
			want: packet.PUBACK, onDisk: []string{"session/c"}},
		{name: "PUBREC", before: connected,
			ask:  func(_ *gateway, l *line) *line { l.send(publishID(2, 7, "x", false)); return l },
			want: packet.PUBREC, onDisk: []string{"session/c", "rx/c 7"}},
		{name: "PUBCOMP",
			before: func(g *gateway) *line {
				l := connected(g)
				l.send(publishID(2, 7, "x", false))
				l.take()
				return l
			},
			ask:  func(_ *gateway, l *line) *line { l.send(ackID(packet.PUBREL, 7)); return l },
			want: packet.PUBCOMP, onDisk: []string{"session/c"}},
		{name: "PUBREL",
			before: func(g *gateway) *line {
				l := connected(g)
				l.send(subscribeID(1))
				l.send(publishID(2, 7, "x", false))
				l.take()
				return l
			},
			ask:  func(_ *gateway, l *line) *line { l.send(ackID(packet.PUBREC, 1)); return l },
			want: packet.PUBREL, onDisk: []string{"session/c", "sub/c v/1", "rx/c 7"}},
		{name: "SUBACK", before: connected,
			ask:  func(_ *gateway, l *line) *line { l.send(subscribeID(1)); return l },
			want: packet.SUBACK, onDisk: []string{"session/c", "sub/c v/1"}},
		{name: "UNSUBACK",
			before: func(g *gateway) *line { l := connected(g); l.send(subscribeID(1)); return l },
			ask:    func(_ *gateway, l *line) *line { l.send(unsubscribeID(2)); return l },
			want:   packet.UNSUBACK, onDisk: []string{"session/c"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inGateway(t, func(g *gateway) {
				var l *line
				if test.before != nil {
					if l = test.before(g); l != nil {
						l.take()
					}
				}
				release := g.hold()
				l = test.ask(g, l)
				if got := l.take(); len(got) > 0 {
					t.Errorf("%v left while the log was held", got)
				}
				second := g.hold()
				release()
				if got := l.take(); len(got) == 0 || got[0] != test.want {
					t.Errorf("got %v when the log was let go, want %v first", got, test.want)
				}
				if got := g.onDisk(); !slices.Equal(got, test.onDisk) {
					t.Errorf("on disk is %q then, want %q", got, test.onDisk)
				}
				second()
				l.close()
			})
		})
	}
}

// An UNSUBACK that finds nothing says so of the disk too.
func TestASecondUNSUBACKDoesNotOvertakeTheFirst(t *testing.T) {
	inGateway(t, func(g *gateway) {
		l := g.dial(connectAs("c", true, 3600, 0, ""))
		l.send(subscribeID(1))
		l.take()
		release := g.hold()
		l.send(unsubscribeID(2))
		l.send(unsubscribeID(3))
		if got := l.take(); len(got) > 0 {
			t.Errorf("%v left while the log was held", got)
		}
		release()
		if got := l.take(); len(got) != 2 {
			t.Errorf("got %v, want two answers", got)
		}
		l.close()
	})
}

func TestWhatKeepsNothingIsAnsweredWhileTheDiskHangs(t *testing.T) {
	inGateway(t, func(g *gateway) {
		release := g.hold()
		before := g.store.Stats().NextRecord
		l := g.dial(connectAs("c", true, 0, 0, ""))
		l.send(subscribeID(1))
		p := packet.Publish{Topic: []byte("w"), QoS: 2, PacketID: 7}
		l.send(p.Append(nil, packet.V5))
		l.send(ackID(packet.PUBREL, 7))
		l.send(unsubscribeID(2))
		want := []packet.Type{packet.CONNACK, packet.SUBACK, packet.PUBREC, packet.PUBCOMP, packet.UNSUBACK}
		if got := l.take(); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		l.close()
		if n := g.store.Stats().NextRecord - before; n > 0 {
			t.Errorf("a clean session without a will came to %d records", n)
		}
		release()
	})
}

// The end of the session that a clean start discards, its will and the new session
// are one commit, so that a power cut leaves all of it or nothing.
func TestADiscardedSessionIsThereWholeUntilTheNewOneIs(t *testing.T) {
	inGateway(t, func(g *gateway) {
		g.left()
		before := g.onDisk()
		release := g.hold()
		first := g.store.Stats().NextRecord
		l := g.dial(connectAs("c", true, 60, 0, "gone"))
		if got := g.onDisk(); !slices.Equal(got, before) {
			t.Errorf("on disk is %q before the commit, want %q", got, before)
		}
		if n := g.store.Stats().NextRecord - first; n < 6 {
			t.Errorf("%d records wait, want the end of one session, a will, and another session", n)
		}
		commits := g.store.Stats().Commits
		release()
		if n := g.store.Stats().Commits - commits; n != 1 {
			t.Errorf("they came to the disk in %d commits, want 1", n)
		}
		l.close()
	})
}

// How a connection ends when the power does is an end without a DISCONNECT.
// [MQTT-3.1.2-8]
func TestTheWillOfAClientThatWasThereWhenThePowerFailedIsPublished(t *testing.T) {
	for _, test := range []struct {
		name    string
		connect packet.Connect
		leave   func(l *line)
		wait    time.Duration // until it is published; 0: never
	}{
		{"of a clean session", connectAs("c", true, 0, 0, "gone"), nil, time.Second},
		{"of a clean session that asked for a delay", connectAs("c", true, 0, 600, "gone"), nil, time.Second},
		{"of a session", connectAs("c", true, 7200, 0, "gone"), nil, time.Second},
		{"of a session, when its delay has passed", connectAs("c", true, 7200, 600, "gone"), nil, 10 * time.Minute},
		{"of a client that had gone without a DISCONNECT", connectAs("c", true, 7200, 600, "gone"), (*line).close, 10 * time.Minute},
		{"not of one that had said DISCONNECT", connectAs("c", true, 7200, 0, "gone"), disconnect, 0},
		{"not of a clean one that had", connectAs("c", true, 0, 0, "gone"), disconnect, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			inGateway(t, func(g *gateway) {
				l := g.dial(test.connect)
				if test.leave != nil {
					test.leave(l)
				}
				g.powerFails(0)
				l.close()
				for range 2 { // once only, though the power fails again
					if test.wait > 0 {
						if time.Sleep(test.wait / 2); g.willIsPublished() {
							t.Errorf("it is published before %v", test.wait)
						}
					}
					time.Sleep(test.wait + 2*time.Minute)
					if got, want := g.willIsPublished(), test.wait > 0; got != want {
						t.Errorf("published: %v, want %v", got, want)
					}
					test.wait = 0
					g.powerFails(0)
				}
			})
		})
	}
}

func disconnect(l *line) {
	d := packet.Disconnect{}
	l.send(d.Append(nil, packet.V5))
	l.close()
}

// willIsPublished takes a will from the bridge's queue.
func (g *gateway) willIsPublished() bool {
	g.t.Helper()
	d, ok, err := g.uplink.TryNext(true)
	if err != nil {
		g.t.Fatal(err)
	}
	if ok {
		g.uplink.Ack(d.PacketID)
	}
	return ok && d.Topic == "v/will" && string(d.Payload) == "gone"
}

func TestAWillThatWaitsOutlivesAStopAndIsDroppedWhenItsClientIsBack(t *testing.T) {
	inGateway(t, func(g *gateway) {
		g.dial(connectAs("c", true, 7200, 600, "gone")).close()
		g.restart()
		l := g.dial(connectAs("c", false, 7200, 0, ""))
		disconnect(l)
		time.Sleep(time.Hour)
		if g.willIsPublished() {
			t.Error("the will of a client that was back in time is published")
		}
		g.dial(connectAs("c", false, 7200, 600, "gone")).close()
		g.restart()
		time.Sleep(11 * time.Minute)
		if !g.willIsPublished() {
			t.Error("the will is forgotten")
		}
	})
}

// A will that there is no room for is dropped and said; it does not come back at a
// later start, when its client may be long there again.
func TestAWillWithoutRoomDoesNotComeBackLater(t *testing.T) {
	inGateway(t, func(g *gateway) {
		if err := g.store.Close(); err != nil {
			t.Fatal(err)
		}
		g.stop()
		g.store = store.OpenMemory(store.Config{MaxBytes: 8 << 20}, g.logger())
		g.start()
		l := g.dial(connectAs("c", true, 0, 0, "gone"))
		q, err := g.store.Queue("$bridge/cloud")
		for _, size := range []int{256 << 10, 16} {
			for full := make(chan error, 1); err == nil; err = <-full {
				g.store.Commit([]store.Record{{Kind: store.Message, Refs: []store.Ref{{Queue: q.ID()}}, Data: make([]byte, size)}},
					func(err error) { full <- err })
			}
			if !errors.Is(err, store.ErrFull) {
				t.Fatal(err)
			}
			err = nil
		}
		l.close()
		if keys := g.onDisk(); len(keys) > 0 {
			t.Errorf("on disk is %q, want nothing", keys)
		}
		if !strings.Contains(g.log.String(), fmt.Sprint(store.ErrFull)) {
			t.Errorf("that it is not published is not said:\n%s", g.log.String())
		}
	})
}
