package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/bridge"
	"headgate/broker"
	"headgate/broker/store"
	"headgate/gateway"
	"headgate/gateway/point"
)

// turnedClock is a machine's clock that a test sets.
type turnedClock struct {
	boot  byte
	begin time.Time // of the boot

	mu     sync.Mutex // guards what follows
	off    time.Duration
	synced bool
}

func (c *turnedClock) BootID() [16]byte         { return [16]byte{c.boot, 1} }
func (c *turnedClock) SinceBoot() time.Duration { return time.Since(c.begin) }

func (c *turnedClock) Wall() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.off), c.synced
}

// ahead is by how much the true time is ahead of the clock of the process that tests.
const ahead = 50 * 365 * 24 * time.Hour

func (c *turnedClock) set() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off, c.synced = ahead, true
}

// measuredOnce is an adapter with one point, of which it has one value.
type measuredOnce struct{}

func (measuredOnce) Name() string { return "meter" }
func (measuredOnce) Devices() []point.Device {
	return []point.Device{{Name: "meter", Points: []point.Info{{Name: "level"}}}}
}

func (measuredOnce) Write(context.Context, point.Command) (point.Value, error) {
	return point.Value{}, nil
}

func (measuredOnce) Run(ctx context.Context, emit func(point.Update)) error {
	emit(point.Update{Device: "meter", Samples: []point.Sample{{Point: "level", Value: point.OfInt(7), Time: time.Now()}}})
	<-ctx.Done()
	return ctx.Err()
}

// clockedBroker is a broker on a machine of that clock.
func clockedBroker(t *testing.T, dir string, c *turnedClock) (*broker.Broker, uplinkSource, func()) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(dir, store.Config{}, log)
	if err != nil {
		t.Fatal(err)
	}
	cfg := broker.Config{Clock: c}
	cfg.SetDefaults()
	b, err := broker.New(cfg, st, log)
	if err != nil {
		t.Fatal(err)
	}
	u, err := b.NewUplink("cloud", []broker.UplinkFilter{{Filter: "+/+/level", QoS: 1, QueueQoS0: true}}, false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		<-ended
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return b, uplinkSource{u, b.WallTime}, stop
}

// wantUp wants the words in what goes up first, and gives its time.
func wantUp(t *testing.T, s bridge.Source, words ...string) time.Time {
	t.Helper()
	s.Rewind()
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	o, err := s.Next(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range words {
		if !strings.Contains(string(o.Payload), w) {
			t.Errorf("what goes up has no %s: %s", w, o.Payload)
		}
	}
	var at struct{ Time time.Time }
	if err := json.Unmarshal(o.Payload, &at); err != nil {
		t.Errorf("%s: %v", o.Payload, err)
	}
	return at.Time
}

func TestWhatWasMeasuredBeforeTheClockWasSetGoesUpWithItsTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := &turnedClock{boot: 1, begin: time.Now().Add(-time.Minute)}
	b, up, stop := clockedBroker(t, dir, c)
	cfg := gateway.Config{ID: "plant"}
	cfg.SetDefaults()
	g, err := gateway.New(cfg, []gateway.Adapter{measuredOnce{}}, localPublisher{b.NewClient("gateway")}, b.Uptime, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- g.Run(ctx) }()
	wantUp(t, up, `"value":7`, `"clock":"unsynced","boot":`, `"uptime_ms":`)
	cancel()
	<-ended
	began, end := began.Add(ahead), time.Now().Add(ahead)

	// Both are rounded to milliseconds, and so is where the clock stood.
	c.set()
	at := wantUp(t, up, `"value":7`, `"clock":"corrected","quality":"good"`)
	if at.Before(began.Add(-5*time.Millisecond)) || at.After(end.Add(5*time.Millisecond)) {
		t.Errorf("measured between %v and %v, and goes up with %v", began, end, at)
	}

	// It still waits after the next boot, of which nobody knows the time yet.
	stop()
	c = &turnedClock{boot: 2, begin: time.Now()}
	_, up, _ = clockedBroker(t, dir, c)
	if again := wantUp(t, up, `"value":7`, `"clock":"corrected"`); again.Sub(at).Abs() > 5*time.Millisecond {
		t.Errorf("it went up with %v, and after the boot with %v", at, again)
	}
}
