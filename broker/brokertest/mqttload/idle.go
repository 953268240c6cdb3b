package main

import (
	"fmt"
	"time"

	"headgate/broker/brokertest/mqttload/wire"
)

// connections opens -conns idle clients, then gives each one subscription, and
// takes the target's memory and CPU time after each step.
func connections(e *env) (metrics, error) {
	n := e.o.conns
	conns := make([]*wire.Conn, n)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.NC.Close()
			}
		}
	}()
	rss0, c0, t0 := e.in.mem("VmRSS"), e.in.cpu(), time.Now()
	err := parallel(n, 50, func(i int) (err error) {
		conns[i], err = e.dial(fmt.Sprintf("idle-%05d", i), true, 256)
		return err
	})
	if err != nil {
		return nil, err
	}
	m := metrics{"conn_s": float64(n) / time.Since(t0).Seconds(), "rss0_mib": rss0 / 1024,
		"cpu_us": (e.in.cpu() - c0).Seconds() * 1e6 / float64(n)}
	if err := e.wait(time.Second); err != nil {
		return nil, err
	}
	m["kib_conn"] = (e.in.mem("VmRSS") - rss0) / float64(n)
	c1, t1 := e.in.cpu(), time.Now()
	if err := parallel(n, 50, func(i int) error {
		return conns[i].Subscribe([]string{fmt.Sprintf("idle/%d/cmd", i)}, 0, nil)
	}); err != nil {
		return nil, err
	}
	m["sub_s"] = float64(n) / time.Since(t1).Seconds()
	if err := e.wait(time.Second); err != nil {
		return nil, err
	}
	c2, t2 := e.in.cpu(), time.Now()
	m["sub_us"] = (c2 - c1).Seconds() * 1e6 / float64(n)
	if err := e.wait(time.Second); err != nil {
		return nil, err
	}
	m["idle_pct"] = (e.in.cpu() - c2).Seconds() * 100 / time.Since(t2).Seconds()
	m["kib_sub"] = (e.in.mem("VmRSS") - rss0) / float64(n)
	m["hwm_mib"] = e.in.mem("VmHWM") / 1024
	return m, e.in.alive()
}
