package broker

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"headgate/broker/store"
)

func inMemory(t *testing.T) *Broker {
	t.Helper()
	st := store.OpenMemory(store.Config{}, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { st.Close() })
	var cfg Config
	cfg.SetDefaults()
	b, err := New(cfg, st, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// slowConn takes everything, and notes how long each write may take.
type slowConn struct {
	net.Conn
	deadlines []time.Time
}

func (c *slowConn) Write(b []byte) (int, error) { return len(b), nil }

func (c *slowConn) SetWriteDeadline(at time.Time) error {
	c.deadlines = append(c.deadlines, at)
	return nil
}

func TestAConnectionThatIsToEndHasNoMoreTimeForEachPart(t *testing.T) {
	nc := &slowConn{}
	c := &conn{b: inMemory(t), nc: nc, done: make(chan struct{})}
	close(c.done)
	if err := c.writeAll([][]byte{make([]byte, 10*writePart)}, false); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(closeTimeout)
	if last := nc.deadlines[len(nc.deadlines)-1]; len(nc.deadlines) > 2 || last.After(end) {
		t.Errorf("%d deadlines, the last %v after the one for a last packet", len(nc.deadlines), last.Sub(end))
	}
}

// The deadline of the write before it may have passed long ago, and the one for
// the end is set by whoever ends the connection, a moment later.
func TestWhatGoesLastHasTimeOfItsOwn(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	c := newConn(inMemory(t), there, entry{})
	there.SetWriteDeadline(time.Now().Add(-time.Hour))
	got := make(chan byte, 1)
	go func() {
		b := make([]byte, 1)
		here.Read(b)
		got <- b[0]
	}()
	if err := c.writeAll([][]byte{{7}}, true); err != nil {
		t.Fatal(err)
	}
	if b := <-got; b != 7 {
		t.Errorf("got %d, want 7", b)
	}
}
