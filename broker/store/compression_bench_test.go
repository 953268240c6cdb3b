package store

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// BenchmarkCompression gives what goes to the disk for each byte of the messages
// and their topics, and what a commit takes of the processor's time and of the
// disk's, for the samples of 200 points that are measured once a second and
// committed together.
func BenchmarkCompression(b *testing.B) {
	for _, c := range []Compression{NoCompression, Zstd} {
		b.Run(string(c), func(b *testing.B) {
			s := open(b, b.TempDir(), Config{Compression: c})
			q := queue(b, s, "cloud")
			points := make([]float64, 200)
			for i := range points {
				points[i] = 200 + 60*rand.Float64()
			}
			at, before, cpu := diskBytes(), s.Stats(), cpuTime()
			now := time.Date(2026, 11, 28, 13, 0, 0, 0, time.UTC)
			var payload, n int64
			for b.Loop() {
				recs := make([]Record, len(points)) // what a second has brought
				for i := range points {
					points[i] += rand.NormFloat64() / 2
					now = now.Add(5 * time.Millisecond)
					data := fmt.Sprintf("\x02\x05\x2aboiler-house/meter%d/phase%d/voltage\x00"+`{"value":%.1f,"unit":"V","time":"%s","quality":"good"}`,
						i/10, i%10, points[i], now.Format("2006-01-02T15:04:05.000Z"))
					recs[i] = message(data, q)
					payload += int64(len(data))
					n++
				}
				commit(b, s, recs...)
			}
			st := s.Stats()
			b.ReportMetric(float64(diskBytes()-at)/float64(payload), "disk-B/payload-B")
			b.ReportMetric(float64(st.Bytes-before.Bytes)/float64(payload), "segment-B/payload-B")
			b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(n), "cpu-us/msg")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// cpuTime is what this process has had of the processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
