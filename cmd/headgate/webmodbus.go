package main

import "headgate/gateway/web"

// Links are the [[modbus]] links as they stand.
func (h *house) Links() []web.Link {
	list := []web.Link{}
	for _, m := range h.pump.Load().modbus {
		s := m.adapter.Stats()
		l := web.Link{Name: m.config.Name, URL: m.config.URL, Open: s.Open, Reason: s.Reason, Requests: s.Requests, Timeouts: s.Timeouts,
			Discarded: s.Discarded, Devices: len(s.Devices)}
		if s.Load >= 0 {
			l.Load = &s.Load
		}
		list = append(list, l)
	}
	return list
}

// pollKey is a device of an adapter.
type pollKey struct{ adapter, device string }

// polls gives how the devices answer that are asked by Modbus.
func (f *fieldPump) polls() map[pollKey]*web.Polls {
	all := map[pollKey]*web.Polls{}
	for _, m := range f.modbus {
		for _, d := range m.adapter.Stats().Devices {
			all[pollKey{m.config.Name, d.Name}] = &web.Polls{Median: d.PollMedian.Seconds(), Last: d.PollLast.Seconds(), Late: d.Merged,
				Failed: d.Failed, Timeouts: d.Timeouts, Exceptions: d.Exceptions}
		}
	}
	return all
}

// modbusMetrics are the figures of links, and of devices that are asked by Modbus.
func modbusMetrics(f *fieldPump) []web.Family {
	link, device := []string{"link"}, []string{"device"}
	open := web.Family{Name: "headgate_modbus_link_open", Help: "1 while the link is open.", Labels: link}
	busy := web.Family{Name: "headgate_modbus_link_busy_seconds_total", Help: "Time of the link that requests took, with their answers, silences and timeouts: its rate is the load.", Counter: true, Labels: link}
	requests := web.Family{Name: "headgate_modbus_requests_total", Help: "Requests on a link.", Counter: true, Labels: link}
	timeouts := web.Family{Name: "headgate_modbus_timeouts_total", Help: "Of those, without an answer.", Counter: true, Labels: link}
	discarded := web.Family{Name: "headgate_modbus_discarded_bytes_total", Help: "Bytes that were no part of an answer.", Counter: true, Labels: link}
	poll := web.Family{Name: "headgate_modbus_poll_seconds", Help: "How long a poll of a device takes: the median of the newest ones.", Labels: device}
	late := web.Family{Name: "headgate_modbus_late_polls_total", Help: "Polls that were left out, because the one before was not done yet.", Counter: true, Labels: device}
	exceptions := web.Family{Name: "headgate_modbus_exceptions_total", Help: "Requests that a device answered with an exception.", Counter: true, Labels: device}
	add := func(f *web.Family, v float64, label string) {
		f.Series = append(f.Series, web.Series{Value: v, Labels: []string{label}})
	}
	for _, m := range f.modbus {
		s, name := m.adapter.Stats(), m.config.Name
		add(&open, truth(s.Open), name)
		add(&busy, s.Busy.Seconds(), name)
		add(&requests, float64(s.Requests), name)
		add(&timeouts, float64(s.Timeouts), name)
		add(&discarded, float64(s.Discarded), name)
		for _, d := range s.Devices {
			if d.PollMedian > 0 {
				add(&poll, d.PollMedian.Seconds(), d.Name)
			}
			add(&late, float64(d.Merged), d.Name)
			add(&exceptions, float64(d.Exceptions), d.Name)
		}
	}
	return []web.Family{open, busy, requests, timeouts, discarded, poll, late, exceptions}
}
