package modbus

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// maxUnread bytes that came and were not taken yet are kept; before more than
// that the oldest go. It is many frames of any kind.
const maxUnread = 4096

// stream is an open serial port or connection.
type stream interface {
	// Read waits until something has come, or Close.
	Read(ctx context.Context, b []byte) (int, error)

	// Write sends b, or gives up when ctx ends.
	Write(ctx context.Context, b []byte) (int, error)

	Close() error
}

// wire is an open link: a stream, and one goroutine that hears what comes when
// it comes, so that the end of a link is noticed while nobody asks anything.
type wire struct {
	stream stream
	taps   *taps
	news   chan struct{} // has one in it while something is there to be taken
	ended  chan struct{} // closed when the goroutine has ended

	mu     sync.Mutex // guards what follows
	chunks [][]byte   // as they came: a datagram is a chunk
	unread int        // bytes in them
	lost   int        // bytes that went unread
	heard  time.Time  // when the last one came
	err    error      // why nothing more will come
}

// newWire makes a wire of a stream, which is closed with it. What comes is given to
// the taps too.
func newWire(s stream, t *taps) *wire {
	w := &wire{stream: s, taps: t, news: make(chan struct{}, 1), ended: make(chan struct{})}
	go w.hear()
	return w
}

// close closes it and waits for its goroutine. It may be called more than once.
func (w *wire) close() {
	w.stream.Close()
	<-w.ended
}

func (w *wire) hear() {
	defer close(w.ended)
	var buffer [2048]byte // more than any frame, be it a datagram's
	for {
		n, err := w.stream.Read(context.Background(), buffer[:])
		if n > 0 {
			w.taps.put(buffer[:n], time.Now(), false)
		}
		w.mu.Lock()
		if n > 0 {
			w.heard = time.Now()
			w.chunks = append(w.chunks, append([]byte(nil), buffer[:n]...))
			w.unread += n
			for w.unread > maxUnread {
				w.unread -= len(w.chunks[0])
				w.lost += len(w.chunks[0])
				w.chunks = w.chunks[1:]
			}
		}
		w.err = err
		w.mu.Unlock()
		select {
		case w.news <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// take gives the next chunk, when it came, and how many bytes before it were
// lost; without waiting, so that the chunk is nil if there is none. Once all is
// taken the error is that of the link.
func (w *wire) take() (chunk []byte, heard time.Time, lost int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	heard, lost, w.lost = w.heard, w.lost, 0
	if len(w.chunks) == 0 {
		return nil, heard, lost, w.err
	}
	chunk, w.chunks = w.chunks[0], w.chunks[1:]
	w.unread -= len(chunk)
	return chunk, heard, lost, nil
}

// cause says what the end of a connection is.
func cause(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("closed by the other side")
	}
	return withoutAddress(err)
}
