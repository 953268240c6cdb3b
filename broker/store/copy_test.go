package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// working keeps a store under the load of the crash tests until stop is called. Every
// other queue has a backlog.
func working(t *testing.T, s *Store, b *book) (stop func()) {
	t.Helper()
	end := make(chan struct{})
	var wg sync.WaitGroup
	for i := range crashQueues {
		q := queue(t, s, "queue "+strconv.Itoa(i))
		room := make(chan struct{}, 20)
		wg.Go(func() {
			for n := q.Stats().Next; ; n++ {
				select {
				case room <- struct{}{}:
				case <-end:
					for range cap(room) {
						room <- struct{}{}
					}
					return
				}
				data := crashMessage(i, n)
				s.Commit([]Record{{Kind: Message, Refs: []Ref{{q.ID(), []byte{byte(i)}}}, Data: data},
					{Kind: Put, Key: fmt.Sprintf("last/%d", i), Data: data}}, func(err error) {
					if err == nil {
						b.setDurable(i, n+1)
					} else {
						t.Errorf("commit: %v", err)
					}
					<-room
				})
			}
		})
		backlog := uint64(i%2) * 10_000
		wake := make(chan struct{}, 1)
		r := q.Reader(func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		})
		wg.Go(func() {
			for {
				if backlog > 0 && q.Stats().Next < b.taken(i)+backlog {
					select {
					case <-time.After(10 * time.Millisecond):
						continue
					case <-end:
						return
					}
				}
				it, ok, err := r.Next()
				if err != nil {
					t.Errorf("read: %v", err)
					return
				}
				if ok {
					b.setTaken(i, it.Ordinal+1)
					q.Ack(it.Number)
					continue
				}
				select {
				case <-wake:
				case <-end:
					return
				}
			}
		})
	}
	return sync.OnceFunc(func() { close(end); wg.Wait() })
}

func TestACopyOfAStoreAtWorkHasAllThatWasAcknowledgedBefore(t *testing.T) {
	t.Parallel()
	copies := 4
	if proof() {
		copies = 100
	}
	dir := t.TempDir()
	now, err := openBook(filepath.Join(dir, "now"))
	if err != nil {
		t.Fatal(err)
	}
	defer now.close()
	s := open(t, filepath.Join(dir, "store"), small())
	stop := working(t, s, now)
	defer stop()
	for n := range copies {
		var from [crashQueues]uint64
		then, err := openBook(filepath.Join(dir, fmt.Sprint("then", n)))
		if err != nil {
			t.Fatal(err)
		}
		for i := range from {
			from[i] = now.durable(i)
		}
		awaitLoad(t, now, from)
		for i := range from {
			then.setDurable(i, now.durable(i))
		}
		made, done, err := s.Copy(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Copy(t.Context()); !errors.Is(err, errCopying) {
			t.Errorf("another copy meanwhile: got %v, want %v", err, errCopying)
		}
		for i := range from {
			then.setTaken(i, now.taken(i))
			from[i] = now.durable(i)
		}
		awaitLoad(t, now, from) // what is linked is removed by the store meanwhile
		kept := filepath.Join(dir, fmt.Sprint("kept", n))
		run(t, "cp", "-r", "--sparse=always", made, kept) // its files are the store's: it is only read
		if err := done(); err != nil {
			t.Fatal(err)
		}
		if lost := inspect(t, kept, then, false); lost > 0 {
			t.Fatalf("%d messages acknowledged before the copy are not in it", lost)
		}
		then.close()
	}
	stop()
	closeStore(t, s)
	if lost := inspect(t, filepath.Join(dir, "store"), now, false); lost > 0 {
		t.Errorf("%d messages are lost where they were copied from", lost)
	}
}

func TestACopyThatNobodyWaitsForIsRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, small())
	queue(t, s, "q")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, done, err := s.Copy(ctx); err == nil { // it was made before anybody looked
		if err := done(); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the next copy", func() bool {
		_, done, err := s.Copy(t.Context())
		if errors.Is(err, errCopying) {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := done(); err != nil {
			t.Fatal(err)
		}
		return true
	})
	if _, err := os.Lstat(filepath.Join(dir, copyName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copy is still there: %v", err)
	}
	closeStore(t, s)
	if _, _, err := s.Copy(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("a copy of a closed store: got %v, want %v", err, ErrClosed)
	}
}
