package gateway

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headgate/gateway/point"
)

// watcher is an adapter that is shown what others say, and hears messages.
type watcher struct {
	fakeAdapter
	mu   sync.Mutex
	seen []string
}

func (w *watcher) note(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, line)
}

func (w *watcher) Observe(u point.Update) {
	for _, s := range u.Samples {
		w.note(fmt.Sprintf("%s.%s %v", u.Device, s.Point, s.Value))
	}
	if u.Status != nil {
		w.note(fmt.Sprintf("%s online %v %s", u.Device, u.Status.Online, u.Status.Reason))
	}
}

func (w *watcher) Topics() []string                  { return []string{"zigbee/plug"} }
func (w *watcher) Hear(topic string, payload []byte) { w.note(topic + " " + string(payload)) }

func (w *watcher) take() string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	s := strings.Join(w.seen, "\n")
	w.seen = nil
	return s
}

func TestAnObserverSeesEachSampleAndHearsItsTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		say := make(chan point.Update)
		field := &fakeAdapter{name: "rs485", devices: []point.Device{{Name: "meter1", Points: []point.Info{
			{Name: "voltage", Report: point.Report{Deadband: point.NewDeadband(10, false), Heartbeat: time.Hour}}}}}}
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
		w := &watcher{fakeAdapter: fakeAdapter{name: "derived"}}
		b := start(t, Config{}, field, w)
		if got := w.take(); got != "meter1 online false starting" {
			t.Errorf("at the start: got %q", got)
		}
		for _, v := range []float64{230, 231} { // the second is within the deadband
			say <- point.Update{Device: "meter1", Samples: []point.Sample{{Point: "voltage", Value: point.OfFloat(v), Time: time.Now()}}}
		}
		synctest.Wait()
		b.pub.send(Message{Topic: "zigbee/plug", Payload: []byte("12")})
		if got, want := w.take(), "meter1.voltage 230\nmeter1.voltage 231\nzigbee/plug 12"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestAnAlarmIsPublishedWhenItChangesAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		say := make(chan point.Sample)
		a := &fakeAdapter{name: "derived", devices: []point.Device{{Name: "plant", Points: []point.Info{{Name: "hot", Alarm: true, Message: "too hot"}}}}}
		a.run = func(ctx context.Context, emit func(point.Update)) error {
			emit(point.Update{Device: "plant", Status: &point.Status{Online: true, Time: time.Now()}})
			for {
				select {
				case s := <-say:
					s.Point = "hot"
					emit(point.Update{Device: "plant", Samples: []point.Sample{s}})
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		b := start(t, Config{}, a)
		b.pub.take()
		at := time.Now()
		for i, on := range []bool{true, true, false} {
			say <- point.Sample{Value: point.OfBool(on), Time: at.Add(time.Duration(i) * time.Second)}
		}
		say <- point.Sample{Quality: point.Bad, Reason: "no answer", Time: at.Add(3 * time.Second)}
		b.want(
			`gw/plant/hot {"value":true,"message":"too hot","since":"2000-01-01T00:00:00.000Z","time":"2000-01-01T00:00:00.000Z","quality":"good"} (retained)`,
			`gw/plant/hot {"value":false,"message":"too hot","since":"2000-01-01T00:00:02.000Z","time":"2000-01-01T00:00:02.000Z","quality":"good"} (retained)`,
			`gw/plant/hot {"value":null,"message":"too hot","since":"2000-01-01T00:00:03.000Z","time":"2000-01-01T00:00:03.000Z","quality":"bad","reason":"no answer"} (retained)`)
		if n := b.logs.count("level=WARN msg=alarm"); n != 1 {
			t.Errorf("the alarm is %d times in the log", n)
		}
	})
}
