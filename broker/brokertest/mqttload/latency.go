package main

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"headgate/broker/brokertest/mqttload/wire"
)

// latency publishes at a fixed rate (0: -rate) and times publish to receive.
// The first half second is not counted.
func latency(qos byte, rate int) func(*env) (metrics, error) {
	return func(e *env) (metrics, error) {
		r := rate
		if r == 0 {
			r = e.o.rate
		}
		l := &latencyRun{topic: "lat/t", qos: qos, rate: r, n: int(e.dur.Seconds() * float64(r)), warm: r / 2}
		return l.run(e)
	}
}

type latencyRun struct {
	topic string
	pub   uint32
	qos   byte
	rate  int // messages a second
	n     int // messages that count
	warm  int // messages before them

	mu  sync.Mutex
	lat []int64 // ns, guarded by mu while the subscriber runs
}

func (l *latencyRun) run(e *env) (metrics, error) {
	sc, err := e.dial("lat-sub", true, 64<<10)
	if err != nil {
		return nil, err
	}
	l.lat = make([]int64, 0, l.n+l.warm)
	s := &subscriber{c: sc, order: true, onMsg: l.receive}
	defer s.close()
	if err := sc.Subscribe([]string{l.topic}, l.qos, nil); err != nil {
		return nil, err
	}
	s.start(1)
	pc, err := e.dial("lat-pub", true, 16<<10)
	if err != nil {
		return nil, err
	}
	p := &publisher{c: pc, qos: l.qos, win: 65000}
	p.start()
	defer p.close()
	if err := e.wait(200 * time.Millisecond); err != nil {
		return nil, err
	}
	m, err := l.publish(e, p)
	if err != nil {
		return nil, err
	}
	settle(e.ctx, s.recv.Load, int64(l.n+l.warm), time.Second, 10*time.Second)
	if err := l.quantiles(m); err != nil {
		return nil, err
	}
	m["hwm_mib"] = e.in.mem("VmHWM") / 1024
	m["ratio_dlv"] = float64(s.recv.Load()) / float64(l.n+l.warm)
	m["ooo"] = float64(s.ooo.Load())
	return m, e.in.alive()
}

func (l *latencyRun) receive(_, seq uint32, ts int64, _ *wire.Msg) {
	if int(seq) < l.warm {
		return
	}
	l.mu.Lock()
	l.lat = append(l.lat, time.Now().UnixNano()-ts)
	l.mu.Unlock()
}

// received is how many came that count.
func (l *latencyRun) received() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.lat))
}

func (l *latencyRun) publish(e *env, p *publisher) (metrics, error) {
	t := wire.NewTemplate(e.ver, l.qos, l.topic, 64)
	buf := make([]byte, 0, 256)
	gap := time.Second / time.Duration(l.rate)
	pace := time.NewTimer(time.Hour)
	defer pace.Stop()
	next := time.Now()
	var c0, g0 time.Duration
	var t0 time.Time
	late := 0
	for i := range l.n + l.warm {
		if i == l.warm {
			t0, c0, g0 = time.Now(), e.in.cpu(), selfCPU()
		}
		next = next.Add(gap)
		if d := time.Until(next); d > 0 {
			pace.Reset(d)
			select {
			case <-pace.C:
			case <-e.ctx.Done():
				return nil, e.ctx.Err()
			}
		} else if d < -gap {
			late++
		}
		if l.qos > 0 && int64(i)-p.acked.Load() >= 60000 {
			return nil, fmt.Errorf("broker does not keep up with %d msg/s", l.rate)
		}
		buf = t.Append(buf[:0], uint16(i%65535)+1, l.pub, uint32(i), time.Now().UnixNano())
		if _, err := p.c.NC.Write(buf); err != nil {
			return nil, err
		}
	}
	n := float64(l.n)
	return metrics{"rate": n / time.Since(t0).Seconds(), "late": float64(late),
		"cpu_us": (e.in.cpu() - c0).Seconds() * 1e6 / n, "gen_us": (selfCPU() - g0).Seconds() * 1e6 / n}, nil
}

// quantiles adds the latencies in µs to m.
func (l *latencyRun) quantiles(m metrics) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lat) == 0 {
		return errors.New("nothing received")
	}
	slices.Sort(l.lat)
	q := func(f float64) float64 {
		return float64(l.lat[min(len(l.lat)-1, int(f*float64(len(l.lat))))]) / 1000
	}
	m["p50"], m["p90"], m["p99"], m["p999"], m["max"] = q(.5), q(.9), q(.99), q(.999), q(1)
	return nil
}
