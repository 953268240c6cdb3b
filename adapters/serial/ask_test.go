package serial

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"headgate/gateway/point"
)

// instrument answers each line that it gets, by the function, and keeps them.
func instrument(device io.ReadWriter, answer func(line string) string) (heard chan string) {
	heard = make(chan string, 1000)
	go func() {
		lines := bufio.NewScanner(device)
		for lines.Scan() {
			select {
			case heard <- lines.Text():
			default:
			}
			io.WriteString(device, answer(lines.Text()))
		}
	}()
	return heard
}

// ask has a timeout that is none where there is an answer.
func ask(send string) Ask { return Ask{Send: Bytes(send), Timeout: hangs} }

// within gives all requests another timeout.
func within(timeout time.Duration, c *Config) {
	for i := range c.Request {
		c.Request[i].Timeout = timeout
	}
}

// polled is a config that asks for two values whose answers do not say which they are.
func polled(c *Config) {
	c.Parse = Parse{}
	c.Points = []Point{{Name: "volt", Unit: "V"}, {Name: "amp", Unit: "A"}}
	for _, what := range []string{"volt", "amp"} {
		c.Request = append(c.Request, Request{
			Ask: ask(strings.ToUpper(what) + "?\n"), Interval: 30 * time.Millisecond, Parse: Parse{Regexp: "^(?P<" + what + ">[-.0-9]+)$"},
		})
	}
}

func TestADeviceIsAskedAndEachAnswerIsThatToItsQuestion(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ttyUSB1")
	heard := instrument(plug(t, path), func(line string) string {
		return map[string]string{"*RST": "", "MODE REMOTE": "OK\n", "VOLT?": "12.5\n", "AMP?": "0.25\n"}[line]
	})
	r := run(t, path, func(c *Config) {
		polled(c)
		mode := ask("MODE REMOTE\n")
		mode.Expect = "^OK$"
		c.Init = []Ask{ask("*RST\n"), mode}
	})
	for range 3 {
		r.hear("volt=12.5V")
		r.hear("amp=0.25A")
	}
	r.stop()
	for i, want := range []string{"*RST", "MODE REMOTE", "VOLT?", "AMP?", "VOLT?"} {
		if got := <-heard; got != want {
			t.Errorf("line %d is %q, want %q", i, got, want)
		}
	}
	if s := r.Stats(); s.Timeouts != 0 || s.Unmatched != 0 || s.Sent < 7 {
		t.Errorf("stats are %+v", s)
	}
}

func TestALateAnswerIsNotTakenForThatToTheNextQuestion(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ttyUSB1")
	n, late := 0, make(chan struct{})
	instrument(plug(t, path), func(line string) string {
		if line != "VOLT?" {
			return "1\n"
		}
		if n++; n == 2 {
			<-late
		}
		return "12.5\n"
	})
	r := run(t, path, func(c *Config) {
		polled(c)
		within(time.Second, c) // and as long again for a late answer
	})
	r.until("for a timeout", func() bool { return r.Stats().Timeouts > 0 })
	close(late)
	for range 4 {
		r.hear("volt=")
		r.hear("amp=")
	}
	r.stop()
	for _, s := range r.samples {
		if s.Point == "amp" && s.Value != point.OfInt(1) {
			t.Errorf("amp is %v", s.Value)
		}
	}
	if s := r.Stats(); s.Timeouts == 0 || s.Late == 0 {
		t.Errorf("stats are %+v: want a timeout and a late answer", s)
	}
}

func TestOneQuestionWithoutAnAnswerMakesItsPointStaleAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ttyUSB1")
	var silent atomic.Bool
	instrument(plug(t, path), func(line string) string {
		if line == "AMP?" && silent.Load() {
			return ""
		}
		return "5\n"
	})
	r := run(t, path, func(c *Config) {
		polled(c)
		c.StaleAfter = time.Minute
		c.Request[1].Timeout = 200 * time.Millisecond
	})
	r.hear("amp=5A")
	silent.Store(true)
	r.hear("amp=5A(stale: no answer within 200ms)")
	r.hear("volt=5V")
	r.stop()
	for _, s := range r.samples {
		if s.Point == "volt" && s.Quality != point.Good {
			t.Errorf("volt is %v: %s", s.Quality, s.Reason)
		}
	}
	if got := r.logged(); strings.Count(got, "a request is not answered") != 1 {
		t.Errorf("logged:\n%s", got)
	}
}

func TestADeviceThatAnswersNothingBecomesOffline(t *testing.T) {
	config := func(c *Config) {
		polled(c)
		within(100*time.Millisecond, c)
	}
	cfg := Config{}
	config(&cfg)
	cfg.SetDefaults()
	if want := 3 * 130 * time.Millisecond; cfg.StaleAfter != want {
		t.Errorf("stale_after is %v, want %v", cfg.StaleAfter, want)
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ttyUSB1")
	plug(t, path)
	r := run(t, path, config)
	r.hear("offline: silent for 390ms")
}

func TestAnInitialisationIsSentAgainUntilItIsAnswered(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ttyUSB1")
	n := 0
	heard := instrument(plug(t, path), func(line string) string {
		if n++; line == "HELLO" && n < 2 {
			return "BUSY\n"
		}
		return "12\n"
	})
	r := run(t, path, func(c *Config) {
		polled(c)
		hello := ask("HELLO\n")
		hello.Expect, hello.Timeout = `^12$`, 500*time.Millisecond
		c.Init = []Ask{hello}
	})
	r.hear("volt=12V")
	for _, want := range []string{"HELLO", "HELLO", "VOLT?"} {
		if got := <-heard; got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
}

func TestAKeepAliveIsSentWhenNothingElseIs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ttyUSB1")
	heard := instrument(plug(t, path), func(string) string { return "" })
	r := run(t, path, func(c *Config) {
		c.KeepAlive = &KeepAlive{Ask: ask("PING\n"), Interval: 40 * time.Millisecond}
	})
	began := time.Now()
	for range 3 {
		if got := <-heard; got != "PING" {
			t.Errorf("heard %q", got)
		}
	}
	if took := time.Since(began); took < 2*40*time.Millisecond {
		t.Errorf("three came within %v", took)
	}
	r.stop()
}

func TestAPointIsSetByItsTemplate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ttyUSB1")
	heard := instrument(plug(t, path), func(line string) string {
		switch {
		case line == "SP 999.0":
			return "ERR\n"
		case strings.HasPrefix(line, "SP "):
			return "OK\n"
		}
		return ""
	})
	r := run(t, path, func(c *Config) {
		sp, beep, text := ask("SP {value:.1f}\n"), ask("BEEP\n"), ask("TEXT {value}\n")
		sp.Expect = "^OK$"
		c.Points = append(c.Points, Point{Name: "setpoint", Set: &sp}, Point{Name: "beep", Set: &beep}, Point{Name: "text", Set: &text})
		c.WriteInterval = 30 * time.Millisecond
	})
	write := func(name string, v point.Value) error {
		ctx := t.Context()
		if v == point.OfInt(999) { // of which it does not say OK
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, time.Second)
			defer cancel()
		}
		_, err := r.Adapter.Write(ctx, point.Command{Device: "scale", Point: name, Value: v})
		return err
	}
	r.opened(1)
	began := time.Now()
	for _, c := range []struct {
		name string
		v    point.Value
		line string
		want error
	}{
		{"setpoint", point.OfFloat(21.46), "SP 21.5", nil},
		{"beep", point.OfInt(1), "BEEP", nil},
		{"text", point.OfString("a b"), "TEXT a b", nil},
		{"text", point.OfString("a\nSP 1"), "", point.ErrRefused},
		{"setpoint", point.OfString("warm"), "", point.ErrRefused},
		{"weight", point.OfInt(1), "", point.ErrRefused},
		{"", point.OfString("x"), "", point.ErrRefused},
		{"setpoint", point.OfInt(999), "SP 999.0", point.ErrTimeout},
	} {
		if err := write(c.name, c.v); !errors.Is(err, c.want) {
			t.Errorf("%s to %v: got %v, want %v", c.name, c.v, err, c.want)
		}
		if c.line != "" {
			if got := <-heard; got != c.line {
				t.Errorf("%s to %v: sent %q, want %q", c.name, c.v, got, c.line)
			}
		}
	}
	if took := time.Since(began); took < 3*30*time.Millisecond {
		t.Errorf("four writes took %v, with 30ms between two", took)
	}
	for _, p := range r.Devices()[0].Points {
		if want := p.Name == "setpoint" || p.Name == "beep" || p.Name == "text"; p.Writable != want {
			t.Errorf("%s: writable is %v", p.Name, p.Writable)
		}
	}
	r.stop()
	if err := write("beep", point.OfInt(1)); !errors.Is(err, point.ErrOffline) {
		t.Errorf("without a port: got %v", err)
	}
}

func TestATransparentLineTakesAndGivesBytesAsTheyAre(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ttyUSB1")
	device := plug(t, path)
	r := run(t, path, func(c *Config) { c.Parse, c.Points, c.Transparent = Parse{}, nil, true })
	r.hear("online")
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	if d := r.Devices()[0]; !d.Raw || len(d.Points) != 1 || !d.Points[0].Raw {
		t.Errorf("the device is %+v", d)
	}
	if _, err := r.Adapter.Write(t.Context(), point.Command{Device: "scale", Value: point.OfString(string(all))}); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(all))
	if _, err := io.ReadFull(device, got); err != nil || string(got) != string(all) {
		t.Errorf("the device got % x, %v", got, err)
	}
	speak(t, device, string(all))
	whole := func() (b string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, s := range r.samples {
			b += s.Value.String()
		}
		return b
	}
	r.until("for all bytes", func() bool { return len(whole()) >= len(all) })
	if whole() != string(all) {
		t.Errorf("got % x", whole())
	}
}

func TestACommandThatTheLineDoesNotTakeEnds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ttyUSB1")
	plug(t, path) // nobody reads
	r := run(t, path, func(c *Config) { c.Set = true })
	r.opened(1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := r.Adapter.Write(ctx, point.Command{Device: "scale", Value: point.OfString(strings.Repeat("x", 1<<20))})
	if !errors.Is(err, point.ErrTimeout) {
		t.Errorf("got %v, want a timeout", err)
	}
}

func TestBytesAreReadFromTheConfig(t *testing.T) {
	for text, want := range map[string]string{"READ\r\n": "READ\r\n", "hex:05 01FF": "\x05\x01\xff", "hex:": "", "ü": "ü"} {
		var b Bytes
		if err := b.UnmarshalTOML(text); err != nil || string(b) != want {
			t.Errorf("%q is % x, %v", text, []byte(b), err)
		}
	}
	for _, v := range []any{"hex:0", "hex:xy", int64(5)} {
		var b Bytes
		if err := b.UnmarshalTOML(v); err == nil || !strings.Contains(err.Error(), "hex:05 01 FF") {
			t.Errorf("%v: got %v", v, err)
		}
	}
}

func TestWhatIsWrongWithAQuestionIsSaidByItsKey(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"init[0].send: is missing":                          func(c *Config) { c.Init = []Ask{{}} },
		"request[0].interval: 1ms":                          func(c *Config) { c.Request = []Request{{Ask: ask("x"), Interval: time.Millisecond}} },
		"request[0].expect: error parsing":                  func(c *Config) { c.Request = []Request{{Ask: Ask{Send: Bytes("x"), Expect: "("}}} },
		"request[0].expect: is missing, and so is parse":    func(c *Config) { c.Parse, c.Transparent, c.Request = Parse{}, true, []Request{{Ask: ask("x")}} },
		"request[0].parse.regexp: has no named group":       func(c *Config) { c.Request = []Request{{Ask: ask("x"), Parse: Parse{Regexp: "x"}}} },
		"keep_alive.interval: 0s":                           func(c *Config) { c.KeepAlive = &KeepAlive{Ask: ask("x")} },
		"point[0].set.send: has {value} twice":              func(c *Config) { s := ask("{value}{value}"); c.Points = []Point{{Name: "v", Set: &s}} },
		"point[0].set.send: has {value:q}: want {value}":    func(c *Config) { s := ask("{value:q}"); c.Points = []Point{{Name: "v", Set: &s}} },
		"point[0].set.send: has {vlaue}: want {value}":      func(c *Config) { s := ask("{value} {vlaue}"); c.Points = []Point{{Name: "v", Set: &s}} },
		"write_interval: -1s":                               func(c *Config) { c.WriteInterval = -time.Second },
		"parse.regexp: is missing":                          func(c *Config) { c.Parse = Parse{} },
		`transparent: is true, and a point is called "raw"`: func(c *Config) { c.Transparent, c.Parse.Regexp = true, "(?P<raw>.)" },
	} {
		cfg := Config{Name: "x", URL: "serial:///dev/ttyUSB0", Parse: Parse{Regexp: "(?P<v>.)"}}
		change(&cfg)
		cfg.SetDefaults()
		var got []string
		cfg.Check(func(key, format string, args ...any) { got = append(got, fmt.Sprintf(key+": "+format, args...)) })
		if len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestADeviceIsInitialisedAndAskedAgainWhenItsPortIsBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ttyUSB1")
	answer := func(line string) string {
		if line == "HELLO" {
			return ""
		}
		return "7\n"
	}
	device := plug(t, path)
	instrument(device, answer)
	r := run(t, path, func(c *Config) {
		polled(c)
		c.Init = []Ask{ask("HELLO\n")}
	})
	r.hear("volt=7V")
	for i := range uint64(2) {
		unplug(t, path, device)
		r.hear("offline: ")
		device = plug(t, path)
		back := time.Now()
		heard := instrument(device, answer)
		r.hear("online")
		r.hear("volt=7V")
		if took := time.Since(back); took > 2*maxBackoff {
			t.Logf("it took %v to be heard again", took)
		}
		if got := <-heard; got != "HELLO" {
			t.Errorf("after it was back for the %d. time it was sent %q first", i+1, got)
		}
	}
	r.stop()
	if s := r.Stats(); s.Opened != 3 {
		t.Errorf("stats are %+v", s)
	}
}

func FuzzNoValueMakesASecondCommand(f *testing.F) {
	f.Add("SP {value:.2f}\r", "x\r\nSP 1")
	f.Add("{value:s}\n", "\x7f")
	f.Add("A{value:05d}Z\n", "12")
	f.Fuzz(func(t *testing.T, send, value string) {
		s := Ask{Send: Bytes(send)}
		p := Point{Name: "v", Set: &s}
		p.setDefaults()
		made, err := newTemplate(p)
		if err != nil {
			return
		}
		for _, v := range []point.Value{point.OfString(value), point.OfFloat(float64(len(value)) / 3), point.OfBool(true)} {
			b, err := made.render(v)
			if err != nil {
				continue
			}
			control := func(s string) (n int) {
				for _, c := range []byte(s) {
					if c < ' ' || c == 0x7f {
						n++
					}
				}
				return n
			}
			if control(string(b)) != control(send) {
				t.Errorf("%q with %v is %q", send, v, b)
			}
		}
	})
}
