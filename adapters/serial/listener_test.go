package serial

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"headgate/gateway/point"
)

// ear is a listener with a clock that the test sets, and what it emits.
type ear struct {
	*listener
	t    *testing.T
	now  time.Time
	got  []string
	logs strings.Builder
}

func listen(t *testing.T, cfg Config) *ear {
	t.Helper()
	cfg.Name = "scale"
	if cfg.Parse.empty() {
		cfg.Parse.Regexp = `^\s*(?P<weight>[-\d.]+)\s*kg(?: (?P<state>\w+))?$`
		cfg.Points = []Point{{Name: "weight", Unit: "kg"}}
	}
	cfg.SetDefaults()
	e := &ear{t: t, now: time.Unix(1_800_000_000, 0)}
	p, err := newParser(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f, err := newFramer(cfg.Frame)
	if err != nil {
		t.Fatal(err)
	}
	e.listener = newListener(cfg, p, nil, f, slog.New(slog.NewTextHandler(&e.logs, nil)))
	begin := e.now
	e.begin(e.now, func(u point.Update) {
		if u.Device != "scale" {
			t.Errorf("an update of device %q", u.Device)
		}
		if s := u.Status; s != nil && s.Online {
			e.got = append(e.got, "online")
		} else if s != nil {
			e.got = append(e.got, "offline: "+s.Reason)
		}
		for _, s := range u.Samples {
			e.got = append(e.got, fmt.Sprintf("%s at %v", say([]point.Sample{s}), s.Time.Sub(begin)))
		}
	})
	return e
}

// after lets time pass, in the steps in which the adapter would.
func (e *ear) after(d time.Duration) *ear {
	for end := e.now.Add(d); e.now.Before(end); {
		step := min(e.tick(e.now, time.Second), end.Sub(e.now))
		if step <= 0 {
			e.t.Fatalf("a wait of %v", step)
		}
		e.now = e.now.Add(step)
	}
	e.tick(e.now, time.Second)
	return e
}

func (e *ear) hear(s string) *ear { e.take(e.now, []byte(s)); return e }

func (e *ear) want(lines ...string) {
	e.t.Helper()
	if strings.Join(e.got, "\n") != strings.Join(lines, "\n") {
		e.t.Errorf("emitted:\n  %s\nwant:\n  %s", strings.Join(e.got, "\n  "), strings.Join(lines, "\n  "))
	}
	e.got = nil
}

func TestADeviceThatMayBeSilentIsOnlineWithItsPort(t *testing.T) {
	e := listen(t, Config{})
	e.lost(e.now, "open /dev/ttyUSB1: no such file or directory")
	e.lost(e.now, "open /dev/ttyUSB1: no such file or directory")
	e.want("offline: open /dev/ttyUSB1: no such file or directory")
	e.open(e.now)
	e.want("online")
	e.after(24 * time.Hour).hear(" 12.5 ")
	e.after(time.Second).hear("kg ok\r")
	e.hear("\n")
	e.want("weight=12.5kg at 24h0m1s", `state="ok" at 24h0m1s`)
	e.after(24 * time.Hour)
	e.want()
}

func TestSilenceMakesValuesStale(t *testing.T) {
	e := listen(t, Config{StaleAfter: 30 * time.Second})
	e.open(e.now)
	e.want("offline: the port is open, nothing has come yet")
	e.after(29 * time.Second)
	e.want()
	e.after(time.Second)
	e.want("offline: silent for 30s") // and no value, for there was none
	e.after(time.Hour).hear("12.5 kg\n")
	e.want("online", "weight=12.5kg at 1h0m30s")
	e.after(29 * time.Second).hear("13 kg\n")
	e.want("weight=13kg at 1h0m59s")
	e.after(30 * time.Second)
	e.want("offline: silent for 30s", "weight=13kg(stale: silent for 30s) at 1h0m59s")
	e.after(time.Hour)
	e.want()
	e.hear("14 kg\n")
	e.want("online", "weight=14kg at 2h1m29s")
}

func TestLinesThatDoNotMatchAreSilenceToo(t *testing.T) {
	e := listen(t, Config{StaleAfter: 2 * time.Second})
	e.open(e.now)
	e.after(time.Second).hear("1 kg\n")
	e.got = nil
	e.after(time.Second).hear("nothing\n")
	e.after(time.Second).hear("nothing\n")
	e.want("offline: no message matched parse for 2s", "weight=1kg(stale: no message matched parse for 2s) at 1s")
}

func TestOnlyThePointsThatAreNotHeardAnyMoreGoStale(t *testing.T) {
	e := listen(t, Config{
		StaleAfter: 10 * time.Second,
		Parse:      Parse{Regexp: `^(?:T(?P<temperature>\d+)|H(?P<humidity>\d+)|B(?P<battery>\d+))$`},
		Points:     []Point{{Name: "temperature"}, {Name: "humidity"}, {Name: "battery", StaleAfter: time.Minute}},
	})
	e.open(e.now)
	e.after(time.Second).hear("T20\nH50\nB90\n")
	e.got = nil
	for range 3 {
		e.after(4 * time.Second).hear("T21\n")
	}
	e.want("temperature=21 at 5s", "temperature=21 at 9s", "humidity=50(stale: in no message for 10s) at 1s", "temperature=21 at 13s")
	e.after(5 * time.Second).hear("H51\n") // it is fresh again, by itself
	e.after(6 * time.Second)
	e.want("humidity=51 at 18s", "temperature=21(stale: in no message for 10s) at 13s")
	e.after(time.Minute)
	e.want("offline: silent for 10s", "humidity=51(stale: silent for 10s) at 18s", "battery=90(stale: silent for 10s) at 1s")
}

func TestAPointMayGrowStaleOfADeviceThatMayBeSilent(t *testing.T) {
	e := listen(t, Config{
		Parse:  Parse{Regexp: `^(?P<count>\d+)$`},
		Points: []Point{{Name: "count", StaleAfter: time.Hour}},
	})
	e.open(e.now)
	e.after(time.Second).hear("1\n")
	e.after(2 * time.Hour)
	e.want("online", "count=1 at 1s", "count=1(stale: in no message for 1h0m0s) at 1s")
}

func TestValuesGoStaleWhileThePortIsGone(t *testing.T) {
	e := listen(t, Config{StaleAfter: 10 * time.Second})
	e.open(e.now)
	e.after(time.Second).hear("1 kg\n")
	e.after(4 * time.Second)
	e.got = nil
	e.lost(e.now, "it is gone")
	e.after(3 * time.Second)
	e.want("offline: it is gone")
	// Coming back does not make a value any younger.
	e.open(e.now)
	e.after(2 * time.Second)
	e.lost(e.now, "it is gone again")
	e.after(5 * time.Second)
	e.want(
		"offline: the port is open, nothing has come yet",
		"offline: it is gone again",
		"weight=1kg(stale: it is gone again) at 1s",
	)
	e.open(e.now)
	e.after(9 * time.Second)
	e.want("offline: the port is open, nothing has come yet")
	e.after(time.Second)
	e.want("offline: silent for 10s")
	e.hear("2 kg\n")
	e.want("online", "weight=2kg at 25s")
}

func TestAPortThatComesAndGoesDoesNotKeepValuesFresh(t *testing.T) {
	e := listen(t, Config{StaleAfter: 10 * time.Second})
	e.open(e.now)
	e.after(time.Second).hear("1 kg\n")
	for range 10 {
		e.lost(e.now, "it is gone")
		e.after(time.Second)
		e.open(e.now)
		e.after(time.Second)
	}
	if got := strings.Join(e.got, "\n"); strings.Count(got, "stale") != 1 {
		t.Errorf("emitted:\n%s\nwant the value stale once", got)
	}
}

func TestWhatBeganBeforeThePortWasOpenIsDropped(t *testing.T) {
	e := listen(t, Config{})
	e.open(e.now)
	e.after(5 * time.Millisecond).hear("2.5 kg\r\n112.6 kg\r\n")
	e.want("online", "weight=112.6kg at 5ms")
	e.open(e.now)
	e.after(cutWithin).hear("12.7 kg\r\n")
	e.want("online", "weight=12.7kg at 105ms")
	// Half a line from before an unplug does not become part of another.
	e.hear("1")
	e.lost(e.now, "it is gone")
	e.open(e.now)
	e.after(time.Second).hear("2.8 kg\n")
	e.want("offline: it is gone", "online", "weight=2.8kg at 1.105s")
	if s := e.stats; s.Unmatched != 0 || s.TooLong != 0 || s.Opened != 3 || s.Messages != 3 {
		t.Errorf("stats are %+v", s)
	}
}

func TestALineThatIsTooLongMakesThePointsBadOnce(t *testing.T) {
	e := listen(t, Config{Frame: Frame{Max: 16}, StaleAfter: time.Minute})
	e.open(e.now)
	e.after(time.Second).hear("1 kg ok\n")
	e.got = nil
	e.hear(strings.Repeat("x", 16))
	e.want()
	e.hear("x")
	e.want(
		"weight=nullkg(bad: a message longer than 16 bytes was dropped) at 1s",
		"state=null(bad: a message longer than 16 bytes was dropped) at 1s",
	)
	e.hear(strings.Repeat("y", 1000) + "\n" + strings.Repeat("z", 1000) + "\n")
	e.want()
	e.hear("2 kg\n")
	e.want("weight=2kg at 1s")
	if s := e.stats; s.TooLong != 2 || s.Unmatched != 0 {
		t.Errorf("stats are %+v", s)
	}
	// What is bad does not become stale: there is no value.
	e.after(time.Minute)
	e.want("offline: silent for 1m0s", "weight=2kg(stale: silent for 1m0s) at 1s")
}

func TestLinesThatDoNotMatchAreLoggedOnceNotEach(t *testing.T) {
	e := listen(t, Config{})
	e.open(e.now)
	e.after(time.Second)
	e.got = nil
	for range missesToWarn - 1 {
		e.hear("garbage\n")
	}
	if e.logs.Len() > 0 {
		t.Errorf("logged:\n%s", e.logs.String())
	}
	for range 100 {
		e.hear("garbage\n")
	}
	e.hear("1 kg\n").hear("2 kg\n")
	e.want("weight=1kg at 1s", "weight=2kg at 1s")
	if got := e.logs.String(); strings.Count(got, "level=WARN") != 1 || strings.Count(got, "level=INFO") != 1 || !strings.Contains(got, "count=119") {
		t.Errorf("logged:\n%s", got)
	}
	if s := e.stats; s.Unmatched != 119 || s.Messages != 121 {
		t.Errorf("stats are %+v", s)
	}
}

func TestTheDeviceSurvivesTenMegabytesOfNoise(t *testing.T) {
	e := listen(t, Config{})
	e.open(e.now)
	e.after(time.Second)
	e.got = nil
	noise := rand.New(rand.NewPCG(3, 4))
	chunk := make([]byte, 4096)
	for range 10 << 20 / len(chunk) {
		for i := range chunk {
			chunk[i] = byte(noise.Uint32())
		}
		e.take(e.now, chunk)
	}
	e.hear("\n12.5 kg\n")
	if len(e.got) > 10 || e.got[len(e.got)-1] != "weight=12.5kg at 1s" {
		t.Errorf("%d updates, the last ones %q", len(e.got), e.got[max(0, len(e.got)-3):])
	}
	if n := strings.Count(e.logs.String(), "\n"); n > 4 {
		t.Errorf("%d lines of log", n)
	}
}
