package serial

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"headgate/adapters/port"
	"headgate/gateway/point"
)

// Found is what a Trial has found in what came.
type Found struct {
	Message []byte         // lent; nil for damage
	Samples []point.Sample // what parse makes of it
	Matched bool           // parse understands it
	Damage  string         // what was dropped, and why
}

// Trial cuts and parses bytes as the adapter would, and tells what it finds.
type Trial struct{ listener *listener }

// NewTrial makes one of a [[serial]] table in which Check has found no fault.
func NewTrial(cfg Config) (*Trial, error) {
	a, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return &Trial{a.listener}, nil
}

// Feed takes bytes, and calls found with each message in them.
func (t *Trial) Feed(b []byte, at time.Time, found func(Found)) {
	message, bad := t.hear(at, found)
	t.listener.framer.feed(b, message, bad)
}

// Silence says that the line is silent, or at its end.
func (t *Trial) Silence(at time.Time, found func(Found)) {
	if t.listener.gap > 0 && t.listener.framer.pending() {
		message, bad := t.hear(at, found)
		t.listener.framer.idle(message, bad)
	}
}

func (t *Trial) hear(at time.Time, found func(Found)) (func([]byte), func(damage)) {
	return func(message []byte) { found(t.parse(message, at)) },
		func(d damage) { found(Found{Damage: t.listener.damage(d)}) }
}

// parse tries the parser of the device, then those of its requests.
func (t *Trial) parse(line []byte, at time.Time) Found {
	f := Found{Message: line}
	for _, p := range t.listener.every {
		if f.Samples, f.Matched = p.parse(nil, line, at); f.Matched {
			break
		}
	}
	return f
}

// Monitor opens the port of a device and calls heard with what is read, and found
// with what the device's config makes of it, until ctx ends. Nothing is sent.
func Monitor(ctx context.Context, cfg Config, heard func(at time.Time, b []byte), found func(Found)) error {
	t, err := NewTrial(cfg)
	if err != nil {
		return err
	}
	address, err := port.ParseURL(cfg.URL, scheme)
	if err != nil {
		return err
	}
	p, err := port.Open(address.Path, address.Mode)
	if err != nil {
		return err
	}
	defer p.Close()
	wait := time.Second
	if t.listener.gap > 0 {
		wait = t.listener.gap
	}
	buffer := make([]byte, 4096)
	for {
		within, cancel := context.WithTimeout(ctx, wait)
		n, err := p.Read(within, buffer)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			err = nil
		}
		now := time.Now()
		if n > 0 {
			heard(now, buffer[:n])
			t.Feed(buffer[:n], now, found)
		} else if err == nil {
			t.Silence(now, found)
		}
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// damage says what was dropped.
func (l *listener) damage(d damage) string {
	switch d {
	case tooLong:
		return fmt.Sprintf("a message longer than %d bytes", l.max)
	case badChecksum:
		return "a message with a wrong checksum"
	}
	return "a message that was cut off, or is not framed as frame says"
}
