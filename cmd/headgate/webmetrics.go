package main

import (
	"maps"
	"slices"
	"time"

	"headgate/bridge"
	"headgate/broker"
	"headgate/broker/store"
	"headgate/gateway"
	"headgate/gateway/point"
	"headgate/gateway/rule"
	"headgate/gateway/web"
)

// Metrics are the figures of all parts, for /metrics.
func (h *house) Metrics() []web.Family {
	now := time.Now()
	list := []web.Family{
		{Name: "headgate_build_info", Help: "1; the version is a label.", Labels: []string{"version", "gateway"},
			Series: []web.Series{{Value: 1, Labels: []string{version(), h.config.Gateway.ID}}}},
		gauge("headgate_uptime_seconds", "Time since the start.", now.Sub(h.started).Seconds()),
	}
	b, s, g := h.broker.Stats(), h.store.Stats(), h.pump.Load().gateway.Stats()
	list = append(list, brokerMetrics(&b)...)
	list = append(list, storeMetrics(&s)...)
	list = append(list, gatewayMetrics(&g, now)...)
	list = append(list, ruleMetrics(h.rules.Stats())...)
	list = append(list, modbusMetrics(h.pump.Load())...)
	var bridges []bridge.Stats
	for _, b := range h.bridges() {
		bridges = append(bridges, b.Stats())
	}
	return append(list, bridgeMetrics(bridges, now)...)
}

func gauge(name, help string, v float64) web.Family {
	return web.Family{Name: name, Help: help, Series: []web.Series{{Value: v}}}
}

func counter[N int64 | uint64](name, help string, n N) web.Family {
	return web.Family{Name: name, Help: help, Counter: true, Series: []web.Series{{Value: float64(n)}}}
}

func brokerMetrics(b *broker.Stats) []web.Family {
	return []web.Family{
		gauge("headgate_broker_connections", "Clients that are connected.", float64(b.Connections)),
		gauge("headgate_broker_sessions", "Sessions, of clients that are connected or not.", float64(b.Sessions)),
		gauge("headgate_broker_sessions_offline", "Sessions whose client is not connected.", float64(b.Offline)),
		gauge("headgate_broker_subscriptions", "Subscriptions.", float64(b.Subscriptions)),
		gauge("headgate_broker_shared_subscriptions", "Shared subscriptions, one for each member.", float64(b.SharedSubscriptions)),
		gauge("headgate_broker_retained_messages", "Retained messages, without $SYS.", float64(b.Retained)),
		gauge("headgate_broker_retained_bytes", "Their size in memory.", float64(b.RetainedBytes)),
		gauge("headgate_broker_queued_messages", "Messages on disk that wait for sessions and bridges.", float64(b.Queued)),
		gauge("headgate_broker_queued_bytes", "Their size.", float64(b.QueuedBytes)),
		gauge("headgate_broker_waiting_bytes", "What waits in memory for slow clients.", float64(b.WaitingBytes)),
		counter("headgate_broker_packets_received_total", "MQTT packets from clients.", b.PacketsIn),
		counter("headgate_broker_packets_sent_total", "MQTT packets to clients.", b.PacketsOut),
		counter("headgate_broker_received_bytes_total", "Bytes from clients.", b.BytesIn),
		counter("headgate_broker_sent_bytes_total", "Bytes to clients.", b.BytesOut),
		counter("headgate_broker_messages_received_total", "Messages that were published, the gateway's own included.", b.MessagesIn),
		counter("headgate_broker_messages_sent_total", "Messages to clients.", b.MessagesOut),
		counter("headgate_broker_messages_dropped_total", "Messages that a client had no room for, or that expired.", b.Dropped),
		counter("headgate_broker_queue_dropped_total", "Messages that left a queue on disk unsent, at its limit.", b.QueueDropped),
		counter("headgate_broker_denied_total", "Publishes and subscriptions that are not allowed.", b.Denied),
		counter("headgate_broker_connections_refused_total", "Connections that were refused.", b.Refused),
		counter("headgate_broker_logins_refused_total", "Connections that were refused for who they are.", b.RefusedAuth),
		counter("headgate_broker_commits_refused_total", "Commits that the store had no room for.", b.RefusedFull),
		counter("headgate_broker_sessions_expired_total", "Sessions that expired.", b.SessionsExpired),
		counter("headgate_broker_protocol_errors_total", "Connections that broke the protocol.", b.ProtocolErrors),
		counter("headgate_broker_faults_total", "Faults of the broker itself, each of which closed a connection.", b.Panics),
	}
}

func storeMetrics(s *store.Stats) []web.Family {
	list := []web.Family{
		gauge("headgate_store_messages", "Messages on disk that are not acknowledged, once for each queue.", float64(s.Messages)),
		gauge("headgate_store_used_bytes", "What the messages take on disk.", float64(s.SpoolBytes)),
		gauge("headgate_store_limit_bytes", "What they may take: store.max_bytes.", float64(s.MaxBytes)),
		gauge("headgate_store_free_bytes", "Free space in the file system.", float64(s.FreeBytes)),
		gauge("headgate_store_pending_bytes", "What waits in memory for the disk.", float64(s.PendingBytes)),
		gauge("headgate_store_failing", "1 while the disk does not take what is written to it.", truth(!s.FailingSince.IsZero())),
		gauge("headgate_store_refusing", "1 while messages are refused for want of room.", truth(!s.Refusing.IsZero())),
		counter("headgate_store_commits_total", "Commits that reached the disk.", s.Commits),
		counter("headgate_store_records_total", "Records in them.", s.Records),
		counter("headgate_store_written_bytes_total", "Bytes in them.", s.Bytes),
		counter("headgate_store_spared_messages_total", "Messages that all had acknowledged before they were written, and that never were.", s.Spared),
		counter("headgate_store_spared_bytes_total", "Bytes of them.", s.SparedBytes),
		counter("headgate_store_refused_total", "Commits that were refused for want of room.", s.Refused),
		counter("headgate_store_lost_messages_total", "Messages that were lost to damage, ever.", s.Lost),
		{Name: "headgate_store_sync_seconds_total", Help: "Time spent in writing and syncing.", Counter: true, Series: []web.Series{{Value: s.SyncTime.Seconds()}}},
		gauge("headgate_store_today_payload_bytes", "Data that were committed on this UTC day.", float64(s.Wear.Payload)),
	}
	if s.CommitP50 > 0 {
		list = append(list,
			gauge("headgate_store_commit_p50_seconds", "How long half of the commits of the last one to two hours took at most.", s.CommitP50.Seconds()),
			gauge("headgate_store_commit_p99_seconds", "How long 99 of 100 took at most.", s.CommitP99.Seconds()))
	}
	for _, known := range []struct {
		name, help string
		value      int64
	}{
		{"headgate_store_today_written_bytes", "What this process wrote to files on this UTC day.", s.Wear.Files},
		{"headgate_store_today_disk_bytes", "What the disk took from everybody on this UTC day.", s.Wear.Disk},
		{"headgate_store_written_per_day_bytes", "What is written in 24 hours at the present rate.", s.Wear.PerDay},
		{"headgate_store_card_life_days", "How long a new card lasts at that.", s.Wear.LifeDays},
		{"headgate_store_emmc_used_percent", "How much of the eMMC's life is used, by its own account.", int64(s.Wear.EMMCUsed)},
	} {
		if known.value >= 0 {
			list = append(list, gauge(known.name, known.help, float64(known.value)))
		}
	}
	return list
}

func gatewayMetrics(g *gateway.Stats, now time.Time) []web.Family {
	online := web.Family{Name: "headgate_device_online", Help: "1 while the device answers.", Labels: []string{"device", "adapter"}}
	samples := web.Family{Name: "headgate_device_samples_total", Help: "Values of a device, of any quality.", Counter: true, Labels: []string{"device"}}
	bad := web.Family{Name: "headgate_device_bad_samples_total", Help: "Of those, of quality bad.", Counter: true, Labels: []string{"device"}}
	heard := web.Family{Name: "headgate_device_heard_seconds", Help: "How long ago the device was last heard of.", Labels: []string{"device"}}
	value := web.Family{Name: "headgate_point_value", Help: "The last value of a point, while it is a good number.", Labels: []string{"device", "point", "unit"}}
	good := web.Family{Name: "headgate_point_good", Help: "1 while the point's quality is good.", Labels: []string{"device", "point"}}
	alarms := web.Family{Name: "headgate_alarm", Help: "1 while a [[derived.alarm]] is on; not there while that cannot be told.", Labels: []string{"device", "point"}}
	for _, d := range g.Devices {
		online.Series = append(online.Series, web.Series{Value: truth(d.Online), Labels: []string{d.Name, d.Adapter}})
		samples.Series = append(samples.Series, web.Series{Value: float64(d.Samples), Labels: []string{d.Name}})
		bad.Series = append(bad.Series, web.Series{Value: float64(d.Bad), Labels: []string{d.Name}})
		if !d.Updated.IsZero() {
			heard.Series = append(heard.Series, web.Series{Value: now.Sub(d.Updated).Seconds(), Labels: []string{d.Name}})
		}
		for _, p := range d.Points {
			isGood := !p.Last.Time.IsZero() && p.Last.Quality == point.Good
			good.Series = append(good.Series, web.Series{Value: truth(isGood), Labels: []string{d.Name, p.Name}})
			if on, known := p.Last.Value.Bool(); p.Alarm && known {
				alarms.Series = append(alarms.Series, web.Series{Value: truth(on), Labels: []string{d.Name, p.Name}})
			}
			if v, isNumber := p.Last.Value.Float(); isGood && isNumber {
				value.Series = append(value.Series, web.Series{Value: v, Labels: []string{d.Name, p.Name, p.Unit}})
			}
		}
	}
	running := web.Family{Name: "headgate_adapter_running", Help: "1 while the adapter runs.", Labels: []string{"adapter"}}
	restarts := web.Family{Name: "headgate_adapter_restarts_total", Help: "How often an adapter ended and was run again.", Counter: true, Labels: []string{"adapter"}}
	for _, a := range g.Adapters {
		running.Series = append(running.Series, web.Series{Value: truth(a.Running), Labels: []string{a.Name}})
		restarts.Series = append(restarts.Series, web.Series{Value: float64(a.Restarts), Labels: []string{a.Name}})
	}
	commands := web.Family{Name: "headgate_commands_total", Help: "Commands to devices, by what came of them.", Counter: true, Labels: []string{"outcome"}}
	for _, outcome := range slices.Sorted(maps.Keys(g.Commands)) {
		commands.Series = append(commands.Series, web.Series{Value: float64(g.Commands[outcome]), Labels: []string{outcome}})
	}
	return []web.Family{online, samples, bad, heard, value, good, alarms, running, restarts, commands,
		counter("headgate_samples_total", "Values of all devices.", g.Samples),
		counter("headgate_samples_held_total", "Of those, not published: within their deadband, or too soon.", g.Held),
		counter("headgate_samples_dropped_total", "Messages of the gateway's own that the broker did not take.", g.Dropped),
	}
}

func ruleMetrics(rules []rule.Stats, dropped uint64) []web.Family {
	if len(rules) == 0 {
		return nil
	}
	messages := web.Family{Name: "headgate_rule_messages_total", Help: "Messages that a [[rule]] took, by what came of them.", Counter: true, Labels: []string{"rule", "outcome"}}
	for _, r := range rules {
		for _, o := range []struct {
			name string
			n    uint64
		}{{"published", r.Published}, {"filtered", r.Filtered}, {"throttled", r.Throttled}, {"failed", r.Failed}} {
			messages.Series = append(messages.Series, web.Series{Value: float64(o.n), Labels: []string{r.Name, o.name}})
		}
	}
	return []web.Family{messages, counter("headgate_rule_dropped_total", "Messages that came faster than the rules took them.", dropped)}
}

func bridgeMetrics(bridges []bridge.Stats, now time.Time) []web.Family {
	label := []string{"bridge"}
	connected := web.Family{Name: "headgate_bridge_connected", Help: "1 while the bridge has its upstream.", Labels: label}
	backlog := web.Family{Name: "headgate_bridge_backlog_messages", Help: "Messages that wait for the upstream, those on their way included.", Labels: label}
	bytes := web.Family{Name: "headgate_bridge_backlog_bytes", Help: "Their size.", Labels: label}
	oldest := web.Family{Name: "headgate_bridge_backlog_oldest_seconds", Help: "How long the first one has waited.", Labels: label}
	forwarded := web.Family{Name: "headgate_bridge_forwarded_total", Help: "Messages that the upstream has acknowledged.", Counter: true, Labels: label}
	batches := web.Family{Name: "headgate_bridge_batches_total", Help: "PUBLISHes that had several of them.", Counter: true, Labels: label}
	received := web.Family{Name: "headgate_bridge_received_total", Help: "Messages that came down.", Counter: true, Labels: label}
	reconnects := web.Family{Name: "headgate_bridge_reconnects_total", Help: "Connections after the first.", Counter: true, Labels: label}
	state := web.Family{Name: "headgate_bridge_state_seconds", Help: "For how long the bridge has been connected, or not.", Labels: label}
	for _, b := range bridges {
		name := []string{b.Name}
		connected.Series = append(connected.Series, web.Series{Value: truth(b.State == bridge.Connected), Labels: name})
		backlog.Series = append(backlog.Series, web.Series{Value: float64(b.Backlog.Messages), Labels: name})
		bytes.Series = append(bytes.Series, web.Series{Value: float64(b.Backlog.Bytes), Labels: name})
		oldest.Series = append(oldest.Series, web.Series{Value: b.Backlog.Oldest.Seconds(), Labels: name})
		forwarded.Series = append(forwarded.Series, web.Series{Value: float64(b.Forwarded), Labels: name})
		batches.Series = append(batches.Series, web.Series{Value: float64(b.Batches), Labels: name})
		received.Series = append(received.Series, web.Series{Value: float64(b.Received), Labels: name})
		reconnects.Series = append(reconnects.Series, web.Series{Value: float64(b.Reconnects), Labels: name})
		if !b.Since.IsZero() {
			state.Series = append(state.Series, web.Series{Value: now.Sub(b.Since).Seconds(), Labels: name})
		}
	}
	return []web.Family{connected, backlog, bytes, oldest, forwarded, batches, received, reconnects, state}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
