package gateway

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"headgate/gateway/point"
)

func TestWhatWasMeasuredBeforeTheClockWasSetIsNeverSaidWithoutThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		say := make(chan point.Update)
		field := &fakeAdapter{name: "rs485", devices: []point.Device{{Name: "meter1", Points: []point.Info{{Name: "voltage"}, {Name: "hot", Alarm: true}}}}}
		field.run = func(ctx context.Context, emit func(point.Update)) error {
			for {
				select {
				case u := <-say:
					emit(u)
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		var kept atomic.Bool
		clock := func(time.Time) (uint32, time.Duration, bool) { return 17, time.Second, kept.Load() }
		cfg, pub := Config{ID: "gw"}, &recorder{}
		cfg.SetDefaults()
		g, err := New(cfg, []Adapter{field}, pub, clock, quietLog())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.Run(ctx) }()
		measured := func(q point.Quality) {
			say <- point.Update{Device: "meter1", Samples: []point.Sample{
				{Point: "voltage", Value: point.OfInt(5), Time: time.Now()}, {Point: "hot", Value: point.OfBool(true), Quality: q, Time: time.Now()}}}
			synctest.Wait()
		}
		measured(point.Good)
		pub.take()
		kept.Store(true)
		g.SayAgain()
		if got := strings.Join(pub.take(), "\n"); !strings.Contains(got, `"clock":"unsynced","boot":17`) {
			t.Errorf("said again: %s", got)
		}
		measured(point.Stale) // the alarm's since is of before
		got := pub.take()
		for _, line := range got {
			if alarm := strings.Contains(line, "since"); alarm != strings.Contains(line, "unsynced") {
				t.Errorf("got %s", line)
			}
		}
		if len(got) != 2 {
			t.Errorf("got %q", got)
		}
		cancel()
		<-done
	})
}
