package bridge

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"headgate/broker/packet"
)

// sendFor sends as fast as a pace allows, for so long, and gives how many
// messages went.
func sendFor(d time.Duration, p *pace, bytes int, replay bool) (n int) {
	for end := time.Now().Add(d); time.Now().Before(end); n++ {
		wait := p.all.wait()
		if replay {
			_, again := p.look()
			wait = max(wait, again)
		}
		if wait > 0 {
			time.Sleep(wait)
			n--
			continue
		}
		p.sent(bytes, replay)
	}
	return n
}

func TestARateHoldsInMessagesAndInBytesAndForTheBacklogAlone(t *testing.T) {
	for _, c := range []struct {
		name   string
		config string
		bytes  int
		replay bool
		want   int // in ten seconds
	}{
		{"messages", `max_rate = { messages = 50 }`, 100, false, 505},
		{"bytes", `max_rate = { bytes = "1kB" }`, 100, false, 101},
		{"the lower one", `max_rate = { messages = 50, bytes = "1kB" }`, 100, false, 101},
		{"a packet larger than a second's", `max_rate = { bytes = 100 }`, 200, false, 6},
		{"less than one a bucket", `max_rate = { messages = 1 }`, 100, false, 11},
		{"the backlog's", `replay_max_rate = { messages = 20 }`, 100, true, 202},
		{"all, for the backlog too", "max_rate = { messages = 10 }\nreplay_max_rate = { messages = 20 }", 100, true, 101},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := parse(t, "[[bridge]]\n"+c.config)
			cfg.SetDefaults()
			synctest.Test(t, func(t *testing.T) {
				p := newPace(&cfg)
				if got := sendFor(10*time.Second, p, c.bytes, c.replay); got < c.want-1 || got > c.want+1 {
					t.Errorf("%d messages in ten seconds, want about %d", got, c.want)
				}
				time.Sleep(time.Hour)
				if most := sendFor(10*time.Second, p, c.bytes, c.replay); most > c.want+1 {
					t.Errorf("%d after an hour of silence: what was not used may be used for a tenth of a second only", most)
				}
			})
		})
	}
}

func TestTheBacklogWaitsForItsTimeOfTheDay(t *testing.T) {
	at := func(text string) time.Time {
		day, err := time.ParseInLocation("15:04:05", text, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		return day
	}
	for _, c := range []struct {
		window     string
		open, shut []string
	}{
		{"01:00-05:00", []string{"01:00:00", "04:59:59"}, []string{"00:59:59", "05:00:00", "13:00:00"}},
		{"22:30-05:00", []string{"22:30:00", "23:59:59", "00:00:00", "04:59:59"}, []string{"22:29:59", "05:00:00"}},
		{"22:00-00:00", []string{"22:00:00", "23:59:59"}, []string{"00:00:00", "21:59:59"}},
	} {
		var w Window
		if err := w.UnmarshalText([]byte(c.window)); err != nil || w.String() != c.window {
			t.Fatalf("%s is read as %v: %v", c.window, w, err)
		}
		for _, text := range c.open {
			if !w.open(at(text)) {
				t.Errorf("%s is not open at %s", c.window, text)
			}
		}
		for _, text := range c.shut {
			if w.open(at(text)) {
				t.Errorf("%s is open at %s", c.window, text)
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		opens := time.Now().Add(90 * time.Minute)
		cfg := Config{Replay: ReplayLiveFirst}
		if err := cfg.ReplayWindow.UnmarshalText([]byte(opens.Local().Format("15:04") + "-" + opens.Add(time.Hour).Local().Format("15:04"))); err != nil {
			t.Fatal(err)
		}
		cfg.SetDefaults()
		p := newPace(&cfg)
		for {
			backlog, again := p.look()
			if backlog {
				break
			}
			time.Sleep(again)
		}
		if late := time.Since(opens); late < -time.Minute || late > time.Minute {
			t.Errorf("it opened %v after its time", late)
		}
	})
}

func TestAMistakeInWhatMayGoUpIsAFault(t *testing.T) {
	for text, want := range map[string]string{
		`replay = "newest"`:                          `replay: "newest": want "in_order" or "live_first"`,
		`replay_window = "01:00-05:00"`:              `replay_window: 01:00-05:00: with replay = "in_order" all else would wait behind the backlog: want replay = "live_first"`,
		"replay = \"live_first\"\nmax_in_flight = 1": "",
	} {
		c := parse(t, "[[bridge]]\nname = \"cloud\"\nurl = \"mqtt://x\"\nup = [ { filter = \"#\" } ]\n"+text)
		if got := strings.Join(faults(&c), "\n"); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	for _, v := range []any{int64(0), int64(-1), "0kB", "fast", "1.5kB", "99999999999GB"} {
		if err := new(PerSecond).UnmarshalTOML(v); err == nil {
			t.Errorf("%v passes for a rate", v)
		}
	}
	for v, want := range map[any]PerSecond{"unlimited": unlimitedRate, "64kB": 64_000, "2MB": 2_000_000, "500": 500, int64(7): 7, "9B": 9} {
		var got PerSecond
		if err := got.UnmarshalTOML(v); err != nil || got != want {
			t.Errorf("%v: got %d, %v, want %d", v, got, err, want)
		}
	}
	for _, text := range []string{"", "01:00", "01:00-01:00", "24:00-05:00", "1-5"} {
		if err := new(Window).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q passes for a window", text)
		}
	}
}

func TestABacklogSaysHowOldItIsAndTheLiveDoesNot(t *testing.T) {
	t.Parallel()
	for _, version := range []string{version5, version311} {
		u, src := listenUpstream(t), newMemory(t)
		cfg := config(u.addr)
		cfg.Version = version
		own := Message{Topic: "field/a", Payload: []byte("old"), QoS: 1, Retain: true}
		own.Properties.User = []packet.UserProperty{{Key: []byte("k"), Value: []byte("v")}}
		src.add(own, true)
		start(t, cfg, src)
		c := u.welcome(nil)
		p := c.expectPublish()
		var got []string
		for _, u := range p.Properties.User {
			got = append(got, string(u.Key)+"="+string(u.Value))
		}
		want := []string{"k=v", "headgate-age-ms=90000"}
		if version == version311 {
			want = nil
		}
		if !slices.Equal(got, want) || !p.Retain {
			t.Errorf("MQTT %s: got user properties %q, RETAIN %v; want %q, true", version, got, p.Retain, want)
		}
		src.put("field/a", "new")
		if p := c.expectPublish(); len(p.Properties.User) > 0 {
			t.Errorf("the live one has user properties: %v", p.Properties.User)
		}
	}
}

func TestTheLiveGoesFirstAndTheBacklogBehindItAtItsRate(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.liveFirst = true
	cfg := config(u.addr)
	cfg.Replay = ReplayLiveFirst
	cfg.ReplayMaxRate.Messages = 1
	for _, payload := range []string{"old 1", "old 2", "old 3"} {
		src.put("field/a", payload)
	}
	start(t, cfg, src)
	c := u.welcome(nil)
	if p := c.expectPublish(); string(p.Payload) != "old 1" {
		t.Errorf("got %s, want the first old one", p.Payload)
	}
	for _, payload := range []string{"new 1", "new 2"} {
		src.put("field/a", payload)
		if p := c.expectPublish(); string(p.Payload) != payload {
			t.Errorf("got %s, want %s", p.Payload, payload)
		}
	}
	if p := c.expectPublish(); string(p.Payload) != "old 2" {
		t.Errorf("got %s, want the second old one", p.Payload)
	}
}

func TestWhatIsOnItsWayOfTheBacklogLeavesRoomForTheLive(t *testing.T) {
	t.Parallel()
	for qos := 1; qos <= 2; qos++ {
		u, src := listenUpstream(t), newMemory(t)
		src.liveFirst = true
		cfg := withQoS(config(u.addr), qos)
		cfg.Replay, cfg.MaxInFlight = ReplayLiveFirst, 16
		old := numbers(40)
		src.put("field/a", old...)
		start(t, cfg, src)
		c := u.welcome(nil)
		var ids []uint16
		for _, want := range old[:14] {
			p := c.expectPublish()
			if string(p.Payload) != want {
				t.Fatalf("got %s, want %s", p.Payload, want)
			}
			ids = append(ids, p.PacketID)
		}
		c.expectNothing("an eighth of the window is kept")
		for _, want := range []string{"live 1", "live 2"} {
			src.put("field/a", want)
			if p := c.expectPublish(); string(p.Payload) != want {
				t.Errorf("got %s, want %s", p.Payload, want)
			}
		}
		c.expectNothing("the window is full")
		for _, id := range ids[:3] {
			if qos == 1 {
				c.ack(packet.PUBACK, id, 0)
				continue
			}
			c.ack(packet.PUBREC, id, 0)
			c.expectAck(packet.PUBREL)
			c.ack(packet.PUBCOMP, id, 0)
		}
		if p := c.expectPublish(); string(p.Payload) != old[14] {
			t.Errorf("got %s, want %s: there is room again", p.Payload, old[14])
		}
		c.expectNothing("and for no more")
	}
}

func TestAMessageIsNotTooLargeForTheSakeOfItsAge(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.put("field/a", strings.Repeat("x", 85))
	start(t, config(u.addr), src)
	c := u.welcome(func(a *packet.Connack) {
		a.Properties.MaximumPacketSize = 100
		a.Properties.Set(packet.PropMaximumPacketSize)
	})
	if p := c.expectPublish(); len(p.Payload) != 85 || len(p.Properties.User) > 0 {
		t.Errorf("got %d bytes with %v", len(p.Payload), p.Properties.User)
	}
}
