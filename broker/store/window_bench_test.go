package store

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// BenchmarkCommitWindow gives what goes to the disk for each byte of the messages,
// and how many messages share a commit: of 64 publishers who each wait for their
// message to be durable before they send the next, and of 64 who send one every
// 10 ms. All that the machine's disks are given counts, the file system's journal
// too.
func BenchmarkCommitWindow(b *testing.B) {
	const publishers = 64
	for _, paced := range []bool{false, true} {
		for _, window := range []time.Duration{0, 20 * time.Millisecond, time.Second} {
			b.Run(fmt.Sprintf("paced=%v/window=%v", paced, window), func(b *testing.B) {
				if !paced && window == time.Second {
					b.Skip("nobody would wait so long")
				}
				s := open(b, b.TempDir(), Config{})
				q := queue(b, s, "cloud")
				recs := []Record{{Kind: Message, Refs: []Ref{{q.ID(), []byte{1}}}, Data: make([]byte, payload), Window: window}}
				var r rate
				at, before := diskBytes(), s.Stats()
				for b.Loop() {
					if paced {
						r.pace(publishers, 2*time.Second, func() { s.Commit(recs, nil) })
					} else {
						r.run(publishers, 300*time.Millisecond, func(done func(error)) { s.Commit(recs, done) })
					}
				}
				commit(b, s)
				st := s.Stats()
				b.ReportMetric(float64(diskBytes()-at)/float64(r.n*payload), "disk-B/payload-B")
				b.ReportMetric(float64(r.n)/float64(st.Commits-before.Commits), "msg/commit")
				b.ReportMetric(r.perSecond(), "msg/s")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// pace has publishers send one message every 10 ms each, spread over them.
func (r *rate) pace(publishers int, d time.Duration, send func()) {
	const interval = 10 * time.Millisecond
	begin := time.Now()
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for at := interval * time.Duration(p) / time.Duration(publishers); at < d; at += interval {
				time.Sleep(time.Until(begin.Add(at)))
				send()
			}
		})
	}
	wg.Wait()
	r.took += time.Since(begin)
	r.n += publishers * int(d/interval)
}
