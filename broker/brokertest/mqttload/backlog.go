package main

import (
	"errors"
	"fmt"
	"time"
)

const backlogPayload = 200 // bytes

// bridgeDrain lets a backlog wait at the target, as large as -backlog says, and
// then gives it its remote back.
func bridgeDrain(e *env) (metrics, error) {
	o, l, err := bridged(e, backlogPayload)
	if err != nil {
		return nil, err
	}
	defer o.end()
	// The load is the same in each quarter: what the last takes more than the first is
	// the backlog's.
	var rss, anon [4]float64 // the most in each quarter, KiB
	err = pileUp(e, o, func(acked int64) {
		q := min(4*acked/e.o.backlog, 3)
		rss[q], anon[q] = max(rss[q], e.in.mem("VmRSS")), max(anon[q], e.in.mem("RssAnon"))
	})
	if err != nil {
		return nil, err
	}
	m := metrics{"rss_mib": (rss[3] - rss[0]) / 1024, "anon_mib": (anon[3] - anon[0]) / 1024}
	c0, tUp := e.in.cpu(), time.Now()
	if err := e.sink.up(); err != nil {
		return nil, err
	}
	if m, err = finish(e, o, l, 6*time.Second, m); err != nil {
		return nil, err
	}
	if first := e.sink.firstAfterUp(); !first.IsZero() {
		m["reconnect_ms"] = float64(first.Sub(tUp).Milliseconds())
		if d := l.lastAt().Sub(first).Seconds(); d > 0 {
			m["drain"] = m["unique"] / d
			m["drain_us"] = (e.in.cpu() - c0).Seconds() * 1e6 / m["unique"]
		}
	}
	return m, nil
}

// bridgeLive times what is published while a backlog drains, from its publisher to
// the remote.
func bridgeLive(e *env) (metrics, error) {
	o, l, err := bridged(e, backlogPayload)
	if err != nil {
		return nil, err
	}
	defer o.end()
	if err := pileUp(e, o, func(int64) {}); err != nil {
		return nil, err
	}
	c, err := e.dial("br-live", true, 16<<10)
	if err != nil {
		return nil, err
	}
	p := &publisher{c: c, qos: 1, win: 65000}
	p.start()
	defer p.close()
	seconds := min(e.dur, time.Second).Seconds() // a million are gone in less than three
	r := &latencyRun{topic: "br/live", pub: bridgePubs, qos: 1, rate: e.o.rate, n: int(seconds * float64(e.o.rate)), warm: e.o.rate / 4}
	e.sink.time(r)
	tUp := time.Now()
	if err := e.sink.up(); err != nil {
		return nil, err
	}
	for e.sink.firstAfterUp().IsZero() {
		if time.Since(tUp) > 15*time.Second {
			return nil, errors.New("bridge did not come back: " + e.in.tail())
		}
		if err := e.wait(time.Millisecond); err != nil {
			return nil, err
		}
	}
	m, err := r.publish(e, p)
	if err != nil {
		return nil, err
	}
	drained := l.unique()
	settle(e.ctx, r.received, int64(r.n), time.Second, 10*time.Second)
	if err := r.quantiles(m); err != nil {
		return nil, err
	}
	for _, q := range []string{"p50", "p99", "max"} {
		m[q+"_ms"] = m[q] / 1000
	}
	m["left"] = float64(e.o.backlog - drained)
	m["ratio_dlv"] = float64(r.received()) / float64(r.n)
	if m["left"] <= 0 {
		return nil, fmt.Errorf("nothing of the backlog was left at the end: a larger -backlog than %d is needed", e.o.backlog)
	}
	return m, e.in.alive()
}

// pileUp takes the remote away and has the backlog published; look is called all
// the while with how much of it is acknowledged.
func pileUp(e *env, o *offline, look func(acked int64)) error {
	e.sink.down()
	o.count = e.o.backlog / bridgePubs
	o.publish(0)
	for last, at := int64(-1), time.Now(); ; {
		_, acked := o.sums()
		look(acked)
		switch {
		case acked == o.count*bridgePubs:
			return nil
		case acked != last:
			last, at = acked, time.Now()
		case time.Since(at) > 10*time.Second:
			return fmt.Errorf("only %d of the backlog are acknowledged: %s", acked, e.in.tail())
		}
		if err := e.wait(10 * time.Millisecond); err != nil {
			return err
		}
	}
}
