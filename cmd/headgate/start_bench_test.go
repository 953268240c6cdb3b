package main

import (
	"testing"
	"time"

	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

// BenchmarkStart measures the time from the start of the program to the first
// client's CONNACK.
func BenchmarkStart(b *testing.B) {
	path := writeConfig(b, "[gateway]\ndata_dir = \""+b.TempDir()+"\"\n[web]\nlisten = \"off\"\n[[broker.listener]]\nurl = \"mqtt://127.0.0.1:0\"\n")
	var all time.Duration
	for b.Loop() {
		start := time.Now()
		headgate := launch(b, path)
		headgate.waitListening()
		c := brokertest.Dial(b, headgate.addr(), packet.V5)
		if r := c.Connect("first").Reason; r != packet.Success {
			b.Fatal(r)
		}
		all += time.Since(start)
		headgate.kill()
	}
	b.ReportMetric(float64(all.Milliseconds())/float64(b.N), "ms/start")
}

// BenchmarkStartWithAMillionWaiting is BenchmarkStart after a kill, with a million
// messages of 200 bytes that wait for a session.
func BenchmarkStartWithAMillionWaiting(b *testing.B) {
	const million, window = 1_000_000, 1000
	path := writeConfig(b, "[gateway]\ndata_dir = \""+b.TempDir()+"\"\n[web]\nlisten = \"off\"\n[broker]\nmax_session_bytes = \"unlimited\"\n[[broker.listener]]\nurl = \"mqtt://127.0.0.1:0\"\n")
	headgate := launch(b, path)
	headgate.waitListening()
	away, _ := brokertest.Connect(b, headgate.addr(), packet.V5, "away", brokertest.Persistent)
	away.SubscribeTo("#", 1)
	away.Disconnect()
	pub := brokertest.Dial(b, headgate.addr(), packet.V311)
	pub.Connect("pub")
	for range million / window {
		var out []byte
		for id := range window {
			p := packet.Publish{Topic: []byte("level/1"), QoS: 1, PacketID: uint16(id + 1), Payload: make([]byte, 200)}
			out = p.Append(out, packet.V311)
		}
		pub.Send(out)
		for id := range window {
			pub.WantAck(packet.PUBACK, uint16(id+1))
		}
	}
	var all time.Duration
	for b.Loop() {
		headgate.kill()
		start := time.Now()
		headgate.start()
		c := brokertest.Dial(b, headgate.addr(), packet.V5)
		if r := c.Connect("first").Reason; r != packet.Success {
			b.Fatal(r)
		}
		all += time.Since(start)
	}
	b.ReportMetric(float64(all.Milliseconds())/float64(b.N), "ms/start")
	b.ReportMetric(float64(headgate.usage().rss)/1e6, "MB")
}
