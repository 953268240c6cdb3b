package gateway

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"headgate/gateway/point"
)

// ticker is an adapter with one device, which says a number each second, and takes
// lag to end.
type ticker struct {
	fakeAdapter
	lag     time.Duration
	running atomic.Int32
}

func newTicker(link, device string, lag time.Duration) *ticker {
	a := &ticker{lag: lag}
	a.name = link
	a.devices = []point.Device{{Name: device, Points: []point.Info{{Name: "n", Writable: true}}}}
	a.fakeAdapter.run = func(ctx context.Context, emit func(point.Update)) error {
		a.running.Add(1)
		defer a.running.Add(-1)
		emit(point.Update{Device: device, Status: &point.Status{Online: true}})
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for n := int64(1); ; n++ {
			select {
			case <-tick.C:
				emit(point.Update{Device: device, Samples: []point.Sample{{Point: "n", Value: point.OfInt(n), Time: time.Now()}}})
			case <-ctx.Done():
				<-time.After(a.lag)
				return ctx.Err()
			}
		}
	}
	a.write = func(_ context.Context, cmd point.Command) (point.Value, error) { return cmd.Value, nil }
	return a
}

// numbers gives what was published of a device since the last call: its numbers, and
// of its status "on" or why it is offline.
func (b *bench) numbers(device string) string {
	synctest.Wait()
	var all []string
	for _, m := range b.pub.whole() {
		_, number, isValue := strings.Cut(string(m.Payload), `"value":`)
		_, reason, isOffline := strings.Cut(string(m.Payload), `"reason":"`)
		switch {
		case m.Topic == "gw/"+device+"/n" && isValue:
			number, _, _ = strings.Cut(number, ",")
			all = append(all, number)
		case m.Topic == "gw/"+device+"/status" && isOffline:
			reason, _, _ = strings.Cut(reason, `"`)
			all = append(all, reason)
		case m.Topic == "gw/"+device+"/status":
			all = append(all, "on")
		}
	}
	return strings.Join(all, " ")
}

func TestALinkThatStaysMissesNothingWhileOthersBeginAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steady, old := newTicker("a", "steady", 0), newTicker("b", "meter", 3*time.Second)
		b := start(t, Config{}, steady, old)
		<-time.After(2500 * time.Millisecond)
		if got := b.numbers("steady"); got != "starting on 1 2" {
			t.Fatalf("before: got %q", got)
		}
		// Changed: for 3 s the old one does not end, and the new one must not begin.
		changed, added := newTicker("b", "meter", 0), newTicker("c", "more", 0)
		done := make(chan error, 1)
		go func() { done <- b.Replace([]Adapter{changed, steady, added}) }()
		<-time.After(2 * time.Second)
		if old.running.Load() != 1 || changed.running.Load()+added.running.Load() != 0 {
			t.Error("a new link has begun before the old one has ended")
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := b.numbers("steady"); got != "3 4 5" {
			t.Errorf("while another link changes: got %q", got)
		}
		<-time.After(time.Second)
		var names []string
		for _, d := range b.Devices() {
			names = append(names, d.Name)
		}
		if got := fmt.Sprint(names); got != "[meter steady more]" {
			t.Errorf("devices are %v", got)
		}
		b.pub.take()
		for _, device := range names {
			b.pub.send(Message{Topic: "gw/" + device + "/n/set", Payload: []byte("7"), QoS: 1})
		}
		synctest.Wait()
		if got := b.Stats().Commands["ok"]; got != 3 {
			t.Errorf("%d of 3 commands are carried out", got)
		}
		before := b.Stats()
		// Taken out.
		if err := b.Replace([]Adapter{steady}); err != nil {
			t.Fatal(err)
		}
		if s := b.Stats(); len(s.Devices) != 1 || s.Samples != before.Samples || s.Devices[0].Samples != before.Devices[1].Samples {
			t.Errorf("stats were %+v, are %+v", before, s)
		}
		b.pub.send(Message{Topic: "gw/more/n/set", Payload: []byte("7"), QoS: 1})
		synctest.Wait()
		if got := strings.Join(b.pub.take(), "\n"); !strings.Contains(got, "there is no device") || !strings.Contains(got, `gw/more/status {"status":"offline","reason":"the link was changed or taken out"`) {
			t.Errorf("published of what is gone:\n%s", got)
		}
		if old.running.Load()+changed.running.Load()+added.running.Load() != 0 || steady.running.Load() != 1 {
			t.Error("not only the link that stays runs")
		}
		if err := b.stop(); err != nil || steady.running.Load() != 0 {
			t.Errorf("at the end: %v, %d run", err, steady.running.Load())
		}
		if err := b.Replace([]Adapter{old}); err != errStopping {
			t.Errorf("after the end: got %v", err)
		}
	})
}

func TestCommandsOfALinkThatEndsAreAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := newTicker("b", "meter1", 0)
		old.write = func(ctx context.Context, _ point.Command) (point.Value, error) {
			<-ctx.Done()
			return point.Value{}, fmt.Errorf("%w: the adapter is stopping", point.ErrOffline)
		}
		b := start(t, Config{}, old)
		b.pub.take()
		for id := range 2 {
			b.pub.send(Message{Topic: "gw/meter1/n/set", Payload: fmt.Appendf(nil, `{"value":1,"id":%d}`, id), QoS: 1})
			synctest.Wait()
		}
		if err := b.Replace(nil); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(b.pub.take(), "\n")
		for _, want := range []string{
			`{"status":"offline","reason":"offline: the adapter is stopping","id":0,`,
			`{"status":"refused","reason":"the link was changed or taken out","id":1,`,
		} {
			if !strings.Contains(got, want) {
				t.Errorf("published:\n%s\nwant %s", got, want)
			}
		}
	})
}

func TestAdaptersThatCannotBeTogetherChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steady := newTicker("a", "steady", 0)
		b := start(t, Config{}, steady)
		if err := b.Replace([]Adapter{newTicker("b", "steady", 0)}); err != nil {
			t.Fatal(err) // the device goes to another link
		}
		b.numbers("steady")
		err := b.Replace([]Adapter{newTicker("c", "x", 0), newTicker("d", "x", 0)})
		if err == nil || !strings.Contains(err.Error(), `device "x" is in adapter "c" and in adapter "d"`) {
			t.Errorf("got %v", err)
		}
		<-time.After(1500 * time.Millisecond)
		if got := b.numbers("steady"); got != "1" {
			t.Errorf("got %q", got)
		}
		b.pub.refuse = context.Canceled
		if err := b.Replace([]Adapter{&watcher{}}); err == nil || !strings.Contains(err.Error(), "zigbee/plug") {
			t.Errorf("a topic that cannot be subscribed to: got %v", err)
		}
		<-time.After(time.Second)
		if got := b.numbers("steady"); got != "2" {
			t.Errorf("got %q", got)
		}
	})
}

func TestANewObserverIsToldWhatWasSaidLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steady, old := newTicker("a", "steady", 0), &watcher{fakeAdapter: fakeAdapter{name: "derived"}}
		b := start(t, Config{}, steady, old)
		<-time.After(1500 * time.Millisecond)
		old.take()
		fresh := &watcher{fakeAdapter: fakeAdapter{name: "derived"}}
		if err := b.Replace([]Adapter{steady, fresh}); err != nil {
			t.Fatal(err)
		}
		if got, want := fresh.take(), "steady.n 1\nsteady online true "; got != want {
			t.Errorf("it is told %q, want %q", got, want)
		}
		b.pub.send(Message{Topic: "zigbee/plug", Payload: []byte("12")})
		if got, gone := fresh.take(), old.take(); got != "zigbee/plug 12" || gone != "" {
			t.Errorf("the new one hears %q, the old one %q", got, gone)
		}
		if err := b.Replace([]Adapter{steady}); err != nil {
			t.Fatal(err)
		}
		b.pub.mu.Lock()
		defer b.pub.mu.Unlock()
		if b.pub.exact["zigbee/plug"] != nil {
			t.Error("what nobody wants to hear is still subscribed to")
		}
	})
}
