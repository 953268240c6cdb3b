package gateway

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headgate/gateway/point"
)

// always is a clock that is kept.
func always(time.Time) (boot uint32, uptime time.Duration, synced bool) { return 0, 0, true }

// fakeAdapter is the field, which is an outside thing here.
type fakeAdapter struct {
	name    string
	devices []point.Device
	run     func(ctx context.Context, emit func(point.Update)) error // nil: quiet until ctx ends
	write   func(ctx context.Context, cmd point.Command) (point.Value, error)
}

func (a *fakeAdapter) Name() string            { return a.name }
func (a *fakeAdapter) Devices() []point.Device { return a.devices }

func (a *fakeAdapter) Run(ctx context.Context, emit func(point.Update)) error {
	if a.run != nil {
		return a.run(ctx, emit)
	}
	<-ctx.Done()
	return ctx.Err()
}

func (a *fakeAdapter) Write(ctx context.Context, cmd point.Command) (point.Value, error) {
	if a.write == nil {
		return point.Value{}, errors.New("the test expected no command")
	}
	return a.write(ctx, cmd)
}

func meter() []point.Device {
	return []point.Device{{Name: "meter1", Points: []point.Info{
		{Name: "voltage", Unit: "V"}, {Name: "relay", Writable: true}, {Name: "label"},
	}}}
}

// recorder is a Publisher that keeps what is published.
type recorder struct {
	mu       sync.Mutex
	messages []Message
	filter   string
	handle   func(Message)
	exact    map[string]func(Message) // by the filter
	fail     error                    // what Publish answers
	refuse   error                    // what Subscribe answers
}

func (p *recorder) Publish(m Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	p.messages = append(p.messages, m)
	return nil
}

func (p *recorder) Subscribe(filter string, handle func(Message)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.handle == nil {
		p.filter = filter
	}
	p.handle = handle
	if p.exact == nil {
		p.exact = map[string]func(Message){}
	}
	p.exact[filter] = handle
	return p.refuse
}

func (p *recorder) Unsubscribe(filter string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.exact, filter)
}

// take gives what was published since the last call, as "topic payload" with
// " (retained)" behind the retained ones.
func (p *recorder) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var lines []string
	for _, m := range p.messages {
		line := m.Topic + " " + string(m.Payload)
		if m.Retain {
			line += " (retained)"
		}
		lines = append(lines, line)
	}
	p.messages = nil
	return lines
}

// whole gives what was published since the last call.
func (p *recorder) whole() []Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.messages
	p.messages = nil
	return m
}

// send is what a client of the broker does.
func (p *recorder) send(m Message) {
	p.mu.Lock()
	handle := p.handle
	if exact, ok := p.exact[m.Topic]; ok {
		handle = exact
	}
	p.mu.Unlock()
	handle(m)
}

func (p *recorder) setFail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = err
}

// dropper is a Publisher that costs nothing.
type dropper struct{}

func (*dropper) Publish(Message) error                 { return nil }
func (*dropper) Subscribe(string, func(Message)) error { return nil }
func (*dropper) Unsubscribe(string)                    {}

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// bench is a running pump in a synctest bubble.
type bench struct {
	t *testing.T
	*Gateway
	pub  *recorder
	logs *logBuffer
	stop func() error // ends Run and waits for it
}

// start runs a pump with id "gw" until the test ends, or stop is called. It
// must be called in a synctest bubble.
func start(t *testing.T, cfg Config, adapters ...Adapter) *bench {
	t.Helper()
	b := &bench{t: t, pub: &recorder{}, logs: &logBuffer{}}
	cfg.ID = "gw"
	cfg.SetDefaults()
	var err error
	b.Gateway, err = New(cfg, adapters, b.pub, always, slog.New(slog.NewTextHandler(b.logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	b.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { b.stop() })
	synctest.Wait()
	return b
}

// want compares what was published since the last call.
func (b *bench) want(lines ...string) {
	b.t.Helper()
	synctest.Wait()
	got := b.pub.take()
	if strings.Join(got, "\n") != strings.Join(lines, "\n") {
		b.t.Errorf("published:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(lines, "\n  "))
	}
}

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// count gives the number of lines with phrase in them.
func (l *logBuffer) count(phrase string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, phrase) {
			n++
		}
	}
	return n
}
