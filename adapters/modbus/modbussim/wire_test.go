package modbussim

import (
	"bytes"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"headgate/adapters/port"
)

// onWire has a server with unit 7 behind a wire, and gives the near end.
func onWire(t *testing.T, w *Wire) (near net.Conn, unit *Unit) {
	t.Helper()
	near, w.Far = net.Pipe()
	w.Mode, w.Simulated = port.DefaultMode(), true
	s := New()
	s.Unit(7).SetHolding(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	ended := make(chan error, 1)
	go func() { ended <- s.ServeRTU(t.Context(), w) }()
	t.Cleanup(func() {
		near.Close()
		s.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return near, s.Unit(7)
}

// request is unit 7, holding registers 0-9, with its CRC.
func request10() []byte { return []byte{7, 3, 0, 0, 0, 10, 0xc5, 0xab} }

func TestAnAnswerTakesTheTimeThatItTakesOnTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &Wire{Turnaround: 5 * time.Millisecond}
		near, _ := onWire(t, w)
		begin := time.Now()
		near.Write(request10())
		if _, err := io.ReadFull(near, make([]byte, 25)); err != nil {
			t.Fatal(err)
		}
		// Request and answer, 33 characters at 9600 8N1, t3.5 between them, and
		// the turnaround.
		c := time.Second / 960
		if got, want := time.Since(begin), 33*c+7*c/2+5*time.Millisecond; (got - want).Abs() > 10*time.Microsecond {
			t.Errorf("it took %v, want %v", got, want)
		}
	})
}

func TestWhatTwoSayAtOnceNobodyUnderstands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &Wire{}
		near, _ := onWire(t, w)
		noise := bytes.Repeat([]byte{0x55}, 20)
		go w.Say(noise)
		time.Sleep(time.Millisecond)
		near.Write(request10())
		got := make([]byte, 64)
		near.SetReadDeadline(time.Now().Add(time.Second))
		n, _ := io.ReadFull(near, got)
		if n > len(noise) || w.Collisions() == 0 {
			t.Errorf("% x came, with %d collisions: a request in the middle of it was understood", got[:n], w.Collisions())
		}
	})
}

func TestAnEchoComesBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &Wire{}
		w.Echo.Store(true)
		near, _ := onWire(t, w)
		near.Write(request10())
		got := make([]byte, 8+25)
		if _, err := io.ReadFull(near, got); err != nil || !bytes.Equal(got[:8], request10()) || got[8] != 7 || got[10] != 20 {
			t.Errorf("got % x, %v", got, err)
		}
	})
}
