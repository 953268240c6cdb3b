package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// payload is the length of the messages in all figures.
const payload = 200

// The figures are ratios to a plain file that is appended to and synced with
// fdatasync, by the same producers in the same run: each waits for its message
// to be durable before it sends the next, and what waits is written together.

// BenchmarkCommit gives messages a second of the store and of the plain file.
func BenchmarkCommit(b *testing.B) {
	for _, producers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("producers=%d", producers), func(b *testing.B) {
			s, err := Open(b.TempDir(), Config{}, quiet())
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			q := queue(b, s, "cloud")
			f := newPlainFile(b, filepath.Join(b.TempDir(), "plain"))
			defer f.close()
			data := make([]byte, payload)
			refs := []Ref{{q.ID(), []byte{1}}}

			// In turns, so that both meet the same phases of the disk.
			var store, plain rate
			var ourBytes, plainBytes, payloads, plainPayloads int64
			for b.Loop() {
				at := diskBytes()
				n := store.run(producers, 300*time.Millisecond, func(done func(error)) {
					s.Commit([]Record{{Kind: Message, Refs: refs, Data: data}}, done)
				})
				payloads += int64(n * payload)
				ourBytes += diskBytes() - at
				at = diskBytes()
				n = plain.run(producers, 300*time.Millisecond, func(done func(error)) { f.commit(data, done) })
				plainPayloads += int64(n * payload)
				plainBytes += diskBytes() - at
			}
			b.ReportMetric(store.perSecond(), "msg/s")
			b.ReportMetric(plain.perSecond(), "plain-msg/s")
			b.ReportMetric(store.perSecond()/plain.perSecond(), "ratio")
			b.ReportMetric(float64(ourBytes)/float64(payloads), "disk-B/payload-B")
			b.ReportMetric(float64(plainBytes)/float64(plainPayloads), "plain-disk-B/payload-B")
			st := s.Stats()
			b.ReportMetric(float64(st.Records)/float64(st.Commits), "msg/commit")
			b.ReportMetric(float64(st.SyncTime.Microseconds())/float64(st.Commits), "us/commit")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// rate counts what producers do that have one message under way each.
type rate struct {
	n    int
	took time.Duration
}

func (r *rate) run(producers int, d time.Duration, commit func(done func(error))) int {
	begin := time.Now()
	counts := make([]int, producers)
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			done := make(chan error, 1)
			for time.Since(begin) < d {
				commit(func(err error) { done <- err })
				if err := <-done; err != nil {
					panic(err)
				}
				counts[p]++
			}
		})
	}
	wg.Wait()
	r.took += time.Since(begin)
	n := 0
	for _, c := range counts {
		n += c
	}
	r.n += n
	return n
}

func (r *rate) perSecond() float64 { return float64(r.n) / r.took.Seconds() }

// plainFile is the yardstick: one goroutine appends what has come and syncs.
type plainFile struct {
	f     *os.File
	mu    sync.Mutex
	buf   []byte
	dones []func(error)
	wake  chan struct{}
	end   chan struct{}
}

func newPlainFile(b *testing.B, path string) *plainFile {
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	p := &plainFile{f: f, wake: make(chan struct{}, 1), end: make(chan struct{})}
	go p.run()
	return p
}

func (p *plainFile) commit(data []byte, done func(error)) {
	p.mu.Lock()
	p.buf = append(p.buf, data...)
	p.dones = append(p.dones, done)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *plainFile) run() {
	defer close(p.end)
	var spare []byte
	for range p.wake {
		p.mu.Lock()
		buf, dones := p.buf, p.dones
		p.buf, p.dones = spare[:0], nil
		p.mu.Unlock()
		if len(dones) == 0 {
			continue
		}
		_, err := p.f.Write(buf)
		if err == nil {
			err = syscall.Fdatasync(int(p.f.Fd()))
		}
		for _, done := range dones {
			done(err)
		}
		spare = buf
	}
}

func (p *plainFile) close() {
	close(p.wake)
	<-p.end
	p.f.Close()
}

// diskBytes is what the machine's disks were given to write, as far as it says.
func diskBytes() int64 {
	text, err := os.ReadFile("/proc/diskstats")
	if err != nil {
		return 0
	}
	var sectors int64
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) > 9 && !strings.HasPrefix(f[2], "loop") && !strings.HasPrefix(f[2], "ram") {
			n, _ := strconv.ParseInt(f[9], 10, 64)
			sectors += n
		}
	}
	return sectors * 512
}

// BenchmarkDrain gives messages a second of a reader that starts with all of
// them on disk and acknowledges each.
func BenchmarkDrain(b *testing.B) {
	const n = 400_000
	var r rate
	for b.Loop() {
		b.StopTimer()
		dir := b.TempDir()
		s := open(b, dir, Config{})
		fill(b, s, queue(b, s, "cloud"), 0, n, payload-7)
		closeStore(b, s)
		s = open(b, dir, Config{})
		q := queue(b, s, "cloud")
		rd := q.Reader(nil)
		b.StartTimer()
		begin := time.Now()
		for range n {
			it, ok, err := rd.Next()
			if !ok || err != nil {
				b.Fatal(ok, err)
			}
			q.Ack(it.Number)
		}
		r.took += time.Since(begin)
		r.n += n
		b.StopTimer()
		closeStore(b, s)
		os.RemoveAll(dir)
		b.StartTimer()
	}
	b.ReportMetric(r.perSecond(), "msg/s")
	b.ReportMetric(0, "ns/op")
}

// privateBytes is RssAnon of this process.
func privateBytes() int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}
