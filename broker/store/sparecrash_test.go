package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// spareLoad is a child like load, of which each message may be left out of the log:
// its receivers acknowledge for a while at once, and for a while nothing. What the
// book has as taken is what they have acknowledged.
func spareLoad(dir, bookPath string) {
	b, err := openBook(bookPath)
	fatal(err)
	s, err := Open(dir, small(), quiet())
	fatal(err)
	for i := range crashQueues {
		q, err := s.Queue("queue " + strconv.Itoa(i))
		fatal(err)
		go produceSpare(s, q, i, b)
		go receiveForAWhile(q, i, b)
	}
	select {}
}

func produceSpare(s *Store, q *Queue, i int, b *book) {
	room := make(chan struct{}, 50)
	for n := q.Stats().Next; ; n++ {
		room <- struct{}{}
		s.Commit([]Record{{Kind: Message, Refs: []Ref{{q.ID(), []byte{byte(i)}}}, Data: crashMessage(i, n), Window: 20 * time.Millisecond, Spare: true}}, func(err error) {
			fatal(err)
			b.setDurable(i, n+1)
			<-room
		})
		time.Sleep(200 * time.Microsecond)
	}
}

func receiveForAWhile(q *Queue, i int, b *book) {
	wake := make(chan struct{}, 1)
	r := q.Reader(func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	for {
		for up := time.Now().Add(time.Duration(rand.IntN(100)) * time.Millisecond); time.Now().Before(up); {
			it, ok, err := r.Next()
			fatal(err)
			if !ok {
				<-wake
				continue
			}
			b.setTaken(i, it.Ordinal+1) // before Ack: what is not written was surely taken
			q.Ack(it.Number)
		}
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
	}
}

// inspectSpare opens the store after a crash, and counts the messages of which a
// producer was told and no receiver, and that are not there.
func inspectSpare(t *testing.T, dir string, b *book) (lost int) {
	t.Helper()
	log, text := listen()
	s, err := Open(dir, small(), log)
	if err != nil {
		t.Fatalf("open after the crash: %v", err)
	}
	defer s.Close()
	if st := s.Stats(); st.DamagedSegments+st.LostRecords+st.DamagedGenerations > 0 || strings.Contains(text.String(), "missing") {
		t.Fatalf("damage is reported: %+v\n%s", st, text)
	}
	for i := range crashQueues {
		q := queue(t, s, "queue "+strconv.Itoa(i))
		durable, taken := b.durable(i), b.taken(i)
		want := taken // all before was acknowledged
		r := q.Reader(nil)
		for {
			it, ok, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if !bytes.Equal(it.Data, crashMessage(i, it.Ordinal)) || it.Meta[0] != byte(i) {
				t.Fatalf("queue %d: message %d is another one", i, it.Ordinal)
			}
			if it.Ordinal < taken {
				continue
			}
			lost += int(it.Ordinal - want)
			want = it.Ordinal + 1
		}
		if durable > want {
			lost += int(durable - want)
		}
		// What this process saw last counts from here.
		b.setDurable(i, q.Stats().Next)
		b.setTaken(i, q.Stats().Head)
	}
	return lost
}

// awaitSpareLoad waits until something was left out of the log and something was
// written.
func awaitSpareLoad(t *testing.T, b *book, from uint64) {
	t.Helper()
	await(t, "a child to commit", func() bool {
		for i := range crashQueues {
			if b.durable(i) < from+200 {
				return false
			}
		}
		return true
	})
}

func TestAKillLosesNothingOfMessagesThatMayBeSpared(t *testing.T) {
	t.Parallel()
	kills := 2
	if proof() {
		kills = 200
	}
	dir, bookPath := filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "book")
	b, err := openBook(bookPath)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	for k := range kills {
		from := uint64(0)
		for i := range crashQueues {
			from = max(from, b.durable(i))
		}
		child, _ := startJob(t, "spare", dir, bookPath)
		awaitSpareLoad(t, b, from)
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
		kill(child)
		if lost := inspectSpare(t, dir, b); lost > 0 {
			t.Fatalf("kill %d: %d messages are lost of which a producer was told", k, lost)
		}
	}
}

func TestAPowerCutLosesNothingOfMessagesThatMayBeSpared(t *testing.T) {
	wantLoop(t, "that a power cut loses nothing")
	t.Parallel()
	cuts := 1
	if proof() {
		cuts = 50
	}
	for range cuts {
		lost := cutDisk(t, func(dir, bookPath string) *exec.Cmd {
			child, _ := startJob(t, "spare", dir, bookPath)
			return child
		}, false, func(dir string, b *book) int { return inspectSpare(t, dir, b) })
		if lost > 0 {
			t.Fatalf("%d messages are lost of which a producer was told", lost)
		}
	}
}

// BenchmarkSpare gives what goes to the disk for each byte of 64 publishers'
// messages, one each every 10 ms, with a window of a second, while a receiver
// acknowledges them 50 ms later, and while it does not. All that the machine's disks
// are given counts.
func BenchmarkSpare(b *testing.B) {
	for _, up := range []bool{true, false} {
		b.Run(fmt.Sprintf("uplink=%v", up), func(b *testing.B) {
			s := open(b, b.TempDir(), Config{})
			q := queue(b, s, "cloud")
			u := &uplink{q: q, down: !up, stop: make(chan struct{})}
			ended := make(chan struct{})
			go func() { defer close(ended); u.run(50 * time.Millisecond) }()
			recs := []Record{{Kind: Message, Refs: []Ref{{q.ID(), []byte{1}}}, Data: make([]byte, payload), Window: time.Second, Spare: true}}
			commit(b, s)
			var r rate
			at, before := diskBytes(), s.Stats()
			for b.Loop() {
				r.pace(64, 4*time.Second, func() { s.Commit(recs, nil) })
			}
			time.Sleep(200 * time.Millisecond)
			st := s.Stats()
			b.ReportMetric(float64(diskBytes()-at)/float64(r.n*payload), "disk-B/payload-B")
			b.ReportMetric(float64(st.Bytes-before.Bytes)/float64(r.n*payload), "log-B/payload-B")
			b.ReportMetric(float64(st.Commits-before.Commits), "commits")
			b.ReportMetric(100*float64(st.Spared)/float64(r.n), "%spared")
			b.ReportMetric(0, "ns/op")
			u.set(false)
			close(u.stop)
			<-ended
		})
	}
}
