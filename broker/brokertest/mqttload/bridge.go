package main

import (
	"fmt"
	"time"
)

const (
	bridgePubs    = 4
	bridgePayload = 256 // bytes
)

// bridge: publishers -> target -> (its bridge) -> the sink in this process, as
// fast as it goes.
func bridge(e *env) (metrics, error) {
	o, l, err := bridged(e, bridgePayload)
	if err != nil {
		return nil, err
	}
	defer o.end()
	c0, t0 := e.in.cpu(), time.Now()
	o.publish(0)
	if err := e.wait(e.dur); err != nil {
		return nil, err
	}
	took, cpu := time.Since(t0).Seconds(), (e.in.cpu() - c0).Seconds()
	total, _, _, _ := l.counts()
	_, acked := o.sums()
	m := metrics{"rate": float64(total) / took, "pub_rate": float64(acked) / took}
	if total > 0 {
		m["cpu_us"] = cpu * 1e6 / float64(total)
	}
	o.halt()
	return finish(e, o, l, 3*time.Second, m)
}

// bridgeOutage takes the remote away for the measured time, under a fixed,
// moderate load, so that the backlogs compare.
func bridgeOutage(e *env) (metrics, error) {
	o, l, err := bridged(e, bridgePayload)
	if err != nil {
		return nil, err
	}
	defer o.end()
	o.publish(e.o.bridgeRate / bridgePubs)
	if err := e.wait(time.Second); err != nil {
		return nil, err
	}
	e.sink.down()
	if err := e.wait(e.dur); err != nil {
		return nil, err
	}
	before := l.unique()
	_, waiting := o.sums()
	tUp := time.Now()
	if err := e.sink.up(); err != nil {
		return nil, err
	}
	// The publishers go on one second more, and what they publish comes behind.
	var drained time.Time
	for drained.IsZero() && time.Since(tUp) < time.Second {
		if l.unique() >= waiting {
			drained = time.Now()
		}
		if err := e.wait(time.Millisecond); err != nil {
			return nil, err
		}
	}
	if err := e.wait(time.Until(tUp.Add(time.Second))); err != nil {
		return nil, err
	}
	o.halt()
	m, err := finish(e, o, l, 6*time.Second, metrics{})
	if err != nil {
		return nil, err
	}
	if drained.IsZero() {
		drained, waiting = l.lastAt(), int64(m["unique"])
	}
	if first := e.sink.firstAfterUp(); !first.IsZero() {
		m["reconnect_ms"] = float64(first.Sub(tUp).Milliseconds())
		if d := drained.Sub(first).Seconds(); d > 0 {
			m["drain"] = float64(waiting-before) / d
		}
	}
	return m, nil
}

// bridged waits for the target's bridge at the sink and readies the publishers.
func bridged(e *env, payload int) (*offline, *ledger, error) {
	if err := e.sink.waitClient(e.ctx, 15*time.Second); err != nil {
		return nil, nil, fmt.Errorf("bridge did not connect: %w: %s", err, e.in.tail())
	}
	if err := e.wait(300 * time.Millisecond); err != nil {
		return nil, nil, err
	}
	o, err := newOffline(e, bridgePubs, payload, "br")
	if err != nil {
		return nil, nil, err
	}
	l := newLedger(bridgePubs)
	e.sink.set(l)
	return o, l, nil
}

// finish waits for the rest, after the publishers were halted.
func finish(e *env, o *offline, l *ledger, quiet time.Duration, m metrics) (metrics, error) {
	o.bye(e)
	arrived := o.arrive(e, l, quiet)
	o.account(m, l, arrived)
	m["hwm_mib"] = e.in.mem("VmHWM") / 1024
	return m, e.in.alive()
}
