package main

import (
	"encoding/json"
	"strings"
	"time"

	"headgate/gateway"
)

// demoView is what the demo's screen shows, at one moment.
type demoView struct {
	elapsed     time.Duration
	devices     []deviceView
	uplink      string
	uplinkError string
	backlog     int64
	sent        int
	arrived     int
	lost        int
}

type deviceView struct {
	name   string
	online bool
	reason string
	points []pointView
}

type pointView struct {
	name  string
	value string // with its unit
	cloud string // the newest that arrived there
	age   string // since then
}

func (d *demo) view() demoView {
	t := d.ledger.tally()
	up := d.gateway.bridges()[0].Stats()
	v := demoView{
		elapsed: time.Since(d.started), sent: t.sent, arrived: t.arrived, lost: t.lost,
		uplink: string(up.State), backlog: up.Backlog.Messages,
	}
	if v.uplink != "connected" {
		v.uplinkError = up.LastError
	}
	for _, dev := range d.gateway.pump.Load().gateway.Stats().Devices {
		dv := deviceView{name: dev.Name, online: dev.Online, reason: dev.Reason}
		for _, p := range dev.Points {
			dv.points = append(dv.points, d.pointView(p))
		}
		v.devices = append(v.devices, dv)
	}
	return v
}

func (d *demo) pointView(p gateway.PointStats) pointView {
	v := pointView{name: p.Name, value: withUnit(d.steady(p.Topic, p.Last.Value.String()), p.Unit), cloud: "-"}
	if p.Last.Reason != "" {
		v.value = p.Last.Reason
	}
	if a, ok := d.ledger.newest(p.Topic); ok {
		var payload struct {
			Value json.RawMessage `json:"value"`
		}
		if err := json.Unmarshal([]byte(a.payload), &payload); err == nil {
			v.cloud = withUnit(d.steady(p.Topic, string(payload.Value)), p.Unit)
		}
		v.age = time.Since(a.at).Truncate(time.Second).String()
	}
	return v
}

// steady gives a number as many decimals as its topic has had: so that one that
// happens to end with a 0 does not jump.
func (d *demo) steady(topic, number string) string {
	_, fraction, _ := strings.Cut(number, ".")
	n := len(fraction)
	if d.decimals[topic] = max(d.decimals[topic], n); n == d.decimals[topic] || strings.Trim(number, "-0123456789.") != "" {
		return number
	}
	if n == 0 {
		number += "."
	}
	return number + strings.Repeat("0", d.decimals[topic]-n)
}

func withUnit(value, unit string) string {
	if unit == "" || value == "-" || value == "null" { // there is none
		return value
	}
	return value + " " + unit
}
