package main

import (
	"errors"
	"fmt"
	"time"

	"headgate/broker/brokertest/mqttload/wire"
)

// durable fills an offline persistent session for the measured time, then lets
// its client come back and drain it.
func durable(pubs int) func(*env) (metrics, error) {
	return func(e *env) (metrics, error) {
		if err := makeSession(e, "dur/#"); err != nil {
			return nil, err
		}
		o, err := newOffline(e, pubs, 256, "dur")
		if err != nil {
			return nil, err
		}
		defer o.end()
		c0, g0, t0 := e.in.cpu(), selfCPU(), time.Now()
		o.publish(0)
		if err := e.wait(e.dur); err != nil {
			return nil, err
		}
		_, acked := o.sums()
		took, cpu, gen := time.Since(t0), e.in.cpu()-c0, selfCPU()-g0
		o.halt()
		o.bye(e)
		if acked == 0 {
			return nil, errors.New("nothing acknowledged")
		}
		n := float64(acked)
		m := metrics{"rate": n / took.Seconds(), "cpu_us": cpu.Seconds() * 1e6 / n, "gen_us": gen.Seconds() * 1e6 / n}
		filled := e.in.mem("VmHWM")
		c1 := e.in.cpu()
		d, err := drain(e, o)
		if err != nil {
			return nil, err
		}
		defer d.sub.close()
		d.account(m, o)
		m["hwm_mib"] = max(filled, e.in.mem("VmHWM")) / 1024
		if total := m["received"]; total > 64 {
			if s := d.led.lastAt().Sub(d.since).Seconds(); s > 0 {
				m["drain"] = total / s
			}
			m["drain_us"] = (e.in.cpu() - c1).Seconds() * 1e6 / total
		}
		return m, e.in.alive()
	}
}

// crash kills the target with SIGKILL while four publishers fill an offline
// session, starts it again and looks for what had been acknowledged.
func crash(e *env) (metrics, error) {
	if err := makeSession(e, "dur/#"); err != nil {
		return nil, err
	}
	o, err := newOffline(e, 4, 256, "dur")
	if err != nil {
		return nil, err
	}
	defer o.end()
	o.publish(0)
	if err := e.wait(e.dur); err != nil {
		return nil, err
	}
	_, atKill := o.sums()
	e.in.kill()
	o.end()
	t0 := time.Now()
	if err := e.in.launch(e.ctx); err != nil {
		return nil, fmt.Errorf("restart after SIGKILL: %w", err)
	}
	m := metrics{"rate": float64(atKill) / e.dur.Seconds(), "restart_ms": float64(time.Since(t0).Milliseconds())}
	d, err := drain(e, o)
	if err != nil {
		return nil, err
	}
	defer d.sub.close()
	d.account(m, o)
	if m["lost_pct"] = 0; m["acked"] > 0 {
		m["lost_pct"] = 100 * m["lost"] / m["acked"]
	}
	return m, e.in.alive()
}

// makeSession leaves a persistent session with one subscription behind.
func makeSession(e *env, filter string) error {
	c, err := e.dial("dur-sub", false, 4096)
	if err != nil {
		return err
	}
	if err := c.Subscribe([]string{filter}, 1, nil); err != nil {
		_ = c.NC.Close()
		return err
	}
	c.Disconnect()
	return e.wait(200 * time.Millisecond)
}

// drained is a session's client after it has come back.
type drained struct {
	sub     *subscriber
	led     *ledger
	since   time.Time // when it began to connect
	early   int64     // messages that came before the CONNACK
	arrived bool      // false: cut off while messages still came
}

// drain reconnects the session's client and takes what is queued.
func drain(e *env, o *offline) (*drained, error) {
	d := &drained{led: newLedger(len(o.pubs)), since: time.Now()}
	var acks []byte
	var m wire.Msg
	c, err := wire.Dial(e.in.Addr, wire.Options{ClientID: "dur-sub", Clean: false, Ver: e.ver, ReadBuf: 256 << 10, Timeout: 30 * time.Second,
		Early: func(h byte, b []byte) { // a broker must not, but some do
			if wire.ParsePublish(h, b, e.ver, &m) {
				if pub, seq, _, ok := wire.Head(m.Payload); ok {
					d.early++
					d.led.add(pub, seq)
				}
				if m.QoS == 1 {
					acks = wire.AppendAck(acks, wire.PUBACK, m.PID)
				}
			}
		}})
	if err != nil {
		return nil, fmt.Errorf("client dur-sub comes back: %w", err)
	}
	d.sub = &subscriber{c: c, onMsg: func(pub, seq uint32, _ int64, _ *wire.Msg) { d.led.add(pub, seq) }}
	if _, err := c.NC.Write(acks); err != nil {
		d.sub.close()
		return nil, err
	}
	d.sub.start(len(o.pubs))
	d.arrived = o.arrive(e, d.led, 3*time.Second)
	if err := e.wait(100 * time.Millisecond); err != nil { // late duplicates
		d.sub.close()
		return nil, err
	}
	return d, nil
}

func (d *drained) account(m metrics, o *offline) {
	o.account(m, d.led, d.arrived)
	m["before_connack"], m["session"] = float64(d.early), 0
	if d.sub.c.SessionPresent {
		m["session"] = 1
	}
}
