package main

import (
	"fmt"
	"time"
)

// scenarios gives every scenario in the order in which they run.
func scenarios() []scenario {
	s := throughputScenarios()
	s = append(s, latencyScenarios()...)
	s = append(s, sizeScenarios()...)
	s = append(s, durableScenarios()...)
	s = append(s, bridgeScenarios()...)
	for i := range s {
		if s[i].mode == "" {
			s[i].mode = "default"
		}
	}
	return s
}

func throughputCols() []col {
	return []col{
		{"rate", "msg/s", 0}, {"cpu_us", "broker CPU µs/msg", 2}, {"busy", "broker cores", 2},
		{"gen_us", "loadgen CPU µs/msg", 2}, {"hwm_mib", "peak RSS MiB", 1},
		{"ratio_dlv", "delivered/sent", 4}, {"ooo", "dup/ooo", 0}, {"stalls", "stalls", 0},
		{"sys_msg", "syscalls/msg", 3}, {"csw_msg", "ctx switches/msg", 3},
	}
}

func throughputScenarios() []scenario {
	var s []scenario
	add := func(x scenario) { x.cols = throughputCols(); s = append(s, x) }
	for _, n := range []int{64, 256, 1024} {
		add(scenario{name: fmt.Sprintf("fanin-q0-%d", n), raw: true, run: fanin(0, n, 512),
			desc: fmt.Sprintf("publishers -> 1 subscriber, QoS 0, %d bytes, end-to-end window (lossless)", n)})
	}
	add(scenario{name: blastName, desc: "the same without a window: what the broker delivers of what it is sent", raw: true, run: fanin(0, 256, 0)})
	for _, q := range []byte{1, 2} {
		for _, n := range []int{64, 256, 1024} {
			add(scenario{name: fmt.Sprintf("fanin-q%d-%d", q, n), run: fanin(q, n, 512),
				desc: fmt.Sprintf("publishers -> 1 subscriber, QoS %d, %d bytes", q, n)})
		}
	}
	add(scenario{name: "sensors-200-q0", desc: "200 publishers -> 1 wildcard subscriber, QoS 0, 64 bytes, every message its own write", raw: true, run: sensors(200, 0)})
	add(scenario{name: "sensors-200-q1", desc: "the same at QoS 1, one message in flight for each publisher", run: sensors(200, 1)})
	add(scenario{name: "fanout-100-q0", desc: "1 publisher -> 100 subscribers, QoS 0, 64 bytes (deliveries/s)", raw: true, run: fanout(100, 0, 64)})
	add(scenario{name: "fanout-500-q0", desc: "1 publisher -> 500 subscribers, QoS 0, 64 bytes (deliveries/s)", raw: true, run: fanout(500, 0, 64)})
	add(scenario{name: "fanout-100-q1", desc: "1 publisher -> 100 subscribers, QoS 1, 64 bytes (deliveries/s)", run: fanout(100, 1, 64)})
	add(scenario{name: "pairs-50-q0", desc: "50 publisher/subscriber pairs, QoS 0, 256 bytes", run: pairs(50, 0, 256)})
	add(scenario{name: "pairs-50-q1", desc: "50 publisher/subscriber pairs, QoS 1, 256 bytes", run: pairs(50, 1, 256)})
	return s
}

func latencyScenarios() []scenario {
	var s []scenario
	add := func(x scenario) {
		x.cols = []col{
			{"p99", "p99 µs", 0}, {"p50", "p50 µs", 0}, {"p999", "p99.9 µs", 0}, {"max", "max µs", 0},
			{"cpu_us", "broker CPU µs/msg", 1}, {"hwm_mib", "peak RSS MiB", 1}, {"ratio_dlv", "delivered/sent", 4},
		}
		s = append(s, x)
	}
	for q := range byte(3) {
		add(scenario{name: fmt.Sprintf("latency-q%d", q), raw: q == 0, run: latency(q, 0),
			desc: fmt.Sprintf("publish -> receive at a fixed rate, QoS %d, 64 bytes", q)})
	}
	add(scenario{name: "latency-q0-20k", desc: "the same at 20000 msg/s, QoS 0", raw: true, run: latency(0, 20000)})
	add(scenario{name: "latency-q1-10k", desc: "the same at 10000 msg/s, QoS 1", run: latency(1, 10000)})
	return s
}

// sizeScenarios are about many filters, many clients and no subscriber.
func sizeScenarios() []scenario {
	return []scenario{
		{name: "wildcard-10k", desc: "10000 wildcard filters over 1000 clients, random topics, QoS 0, 64 bytes (deliveries/s)", run: wildcard,
			cols: append([]col{{"rate", "deliveries/s", 0}, {"pub_rate", "publishes/s", 0}, {"matches", "matches/publish", 2}}, throughputCols()[1:]...)},
		{name: "sink-64", desc: "publishers and no subscriber, QoS 0, 64 bytes", raw: true, cols: throughputCols()[:5], run: unmatched(64)},
		{name: "conn-5000", desc: "idle clients: connect rate and memory of a connection", run: connections, cols: []col{
			{"conn_s", "conn/s", 0}, {"cpu_us", "CPU µs/conn", 0}, {"kib_conn", "KiB/conn", 2}, {"kib_sub", "KiB/conn + 1 sub", 2},
			{"sub_s", "sub/s", 0}, {"rss0_mib", "RSS before MiB", 1}, {"hwm_mib", "peak RSS MiB", 1}, {"idle_pct", "idle CPU %", 1}}},
	}
}

func durableScenarios() []scenario {
	cols := []col{
		{"rate", "PUBACKed/s", 0}, {"cpu_us", "CPU µs/msg", 2}, {"drain", "drain msg/s", 0}, {"drain_us", "drain CPU µs", 2},
		{"acked", "acked", 0}, {"lost", "lost", 0}, {"undrained", "undrained", 0}, {"dup", "dup", 0}, {"ooo", "out of order", 0}, {"hwm_mib", "peak RSS MiB", 1},
	}
	return []scenario{
		{name: "durable-p1", mode: "persist", desc: "offline persistent session, 1 publisher QoS 1 window 64, 256 bytes; then drain", cols: cols, run: durable(1)},
		{name: "durable-p16", mode: "persist", desc: "the same with 16 publishers", cols: cols, run: durable(16)},
		{name: "crash", mode: "persist", desc: "4 publishers to an offline session, SIGKILL, restart, drain: acknowledged messages missing", run: crash, cols: []col{
			{"lost_pct", "lost % of acked", 3}, {"lost", "lost", 0}, {"undrained", "undrained", 0}, {"acked", "acked", 0}, {"rate", "PUBACKed/s", 0}, {"unique", "received", 0},
			{"dup", "dup", 0}, {"ooo", "out of order", 0}, {"session", "session present", 0}, {"restart_ms", "restart ms", 0}}},
	}
}

// bridgeLink is one way over the link of the bridge scenarios that have one: a round
// trip is twice that.
const bridgeLink = 25 * time.Millisecond

func bridgeScenarios() []scenario {
	forward := []col{
		{"rate", "forwarded/s", 0}, {"pub_rate", "PUBACKed/s", 0}, {"cpu_us", "CPU µs/fwd", 2}, {"acked", "acked", 0},
		{"lost", "lost", 0}, {"undrained", "undrained", 0}, {"dup", "dup", 0}, {"ooo", "out of order", 0}, {"hwm_mib", "peak RSS MiB", 1}}
	return []scenario{
		{name: "bridge", mode: "bridge", desc: "4 publishers QoS 1 -> target -> bridge -> remote: forwarded/s, then the rest", run: bridge, cols: forward},
		{name: "bridge-far", mode: "bridge-far", link: bridgeLink, desc: "the same over a link of 50 ms round trip, with the window that each has by itself", run: bridge, cols: forward},
		{name: "bridge-wide", mode: "bridge-wide", link: bridgeLink, desc: "the same with 50000 messages in flight", run: bridge, cols: forward},
		{name: "bridge-outage", mode: "bridge", desc: "paced publishers, the remote away for -seconds, then back: drain", run: bridgeOutage, cols: []col{
			{"drain", "drain msg/s", 0}, {"reconnect_ms", "first msg after up ms", 0}, {"acked", "acked", 0}, {"lost", "lost", 0}, {"undrained", "undrained", 0},
			{"dup", "dup", 0}, {"ooo", "out of order", 0}, {"hwm_mib", "peak RSS MiB", 1}}},
		{name: "bridge-drain", mode: "bridge", desc: "a backlog of -backlog messages of 200 bytes, then the remote back: drain, and what memory grew by with the last three quarters", run: bridgeDrain, cols: []col{
			{"drain", "drain msg/s", 0}, {"drain_us", "drain CPU µs", 2}, {"reconnect_ms", "first msg after up ms", 0}, {"rss_mib", "RSS, last quarter over first MiB", 1}, {"anon_mib", "of it no file's MiB", 1},
			{"acked", "acked", 0}, {"lost", "lost", 0}, {"undrained", "undrained", 0}, {"dup", "dup", 0}, {"ooo", "out of order", 0}, {"hwm_mib", "peak RSS MiB", 1}}},
		{name: "bridge-live", mode: "bridge-live", link: bridgeLink, desc: "publish -> remote at -rate msg/s for a second at most while such a backlog drains behind, over a link of 50 ms round trip", run: bridgeLive, cols: []col{
			{"p99_ms", "p99 ms", 1}, {"p50_ms", "p50 ms", 1}, {"max_ms", "max ms", 1}, {"rate", "msg/s", 0}, {"left", "left of the backlog", 0}, {"ratio_dlv", "delivered/sent", 4}}},
	}
}
