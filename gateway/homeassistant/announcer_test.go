package homeassistant

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// board is a broker's retained messages.
type board struct {
	mu       sync.Mutex // guards all
	retained map[string]string
	sent     []string // topics, in order; "-" in front where it was empty
	handle   func([]byte)
	heard    string
}

func (b *board) Publish(topic string, payload []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(payload) == 0 {
		delete(b.retained, topic)
		b.sent = append(b.sent, "-"+topic)
		return nil
	}
	b.retained[topic] = string(payload)
	b.sent = append(b.sent, topic)
	return nil
}

func (b *board) Subscribe(topic string, handle func([]byte)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard, b.handle = topic, handle
	return nil
}

func (b *board) Retained(filter string, fn func(string, []byte)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, after, wild := strings.Cut(filter, "+")
	for topic, payload := range b.retained {
		if topic == filter || wild && strings.HasPrefix(topic, before) && strings.HasSuffix(topic, after) && len(topic) > len(before)+len(after) {
			fn(topic, []byte(payload))
		}
	}
}

func (b *board) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	sent := b.sent
	b.sent = nil
	return sent
}

// runWhile runs an Announcer while do runs.
func runWhile(a *Announcer, do func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { a.Run(ctx) })
	synctest.Wait()
	do()
	cancel()
	running.Wait()
}

const (
	gatewayTopic = "homeassistant/device/plant/_gateway/config"
	boilerTopic  = "homeassistant/device/plant/boiler/config"
)

func TestHomeAssistantIsToldAgainWhenItStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{retained: map[string]string{}}
		var refreshed atomic.Int64
		cfg := Config{Enabled: true, Prefix: "ha", Include: []string{"boiler"}}
		a := New(cfg, "plant", "1.0", field(), topics{}, func() { refreshed.Add(1) }, b, slog.New(slog.DiscardHandler))
		runWhile(a, func() {
			want := []string{"ha/device/plant/_gateway/config", "ha/device/plant/boiler/config"}
			if got := b.take(); !slices.Equal(got, want) {
				t.Errorf("at the start: got %v, want %v", got, want)
			}
			if b.heard != "ha/status" {
				t.Errorf("it hears %s", b.heard)
			}
			b.handle([]byte("offline"))
			<-time.After(2 * maxJitter)
			if got := b.take(); len(got) > 0 || refreshed.Load() > 0 {
				t.Errorf("after its end: got %v, %d refreshed", got, refreshed.Load())
			}
			for range 100 { // many at once are one
				b.handle([]byte("online"))
			}
			<-time.After(2 * maxJitter)
			if got := b.take(); len(got) < 2 || len(got) > 4 || !slices.Equal(got[:2], want) || int(refreshed.Load()) != len(got)/2 {
				t.Errorf("after its start: got %v, %d refreshed", got, refreshed.Load())
			}
		})
	})
}

func TestWhatIsGoneIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{retained: map[string]string{
			"homeassistant/device/plant/other/config": `{"origin":{"name":"zigbee2mqtt"}}`,
			"homeassistant/device/plant2/x/config":    `{"origin":{"name":"headgate"}}`,
		}}
		start := func(cfg Config) []string {
			runWhile(newAnnouncer(cfg, field(), b), func() {})
			return b.take()
		}
		start(Config{Enabled: true})
		if len(b.retained) != 5 {
			t.Fatalf("got %d retained, want 5", len(b.retained))
		}
		got := start(Config{Enabled: true, Include: []string{"boiler"}})
		if len(got) != 3 || !strings.HasPrefix(got[0], "-homeassistant/device/plant/meter_1-") || got[1] != gatewayTopic || got[2] != boilerTopic {
			t.Errorf("a device that is gone: got %v", got)
		}
		got = start(Config{Enabled: true, Prefix: "ha", Include: []string{"boiler"}})
		slices.Sort(got)
		if want := []string{"-" + gatewayTopic, "-" + boilerTopic, "ha/device/plant/_gateway/config", "ha/device/plant/boiler/config"}; !slices.Equal(got, want) {
			t.Errorf("another prefix: got %v, want %v", got, want)
		}
		if got = start(Config{Prefix: "ha"}); len(got) != 2 || got[0][0] != '-' || got[1][0] != '-' {
			t.Errorf("switched off: got %v", got)
		}
		if len(b.retained) != 2 {
			t.Errorf("what is not ours went, too: %v", b.retained)
		}
	})
}

// Home Assistant keeps an entity that a new message does not name; one with nothing
// but its platform is taken away.
func TestAnEntityThatIsGoneIsTakenAwayFromItsDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{retained: map[string]string{}}
		var said []map[string]json.RawMessage
		hear := func(cfg Config) {
			said = nil
			a := newAnnouncer(cfg, field()[1:2], recording{b, func(topic string, payload []byte) {
				var m struct{ Components map[string]json.RawMessage }
				if topic == boilerTopic && json.Unmarshal(payload, &m) == nil {
					said = append(said, m.Components)
				}
			}})
			runWhile(a, func() {})
		}
		hear(Config{Enabled: true})
		if len(said) != 1 || len(said[0]) != 8 {
			t.Fatalf("got %v", said)
		}
		hear(Config{Enabled: true, Point: []Point{{Point: "boiler/mode", Hide: true}, {Point: "boiler/pump", Component: "sensor"}}})
		if len(said) != 2 {
			t.Fatalf("got %d messages, want 2", len(said))
		}
		if string(said[0]["select_mode"]) != `{"platform":"select"}` || string(said[0]["switch_pump"]) != `{"platform":"switch"}` || len(said[0]["sensor_pump"]) < 100 {
			t.Errorf("got %s", said[0])
		}
		if len(said[1]) != 7 || said[1]["select_mode"] != nil {
			t.Errorf("got %s", said[1])
		}
		hear(Config{Enabled: true, Point: []Point{{Point: "boiler/mode", Hide: true}}})
		hear(Config{Enabled: true, Point: []Point{{Point: "boiler/mode", Hide: true}}})
		if len(said) != 1 {
			t.Errorf("nothing is gone: got %d messages, want 1", len(said))
		}
	})
}

type recording struct {
	*board
	said func(topic string, payload []byte)
}

func (r recording) Publish(topic string, payload []byte) error {
	r.said(topic, payload)
	return r.board.Publish(topic, payload)
}
