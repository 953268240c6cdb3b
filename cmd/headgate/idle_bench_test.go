package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// BenchmarkIdle measures a whole gateway, built as it is released, that reads 1,000
// points a second, of which none changes by more than its dead band, with its page that
// nobody looks at: its memory, and its part of a core.
func BenchmarkIdle(b *testing.B) {
	const settle, measured = 5 * time.Second, 10 * time.Second
	dir := b.TempDir()
	build := exec.Command("go", "build", "-tags", "nethttpomithttp2", "-trimpath", "-ldflags", "-s -w -funcalign=16", "-o", dir, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build it: %v\n%s", err, out)
	}
	still := strings.ReplaceAll(bigPlant(b), "unit = \"V\"\n", "unit = \"V\"\ndeadband = 100000\n")
	var cpu time.Duration
	var rss int64
	n := 0
	for b.Loop() {
		headgate := &process{t: b, under: []string{"env", "PATH=" + dir},
			config: writeConfig(b, fmt.Sprintf("[gateway]\nid = \"big\"\ndata_dir = %q\n[web]\nlisten = \"127.0.0.1:0\"\n%s", b.TempDir(), still))}
		headgate.start()
		time.Sleep(settle)
		before := headgate.usage()
		time.Sleep(measured)
		after := headgate.usage()
		headgate.terminate()
		cpu += after.cpu - before.cpu
		rss = max(rss, after.rss)
		n++
	}
	b.ReportMetric(100*cpu.Seconds()/(measured.Seconds()*float64(n)), "%core")
	b.ReportMetric(float64(rss)/1e6, "MB")
}
