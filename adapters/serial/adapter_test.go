package serial

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/adapters/port"
	"headgate/gateway/point"
)

// hangs is when a test gives up waiting; nothing here takes near as long.
const hangs = 30 * time.Second

// plug makes a line whose port can be opened at path, and gives the device's end.
func plug(t *testing.T, path string) io.ReadWriteCloser {
	t.Helper()
	name, device, err := port.Pair(port.Mode{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { device.Close() })
	// The link is there at once or not at all, as udev makes it.
	if err := os.Symlink(name, path+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return device
}

// unplug takes the line away again.
func unplug(t *testing.T, path string, device io.Closer) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := device.Close(); err != nil {
		t.Fatal(err)
	}
}

// running is an adapter that runs until the test ends, and what it has emitted.
type running struct {
	*Adapter
	t    *testing.T
	stop func() error

	mu      sync.Mutex
	words   []string // as listener_test has them
	samples []point.Sample
	logs    strings.Builder
}

func run(t *testing.T, path string, change func(*Config)) *running {
	t.Helper()
	return runAfter(t, path, change, func() {})
}

// runAfter does first in the goroutine of Run.
func runAfter(t *testing.T, path string, change func(*Config), first func()) *running {
	t.Helper()
	cfg := Config{
		Name: "scale", URL: "serial://" + path + "?baud=115200",
		Parse:  Parse{Regexp: `^(?P<state>ST|US),GS,(?P<weight>[-+ \d.]+)kg$`},
		Points: []Point{{Name: "weight", Unit: "kg", Type: "number"}},
	}
	if change != nil {
		change(&cfg)
	}
	cfg.SetDefaults()
	cfg.Check(func(key, format string, args ...any) { t.Fatalf("%s: "+format, append([]any{key}, args...)...) })
	r := &running{t: t}
	var err error
	r.Adapter, err = New(cfg, slog.New(slog.NewTextHandler(lines{r}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		first()
		done <- r.Run(ctx, r.emit)
	}()
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *running) emit(u point.Update) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := u.Status; s != nil && s.Online {
		r.words = append(r.words, "online")
	} else if s != nil {
		r.words = append(r.words, "offline: "+s.Reason)
	}
	for _, s := range u.Samples {
		r.words = append(r.words, say([]point.Sample{s}))
		r.samples = append(r.samples, s)
	}
}

// lines is the log of a running adapter.
type lines struct{ *running }

func (l lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.logs.Write(b)
}

func (r *running) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.logs.String()
}

// until waits until ok.
func (r *running) until(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(hangs); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.t.Fatalf("waited in vain %s; it emitted:\n  %s", what, strings.Join(r.words, "\n  "))
		}
	}
}

// hear waits until something that begins with word has been emitted, and
// forgets all up to it.
func (r *running) hear(word string) {
	r.t.Helper()
	r.until("for "+word, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for i, w := range r.words {
			if strings.HasPrefix(w, word) {
				r.words = r.words[i+1:]
				return true
			}
		}
		return false
	})
}

// opened waits until the port has been opened n times, and until what comes is
// no longer taken for the rest of a line.
func (r *running) opened(n uint64) {
	r.t.Helper()
	r.until("for the port to open", func() bool { return r.Stats().Opened >= n })
	time.Sleep(cutWithin)
}

func speak(t *testing.T, device io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(device, text); err != nil {
		t.Fatal(err)
	}
}

func TestAScaleIsHeard(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ttyUSB1")
	scale := plug(t, path)
	r := run(t, path, nil)
	r.hear("online")
	r.opened(1)
	speak(t, scale, "ST,GS,+  12.50kg\r\nUS,GS,-0000.25kg\r\n")
	r.hear(`state="ST"`)
	r.hear(`weight=12.5kg`)
	r.hear(`state="US"`)
	r.hear(`weight=-0.25kg`)

	speak(t, scale, "ST,GS,+0")
	r.until("for the bytes", func() bool { return r.Stats().Bytes == 44 })
	before := time.Now()
	speak(t, scale, "7.00kg\r")
	r.hear(`weight=7kg`)
	r.mu.Lock()
	at := r.samples[len(r.samples)-1].Time
	r.mu.Unlock()
	if at.Before(before) || at.After(time.Now()) {
		t.Errorf("measured at %v, but the last byte came after %v", at, before)
	}
	if err := r.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Run ended with %v", err)
	}
	if s := r.Stats(); s != (Stats{Opened: 1, Bytes: 51, Messages: 3}) {
		t.Errorf("stats are %+v", s)
	}
}

func TestASilenceOnALineEndsAMessage(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ttyUSB1")
	device := plug(t, path)
	r := run(t, path, func(c *Config) {
		c.Frame = Frame{Kind: "idle", Gap: 20 * time.Millisecond}
		c.Parse = Parse{Kind: "raw"}
		c.Points = []Point{{Name: "bytes", From: "hex"}}
	})
	r.hear("online")
	r.opened(1)
	r.until("for a message of its own", func() bool { // who is slow hears two as one
		speak(t, device, "\x01\xff\n")
		time.Sleep(50 * time.Millisecond)
		r.mu.Lock()
		defer r.mu.Unlock()
		return slices.Contains(r.words, `bytes="01ff0a"`)
	})
}

func TestSilenceOnALineMakesValuesStale(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ttyUSB1")
	scale := plug(t, path)
	r := run(t, path, func(c *Config) { c.StaleAfter = 300 * time.Millisecond })
	r.hear("offline: the port is open, nothing has come yet")
	r.opened(1)
	speak(t, scale, "ST,GS,+1kg\n")
	r.hear("online")
	r.hear("weight=1kg")
	r.hear("offline: silent for 300ms")
	r.hear("weight=1kg(stale: silent for 300ms)")
	r.mu.Lock()
	var weights []time.Time
	for _, s := range r.samples {
		if s.Point == "weight" {
			weights = append(weights, s.Time)
		}
	}
	r.mu.Unlock()
	if len(weights) != 2 || !weights[0].Equal(weights[1]) {
		t.Errorf("the stale value's time is not that of the measurement: %v", weights)
	}
	speak(t, scale, "ST,GS,+2kg\n")
	r.hear("online")
	r.hear("weight=2kg")
}

func TestNoiseAndOverlongLinesDoNotStopTheLine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ttyUSB1")
	scale := plug(t, path)
	r := run(t, path, func(c *Config) { c.Frame.Max = 64 })
	r.opened(1)
	speak(t, scale, strings.Repeat("x", 65))
	r.hear("weight=nullkg(bad: a message longer than 64 bytes was dropped)")
	speak(t, scale, "\nST,GS,+1kg\n")
	r.hear("weight=1kg")

	const size = 10 << 20
	noise := rand.New(rand.NewPCG(5, 6))
	chunk := make([]byte, 64<<10)
	var heap, start uint64
	for sent := 0; sent < size; sent += len(chunk) {
		for i := range chunk {
			chunk[i] = byte(noise.Uint32())
		}
		speak(t, scale, string(chunk))
		if heap = liveHeap(); start == 0 {
			start = heap
		}
	}
	// What the reader has no time for is lost on the way, perhaps a line too.
	r.until("for a line after the noise", func() bool {
		speak(t, scale, "\nST,GS,+2kg\n")
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.words) > 0 && r.words[len(r.words)-1] == "weight=2kg"
	})
	if s := r.Stats(); s.TooLong < 1000 || s.Unmatched < 1000 {
		t.Errorf("stats are %+v: too little for this noise", s)
	}
	// The other tests run beside this one; 10 MB kept would show all the same.
	if heap > start+4<<20 {
		t.Errorf("the heap grew from %d to %d bytes", start, heap)
	}
	if n := strings.Count(r.logged(), "\n"); n > 10 {
		t.Errorf("%d lines of log", n)
	}
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestAWriteIsRefused(t *testing.T) {
	r := run(t, filepath.Join(t.TempDir(), "ttyUSB1"), nil)
	v, err := r.Adapter.Write(t.Context(), point.Command{Device: "scale", Point: "weight", Value: point.OfInt(1)})
	if !errors.Is(err, point.ErrRefused) || v.Kind() != point.None {
		t.Errorf("got %v, %v", v, err)
	}
	for _, p := range r.Devices()[0].Points {
		if p.Writable {
			t.Errorf("%s says that it can be written", p.Name)
		}
	}
}

func TestRunLeavesNothingBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ttyUSB1")
	before := runtime.NumGoroutine()
	r := run(t, path, nil)
	r.hear("offline: open serial port ")
	turns := r.Turns()
	r.until("the owner of the line to look for its port again", func() bool { return r.Turns() > turns })
	device := plug(t, path)
	r.hear("online")
	turns = r.Turns()
	r.until("the owner of a silent line to look at it again", func() bool { return r.Turns() > turns })
	r.stop()
	if r.Stats().Open {
		t.Error("the port is still open")
	}
	device.Close()
	r.until("for goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
}
