package modbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/adapters/modbus/modbussim"
	"headgate/adapters/port"
	"headgate/gateway/point"
)

// guard is how long anything may take before the test says that it hangs.
const guard = 20 * time.Second

// tested is an adapter that runs, and what it has emitted.
type tested struct {
	*Adapter
	t    *testing.T
	stop func()

	mu      sync.Mutex
	updates []point.Update
	changed chan struct{}
}

// holding is a point in a config.
func holding(name string, address int, more ...func(*Point)) Point {
	p := Point{Name: name, Register: fmt.Sprintf("holding:%d", address)}
	for _, f := range more {
		f(&p)
	}
	return p
}

func rw(p *Point) { p.Access = "rw" }

// device is a device in a config, polled quickly.
func deviceOf(name string, unit uint8, points ...Point) Device {
	return Device{Name: name, Unit: new(unit), Interval: 20 * time.Millisecond, Point: points}
}

// run makes an adapter and runs it until the test ends.
func run(t *testing.T, url string, timeout time.Duration, devices ...Device) *tested {
	t.Helper()
	return runConfig(t, Config{Name: "rs485", URL: url, Timeout: timeout, Device: devices})
}

func runConfig(t *testing.T, cfg Config) *tested {
	t.Helper()
	cfg.SetDefaults()
	cfg.Check(func(key, format string, args ...any) { t.Fatalf("%s: %s", key, fmt.Sprintf(format, args...)) })
	a, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	x := &tested{Adapter: a, t: t, changed: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx, x.take) }()
	x.stop = sync.OnceFunc(func() {
		cancel()
		began := time.Now()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Run ended with %v", err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("Run took %v to end", took)
			}
		case <-time.After(guard):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(func() { x.stop(); noMoreGoroutines(t, before) })
	return x
}

// noMoreGoroutines waits until no more run than before.
func noMoreGoroutines(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(guard); runtime.NumGoroutine() > before; {
		if time.Now().After(end) {
			b := make([]byte, 1<<16)
			t.Errorf("goroutines are left:\n%s", b[:runtime.Stack(b, true)])
			return
		}
		<-time.After(2 * time.Millisecond)
	}
}

func (x *tested) take(u point.Update) {
	x.mu.Lock()
	x.updates = append(x.updates, u)
	x.mu.Unlock()
	select {
	case x.changed <- struct{}{}:
	default:
	}
}

// until waits for an update that ok likes, among those from number from on, and
// gives it and the number of the next.
func (x *tested) until(from int, what string, ok func(point.Update) bool) (point.Update, int) {
	x.t.Helper()
	deadline := time.After(guard)
	for {
		x.mu.Lock()
		for ; from < len(x.updates); from++ {
			if u := x.updates[from]; ok(u) {
				x.mu.Unlock()
				return u, from + 1
			}
		}
		x.mu.Unlock()
		select {
		case <-x.changed:
		case <-deadline:
			x.t.Fatalf("there is no update with %s; the last is %+v", what, x.last())
		}
	}
}

func (x *tested) last() point.Update {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.updates) == 0 {
		return point.Update{}
	}
	return x.updates[len(x.updates)-1]
}

// now is the number of the next update.
func (x *tested) now() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.updates)
}

// all gives every sample of a point up to now.
func (x *tested) all(device, name string) (samples []point.Sample) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, u := range x.updates {
		if s, ok := sampleOf(u, device, name); ok {
			samples = append(samples, s)
		}
	}
	return samples
}

func sampleOf(u point.Update, device, name string) (point.Sample, bool) {
	if u.Device == device {
		for _, s := range u.Samples {
			if s.Point == name {
				return s, true
			}
		}
	}
	return point.Sample{}, false
}

// value waits for a good sample of this text.
func (x *tested) value(from int, device, name, want string) int {
	x.t.Helper()
	_, next := x.until(from, device+"/"+name+" = "+want, func(u point.Update) bool {
		s, ok := sampleOf(u, device, name)
		return ok && s.Quality == point.Good && s.Value.String() == want
	})
	return next
}

// bad waits for a bad sample whose reason has that text in it.
func (x *tested) bad(from int, device, name, reason string) int {
	x.t.Helper()
	_, next := x.until(from, device+"/"+name+" bad: "+reason, func(u point.Update) bool {
		s, ok := sampleOf(u, device, name)
		return ok && s.Quality == point.Bad && s.Value == point.Value{} && strings.Contains(s.Reason, reason)
	})
	return next
}

// status waits for a status; of an offline one the reason has that text in it.
func (x *tested) status(from int, device string, online bool, reason string) int {
	x.t.Helper()
	_, next := x.until(from, fmt.Sprintf("%s online %v, %q", device, online, reason), func(u point.Update) bool {
		return u.Device == device && u.Status != nil && u.Status.Online == online && strings.Contains(u.Status.Reason, reason)
	})
	return next
}

// failing waits until a read of the first device has failed since f was called.
func (x *tested) failing(f func()) {
	x.t.Helper()
	before := x.Stats().Devices[0].Failed
	f()
	for end := time.Now().Add(guard); x.Stats().Devices[0].Failed == before; <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			x.t.Fatal("no read fails")
		}
	}
}

// overTCP serves a simulator and gives its URL.
func overTCP(t *testing.T) (*modbussim.Server, string) {
	t.Helper()
	s := modbussim.New()
	ln := listen(t, "127.0.0.1:0")
	serveTCP(t, s, ln)
	return s, "tcp://" + ln.Addr().String()
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func serveTCP(t *testing.T, s *modbussim.Server, ln net.Listener) {
	ended := make(chan error, 1)
	go func() { ended <- s.ServeTCP(context.Background(), ln) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-ended; err != nil {
			t.Errorf("the simulator: %v", err)
		}
	})
}

// overRTU serves a simulator on a pair of pseudo-terminals, to which a link
// leads as udev makes them, and gives the URL; plug makes a new pair.
func overRTU(t *testing.T) (s *modbussim.Server, url string, plug func()) {
	t.Helper()
	s = modbussim.New()
	name := filepath.Join(t.TempDir(), "by-id")
	plug = func() {
		t.Helper()
		path, far, err := port.Pair(port.Mode{})
		if err != nil {
			t.Fatal(err)
		}
		os.Remove(name)
		if err := os.Symlink(path, name); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { defer close(ended); s.ServeRTU(context.Background(), far) }()
		t.Cleanup(func() { s.Close(); <-ended })
	}
	plug()
	return s, "rtu://" + name + "?baud=115200", plug
}

// overBoth runs a test over both transports.
func overBoth(t *testing.T, f func(t *testing.T, s *modbussim.Server, url string)) {
	t.Run("tcp", func(t *testing.T) {
		s, url := overTCP(t)
		f(t, s, url)
	})
	t.Run("rtu", func(t *testing.T) {
		s, url, _ := overRTU(t)
		f(t, s, url)
	})
}
