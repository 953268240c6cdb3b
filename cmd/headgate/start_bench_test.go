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
