package bridge

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"headgate/bridge/sparkplug"
	"headgate/broker/packet"
)

// withHost waits for the primary host H.
func withHost(cfg Config) Config {
	cfg.Sparkplug.PrimaryHostID = "H"
	return cfg
}

func (c *conn) state(online bool, timestamp int) {
	c.t.Helper()
	c.publish(packet.Publish{Topic: []byte("spBv1.0/STATE/H"), Payload: fmt.Appendf(nil, `{"online":%v,"timestamp":%d}`, online, timestamp), QoS: 1, PacketID: 7, Retain: true})
	if a := c.expectAck(packet.PUBACK); a.PacketID != 7 {
		c.t.Errorf("PUBACK %d", a.PacketID)
	}
}

// command sends NCMD or DCMD.
func (c *conn) command(topic string, metrics ...sparkplug.Metric) {
	c.t.Helper()
	p := sparkplug.Payload{Timestamp: time.Now(), Metrics: metrics}
	c.publish(packet.Publish{Topic: []byte("spBv1.0/G/" + topic), Payload: p.Append(nil)})
}

func metric(t *testing.T, name string, alias uint64, typ sparkplug.DataType, v any) sparkplug.Metric {
	t.Helper()
	value, err := sparkplug.Of(typ, v)
	if err != nil {
		t.Fatal(err)
	}
	return sparkplug.Metric{Name: name, Alias: alias, HasAlias: alias > 0, DataType: typ, Value: value}
}

func TestAnEdgeNodeIsBornOnlyWhileItsPrimaryHostIsOnline(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	b := start(t, withHost(nodeConfig(u.addr, newPlant())), src)
	src.put("field/meter/power", reading(1, -5))
	c := u.welcome(nil)
	if got := c.grant(3); got[2] != "spBv1.0/STATE/H" {
		t.Errorf("subscribed to %q", got)
	}
	c.expectNothing("nobody says that the host is online")
	eventually(t, "it says what it waits for", func() bool { return b.Stats().Held == "the primary host H is not online" })
	if src.isLive() {
		t.Error("the local broker was told that what comes can be sent")
	}
	c.publish(packet.Publish{Topic: []byte("spBv1.0/STATE/H"), Payload: []byte("ONLINE")}) // of Sparkplug 2
	c.state(false, 100)
	c.expectNothing("the host is offline")
	c.state(true, 99)
	c.expectNothing("that was before it went offline")
	c.state(true, 100)
	c.births()
	if got := list(c.expectNode("DDATA/N/meter").Payload); got != "#1=1!" {
		t.Errorf("got %s", got)
	}
	if got := b.Stats().Held; got != "" {
		t.Errorf("held: %s", got)
	}
	c.state(false, 50) // an old one
	c.expectNothing("that was before it came online")
	src.put("field/meter/power", reading(2, 2))
	c.expectNode("DDATA/N/meter")

	c.state(false, 101)
	c.expect(packet.PINGREQ)
	c.send(packet.AppendPingresp(nil))
	if p := c.expectPublish(); string(p.Topic) != "spBv1.0/G/NDEATH/N" {
		t.Errorf("got %s", p.Topic)
	}
	c.expect(packet.DISCONNECT)
	c.net.Close()

	src.put("field/meter/power", reading(3, 3))
	c = u.welcome(nil) // at once
	c.grant(3)
	c.state(false, 101)
	c.expectNothing("the host is offline still")
	c.state(true, 102)
	if b := c.births(); bdSeq(t, c.connect.Will.Payload) != 1 || list(b.Payload)[:15] != "bdSeq:Int64=1 N" {
		t.Errorf("NBIRTH: %s", list(b.Payload))
	}
	if got := list(c.expectNode("DDATA/N/meter").Payload); got != "#1=3@3!" {
		t.Errorf("got %s", got)
	}
}

func TestAnEdgeNodeDoesNotWaitForeverForAHostWhoseClockWasYearsAhead(t *testing.T) {
	t.Parallel()
	u := listenUpstream(t)
	b := start(t, withHost(nodeConfig(u.addr, newPlant())), newMemory(t))
	c := u.welcome(nil)
	c.grant(3)
	const ahead, now = 2_100_000_000_000, 1_800_000_000_000 // milliseconds
	c.state(false, ahead)
	c.state(true, ahead-1000)
	c.expectNothing("that came late")
	c.state(true, now)
	c.births()
	c.state(false, now-100*24*3600*1000)
	c.expectNothing("that is the will of an earlier session")
	if got := b.Stats().Held; got != "" {
		t.Errorf("held: %s", got)
	}
}

func TestAnEdgeNodeWalksToTheAddressWhereItsHostIsOnline(t *testing.T) {
	t.Parallel()
	one, two := listenUpstream(t), listenUpstream(t)
	cfg := withHost(nodeConfig("", newPlant()))
	cfg.URL, cfg.URLs = "", []string{"mqtt://" + one.addr, "mqtt://" + two.addr}
	cfg.ConnectTimeout = 200 * time.Millisecond
	start(t, cfg, newMemory(t))
	c := one.welcome(nil)
	c.grant(3)
	c.state(false, 9)
	if p := c.expectPublish(); string(p.Topic) != "spBv1.0/G/NDEATH/N" {
		t.Errorf("got %s", p.Topic)
	}
	c.expect(packet.DISCONNECT)
	c.net.Close()
	c = two.welcome(nil)
	c.grant(3)
	if p := c.expectPublish(); string(p.Topic) != "spBv1.0/G/NDEATH/N" { // nobody says a word there
		t.Errorf("got %s", p.Topic)
	}
	c.net.Close()
	c = one.welcome(nil)
	c.grant(3)
	c.state(true, 9)
	c.births()
}

func TestAHostGetsTheBirthsAgainWithTheSameBdSeq(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	b := start(t, nodeConfig(u.addr, newPlant()), src, quick, func(b *Bridge) { b.edge.birth, b.edge.begun = 254, true })
	c := u.greet()
	c.births()
	src.put("field/meter/power", reading(1, 1))
	if d := c.expectNode("DDATA/N/meter"); d.Seq != 2 {
		t.Errorf("sequence number %d", d.Seq)
	}
	rebirth := metric(t, rebirthMetric, 0, sparkplug.Boolean, true)
	for range 2 { // the second one soon after the first, which is too soon to be answered at once
		c.command("NCMD/N", rebirth)
		if b := c.expectNode("NBIRTH/N"); b.Seq != 0 || list(b.Payload)[:15] != "bdSeq:Int64=255" {
			t.Errorf("got %s, sequence number %d", list(b.Payload), b.Seq)
		}
		if d := c.expectNode("DBIRTH/N/meter"); d.Seq != 1 {
			t.Errorf("sequence number %d", d.Seq)
		}
	}
	c.command("NCMD/N", metric(t, rebirthMetric, 0, sparkplug.Boolean, false))
	c.command("NCMD/N", metric(t, "Node Control/Reboot", 0, sparkplug.Boolean, true))
	c.publish(packet.Publish{Topic: []byte("spBv1.0/G/NCMD/N"), Payload: []byte("{}")})
	retained := sparkplug.Payload{Metrics: []sparkplug.Metric{rebirth}}
	c.publish(packet.Publish{Topic: []byte("spBv1.0/G/NCMD/N"), Payload: retained.Append(nil), Retain: true})
	c.expectNothing("none of these asks for births")
	eventually(t, "they are refused", func() bool { return b.Stats().Unmapped == 4 })
	for i := range 50 { // each broken in a way of its own
		bad := sparkplug.Payload{Metrics: make([]sparkplug.Metric, i)}
		c.publish(packet.Publish{Topic: []byte("spBv1.0/G/NCMD/N"), Payload: append(bad.Append(nil), 0xff)})
	}
	eventually(t, "they are refused too", func() bool { return b.Stats().Unmapped == 54 })
	if n := b.log.lines("read a Sparkplug payload"); n != 1 {
		t.Errorf("%d lines about them, want 1", n)
	}
}

func TestACommandToADeviceIsALocalCommandOfItsType(t *testing.T) {
	t.Parallel()
	u, src, p := listenUpstream(t), newMemory(t), newPlant()
	p.set("meter", func(d *FieldDevice) {
		for i := range d.Points[1:] {
			d.Points[1+i].Set = "field/meter/" + d.Points[1+i].Name + "/set"
		}
	})
	b := start(t, nodeConfig(u.addr, p), src)
	c := u.greet()
	c.births()
	c.command("DCMD/N/meter", metric(t, "relay", 0, sparkplug.Boolean, true), metric(t, "", 3, sparkplug.Int32, int64(-5)), metric(t, "mode", 0, sparkplug.String, "a\"b"))
	noType := metric(t, "", 2, sparkplug.Boolean, false)
	noType.DataType = sparkplug.Unknown
	c.command("DCMD/N/meter", noType)
	want := "field/meter/relay/set true, field/meter/count/set -5, field/meter/mode/set \"a\\\"b\", field/meter/relay/set false"
	eventually(t, "all arrive", func() bool { return len(src.received()) == 4 })
	var got []string
	for _, m := range src.received() {
		if m.QoS != 1 || m.Retain {
			t.Errorf("%s at QoS %d, retain %v", m.Topic, m.QoS, m.Retain)
		}
		got = append(got, m.Topic+" "+string(m.Payload))
	}
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}

	null := noType
	null.Null = true
	c.command("DCMD/N/meter", metric(t, "power", 0, sparkplug.Double, 1.0))   // read only
	c.command("DCMD/N/meter", metric(t, "nothing", 0, sparkplug.Double, 1.0)) // there is none
	c.command("DCMD/N/meter", metric(t, "", 99, sparkplug.Double, 1.0))       // nor of that alias
	c.command("DCMD/N/meter", metric(t, "count", 0, sparkplug.Double, 1.5))   // of another type
	c.command("DCMD/N/meter", null)                                           // no value
	c.command("DCMD/N/nobody", metric(t, "power", 0, sparkplug.Double, 1.0))  // no device
	c.publish(packet.Publish{Topic: []byte("spBv1.0/G/DCMD/N/meter"), Payload: []byte{0xff}})
	eventually(t, "they are refused", func() bool { return b.Stats().Unmapped == 7 })
	if got := src.received(); len(got) != 4 {
		t.Errorf("%d commands", len(got))
	}
}

// However often the link is cut, a host has every value once at least, the births
// before the data, and sequence numbers without a gap.
func TestNothingIsLostThatACutConnectionSwallows(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	const total = 3000
	begun := time.Now()
	b := start(t, nodeConfig(u.addr, newPlant()), src, hasty, func(b *Bridge) { b.cfg.MaxInFlight = 400 })
	for i := range total {
		src.put("field/meter/power", reading(i, i+1))
	}
	seen := make(map[int]bool)
	for cut := 0; src.left() > 0; cut++ {
		c := u.greet()
		c.births()
		next := uint64(2)
		answers := cut % 4 // of the fences in this connection, before it is cut
		for {
			if len(seen) == total { // the last fence is under way, or its answer
				if src.left() == 0 {
					break
				}
				c.net.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			}
			in, err := c.packets.next()
			if errors.Is(err, os.ErrDeadlineExceeded) && len(seen) == total && time.Since(begun) < time.Minute {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if in.Type == packet.PINGREQ {
				if answers--; answers < 0 && len(seen) < total {
					break // what came since the last one is lost to the host, as if it had not been read
				}
				c.send(packet.AppendPingresp(nil))
				continue
			}
			var p packet.Publish
			if err := p.Decode(c.v, in.Flags, slices.Clone(in.body)); err != nil {
				t.Fatal(err)
			}
			payload, err := sparkplug.Decode(p.Payload)
			if err != nil || payload.Seq != next%256 {
				t.Fatalf("%s: sequence number %d, want %d; %v", p.Topic, payload.Seq, next%256, err)
			}
			next++
			if answers == 0 && cut%4 != 0 {
				continue // swallowed
			}
			for _, m := range payload.Metrics {
				if v, err := m.Value.As(sparkplug.Double); err == nil && (cut == 0 || m.Historical) {
					seen[int(v.(float64))] = true
				}
			}
		}
		if src.left() > 0 {
			c.net.Close()
		}
		if cut > 1000 {
			t.Fatalf("%d of %d seen after %d connections", len(seen), total, cut)
		}
	}
	if len(seen) < total || b.Stats().GivenUp != nil && len(b.Stats().GivenUp) > 0 {
		t.Errorf("%d of %d seen, given up %v", len(seen), total, b.Stats().GivenUp)
	}
}

// aged is a Source whose backlog is as old as the test says.
type aged struct {
	*memory
	oldest atomic.Int64
}

func (a *aged) Backlog() Backlog {
	b := a.memory.Backlog()
	b.Oldest = time.Duration(a.oldest.Load())
	return b
}

func TestANodeSaysHowOldItsBacklogIs(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), &aged{memory: newMemory(t)}
	src.oldest.Store(int64(90 * time.Minute))
	start(t, nodeConfig(u.addr, newPlant()), src, quick)
	c := u.greet()
	if b := c.births(); !strings.HasSuffix(list(b.Payload), "Backlog/Minutes#50001:UInt64=90") {
		t.Errorf("NBIRTH: %s", list(b.Payload))
	}
	src.oldest.Store(int64(2*time.Minute + time.Second))
	d := c.expectNode("NDATA/N")
	if v, err := d.Metrics[0].Value.As(sparkplug.UInt64); v != uint64(2) || err != nil || d.Seq != 2 || d.QoS != 0 || d.Retain || d.Payload.Timestamp.IsZero() {
		t.Errorf("NDATA: %v, %v, %+v", v, err, d)
	}
	if m := d.Metrics[0]; m.Name != "" || m.Alias != backlogAlias || m.DataType != 0 || m.Timestamp.IsZero() || m.Historical {
		t.Errorf("NDATA: %+v", m)
	}
	src.oldest.Store(int64(2*time.Minute + 30*time.Second))
	src.put("field/meter/power", reading(1, 1))
	if d := c.expectNode("DDATA/N/meter"); d.Seq != 3 {
		t.Errorf("sequence number %d", d.Seq)
	}
}
