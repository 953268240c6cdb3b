package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"headgate/broker/brokertest/mqttload/wire"
)

// blastName is the one scenario in which a broker may drop messages: it is sent more than it can take.
const blastName = "fanin-q0-256-blast"

// metrics is what a run gives, by key; the columns name the keys that are shown.
type metrics map[string]float64

// losses is nil, or says what a broker that promises to lose nothing did wrong.
func (m metrics) losses() error {
	var faults []string
	for _, key := range []string{"lost", "undrained", "ooo"} {
		if m[key] > 0 {
			faults = append(faults, fmt.Sprintf("%s %.0f", key, m[key]))
		}
	}
	if r, ok := m["ratio_dlv"]; ok && r < 1 {
		faults = append(faults, fmt.Sprintf("delivered/sent %.6f", r))
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("not lossless: %s", strings.Join(faults, ", "))
}

// col is a column of a scenario's table; the first one is compared.
type col struct {
	key, head string
	prec      int
}

type scenario struct {
	name string
	desc string
	mode string        // of the target: default, persist, bridge and what begins so
	link time.Duration // one way to the remote, of the bridge modes
	raw  bool          // the limit target can run it
	cols []col
	run  func(*env) (metrics, error)
}

// env is what one run of one scenario on one target gets.
type env struct {
	ctx  context.Context // ends the run early
	o    *options
	t    *Target
	in   *Inst
	ver  byte // MQTT protocol level: 4 or 5
	dur  time.Duration
	warm time.Duration
	sink *sink // bridge scenarios: the remote end
}

func (e *env) dial(id string, clean bool, readBuf int) (*wire.Conn, error) {
	c, err := wire.Dial(e.in.Addr, wire.Options{ClientID: id, Clean: clean, Ver: e.ver, ReadBuf: readBuf})
	if err != nil {
		return nil, fmt.Errorf("client %s: %w", id, err)
	}
	return c, nil
}

// bye disconnects as the target understands it.
func (e *env) bye(c *wire.Conn) {
	if e.t.Raw {
		_ = c.NC.Close()
		return
	}
	c.Disconnect()
}

// wait lets d pass; the error is the interruption.
func (e *env) wait(d time.Duration) error { return pause(e.ctx, d) }

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settle waits until get stops growing for quiet, reaches want, or limit
// passes; it is false when get was still growing at the limit.
func settle(ctx context.Context, get func() int64, want int64, quiet, limit time.Duration) bool {
	end := time.Now().Add(limit)
	last, at := get(), time.Now()
	for time.Now().Before(end) {
		n := get()
		if n >= want {
			return true
		}
		if n != last {
			last, at = n, time.Now()
		} else if time.Since(at) > quiet {
			return true
		}
		if pause(ctx, 5*time.Millisecond) != nil {
			return false
		}
	}
	return false
}

// parallel calls f(0) to f(n-1), width at a time, and gives the first error.
func parallel(n, width int, f func(int) error) error {
	var next atomic.Int64
	var first atomic.Pointer[error]
	var wg sync.WaitGroup
	for range min(width, n) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || first.Load() != nil {
					return
				}
				if err := f(i); err != nil {
					first.CompareAndSwap(nil, &err)
					return
				}
			}
		})
	}
	wg.Wait()
	if p := first.Load(); p != nil {
		return *p
	}
	return nil
}
