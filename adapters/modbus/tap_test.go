package modbus

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/adapters/modbus/modbussim"
)

// listening has somebody listen to the adapter's link, and gives what he has heard.
func listening(t *testing.T, x *tested) (texts func() string) {
	t.Helper()
	var mu sync.Mutex
	var all []string
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		x.Sniff(ctx, func(h Heard) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, h.Text)
		})
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(all, "\n") + "\n"
	}
}

// heard waits until that text has been.
func heard(t *testing.T, texts func() string, want string) {
	t.Helper()
	for end := time.Now().Add(guard); !strings.Contains(texts(), want); <-time.After(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%q is not heard, but:\n%.2000s", want, texts())
		}
	}
}

func TestWhatTheAdapterAsksAndHearsCanBeListenedTo(t *testing.T) {
	for name, serving := range everyLink() {
		t.Run(name, func(t *testing.T) {
			s := modbussim.New()
			s.Unit(7).SetHolding(0, 0x1234, 5)
			cfg := serving(t, s)
			cfg.Name, cfg.Timeout = "link", 200*time.Millisecond
			cfg.Device = []Device{deviceOf("m", 7, holding("x", 0), holding("y", 1))}
			x := runConfig(t, cfg)
			texts := listening(t, x)
			heard(t, texts, "unit 7: read holding registers 0-1?\nunit 7: 1234 0005\nunit 7: read holding registers 0-1?\n")
			s.Unit(7).Inject(modbussim.Fault{Exception: 4, Times: 1})
			heard(t, texts, "unit 7: exception 4 (")
		})
	}
}

// TestAListenerThatTakesNothingKeepsNobody: polls go on, and he is told what he has
// missed.
func TestAListenerThatTakesNothingKeepsNobody(t *testing.T) {
	s, url := overTCP(t)
	s.Unit(7).SetHolding(0, 1)
	d := deviceOf("m", 7, holding("x", 0))
	d.Interval = minInterval
	x := run(t, url, time.Second, d)
	release := make(chan struct{})
	missed := make(chan string, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		x.Sniff(ctx, func(h Heard) {
			<-release
			if strings.Contains(h.Text, "lost") {
				select {
				case missed <- h.Text:
				default:
				}
			}
		})
	}()
	before := x.Stats().Requests
	for end := time.Now().Add(guard); x.Stats().Requests < before+maxTapped; <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the polls wait for the listener")
		}
	}
	close(release)
	select {
	case text := <-missed:
		if !strings.Contains(text, "came faster than they were taken") {
			t.Errorf("he is told %q", text)
		}
	case <-time.After(guard):
		t.Error("he is not told what he has missed")
	}
	cancel()
	<-ended
	if n := len(x.transport.taps.listeners); n != 0 {
		t.Errorf("%d listeners are left", n)
	}
}

func TestASnifferKnowsTheFramesOfModbusTCP(t *testing.T) {
	line := "\x00\x01\x00\x00\x00\x06\x07\x03\x00\x64\x00\x02" + "\x00\x01\x00\x00\x00\x07\x07\x03\x04\x12\x34\x56\x78" +
		"\xff" + "\x00\x02\x00\x00\x00\x06\x08\x01\x00\x00\x00\x03" + "\x00\x02\x00\x00\x00\x03\x08\x81\x01"
	want := "unit 7: read holding registers 100-101?\nunit 7: 1234 5678\nno frame: ff\nunit 8: read coils 0-2?\nunit 8: exception 1 (illegal function)"
	for _, size := range []int{len(line), 1, 5} {
		s := sniffer{framing: mbap}
		var got []string
		for from := 0; from < len(line); from += size {
			for _, h := range s.feed([]byte(line[from:min(from+size, len(line))]), time.Now(), false) {
				got = append(got, h.Text)
			}
		}
		if text := strings.Join(got, "\n"); text != want {
			t.Errorf("%d bytes at a time: got\n%s\nwant\n%s", size, text, want)
		}
	}
}
