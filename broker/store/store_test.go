package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// hang is how long a test waits for what should come: more means that it hangs.
const hang = 2 * time.Minute

// small is a store of which the ring, the generations and the limits are small.
func small() Config {
	return Config{MaxBytes: 64 << 20, MinFree: 1 << 20, RingBytes: 64 << 10, PendingBytes: 1 << 20, GenerationBytes: 2 << 20}
}

// logged is a slog.Handler's output that a test looks into.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func listen() (*slog.Logger, *logged) {
	l := &logged{}
	return slog.New(slog.NewTextHandler(l, nil)), l
}

func open(t testing.TB, dir string, cfg Config) *Store {
	t.Helper()
	s, err := Open(dir, cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

func queue(t testing.TB, s *Store, name string) *Queue {
	t.Helper()
	q, err := s.Queue(name)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// commit commits and waits until it is durable.
func commit(t testing.TB, s *Store, recs ...Record) {
	t.Helper()
	if err := tryCommit(s, recs...); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

var errHangs = errors.New("done does not come")

func tryCommit(s *Store, recs ...Record) error {
	done := make(chan error, 1)
	s.Commit(recs, func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-time.After(hang):
		return errHangs
	}
}

func message(data string, qs ...*Queue) Record {
	r := Record{Kind: Message, Data: []byte(data)}
	for _, q := range qs {
		r.Refs = append(r.Refs, Ref{q.ID(), []byte("meta of " + q.Name())})
	}
	return r
}

// fill commits n messages "0000000", "0000001" and so on, from first, each padded
// with pad bytes, and waits until all are durable.
func fill(t testing.TB, s *Store, q *Queue, first, n, pad int) {
	t.Helper()
	padding := strings.Repeat(".", pad)
	for i := first; i < first+n; {
		var recs []Record
		for size := 0; i < first+n && size < 200<<10; i++ {
			recs = append(recs, message(fmt.Sprintf("%07d", i)+padding, q))
			size += pad + 7
		}
		commit(t, s, recs...)
	}
}

func number(it Item) int {
	var n int
	if _, err := fmt.Sscanf(string(it.Data[:7]), "%d", &n); err != nil {
		return -1
	}
	return n
}

// next gives the next item, which must be there.
func next(t testing.TB, r *Reader) Item {
	t.Helper()
	it, ok, err := r.Next()
	if err != nil || !ok {
		t.Fatalf("Next gives ok %v, err %v", ok, err)
	}
	return it
}

func nothing(t testing.TB, r *Reader) {
	t.Helper()
	if it, ok, err := r.Next(); ok || err != nil {
		t.Fatalf("Next gives %q, ok %v, err %v; want nothing", it.Data, ok, err)
	}
}

// expect reads messages first to end-1 as fill has made them, and gives them.
func expect(t testing.TB, r *Reader, first, end int) []Item {
	t.Helper()
	var items []Item
	for i := first; i < end; i++ {
		it, ok, err := r.Next()
		if err != nil || !ok || number(it) != i || it.Ordinal != uint64(i) {
			t.Fatalf("message %d: got %.9q with ordinal %d, ok %v, err %v", i, it.Data, it.Ordinal, ok, err)
		}
		items = append(items, it)
	}
	return items
}

// await waits until a condition holds.
func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(hang)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("it hangs: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// copyDir copies a store's directory, all of it at a time at which no file came or
// went: a generation may just be sealed, or Badger be tidying up.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	for try := 0; ; try++ {
		to := t.TempDir() + "/copy"
		before := storeFiles(t, from)
		err := os.CopyFS(to, os.DirFS(from))
		if slices.Equal(before, storeFiles(t, from)) {
			if err != nil {
				t.Fatal(err)
			}
			return to
		}
		if try == 20 {
			t.Fatalf("files come and go in %s all the time", from)
		}
	}
}

func TestWhatIsCommittedIsThereAfterClosingAndOpening(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, small())
	q := queue(t, s, "cloud")
	fill(t, s, q, 0, 3000, 200)
	closeStore(t, s)

	s = open(t, dir, small())
	qs := s.Queues()
	if len(qs) != 1 || qs[0].Name() != "cloud" || qs[0].ID() != q.ID() {
		t.Fatalf("queues: %v", qs)
	}
	if st := qs[0].Stats(); st.Messages != 3000 || st.Bytes != 3000*(207+int64(len("meta of cloud"))) {
		t.Errorf("stats: %+v", st)
	}
	r := qs[0].Reader(nil)
	for _, it := range expect(t, r, 0, 3000) {
		if !it.Recovered || !it.Durable || it.Received || string(it.Meta) != "meta of cloud" {
			t.Fatalf("item: %+v", it)
		}
	}
	nothing(t, r)
}

func TestWhatWasAcknowledgedToTheCallerSurvivesAKill(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, small())
	q := queue(t, s, "cloud")
	for i := range 50 {
		fill(t, s, q, i*100, 100, 150)
	}
	r := q.Reader(nil)
	for _, it := range expect(t, r, 0, 700) {
		q.Ack(it.Number)
	}
	commit(t, s, Record{Kind: Put, Key: "k", Data: []byte("v")}) // and the acknowledgements with it

	s = open(t, copyDir(t, dir), small())
	q = queue(t, s, "cloud")
	if st := q.Stats(); st.Messages != 4300 || st.Head != 700 || st.Next != 5000 {
		t.Fatalf("stats: %+v", st)
	}
	r = q.Reader(nil)
	expect(t, r, 700, 5000)
	nothing(t, r)
}

func TestNoGoroutineIsLeftAfterClose(t *testing.T) {
	before := runtime.NumGoroutine()
	dir := t.TempDir()
	for range 2 {
		s := open(t, dir, small())
		q := queue(t, s, "cloud")
		fill(t, s, q, 0, 20000, 200)
		r := q.Reader(nil)
		for range 5000 {
			if it, ok, _ := r.Next(); ok {
				q.Ack(it.Number)
			}
		}
		closeStore(t, s)
	}
	await(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before })
}
