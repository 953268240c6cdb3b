package port

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWhatComesWhileNobodyReadsWakesNobody(t *testing.T) {
	p, far, _ := pair(t, Mode{})
	ready := func() bool {
		t.Helper()
		var event [1]unix.EpollEvent
		n, err := unix.EpollWait(int(p.in.epoll.Fd()), event[:], 0)
		if err != nil {
			t.Fatal(err)
		}
		return n > 0
	}
	b := make([]byte, 8)
	time.AfterFunc(5*time.Millisecond, func() { io.WriteString(far, "x") })
	if n, err := p.Read(soon(t), b); n != 1 || err != nil { // it has waited at the gate
		t.Fatalf("got %d bytes, %v", n, err)
	}
	io.WriteString(far, "y")
	fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 10_000); n != 1 || err != nil {
		t.Fatalf("poll gives %d, %v", n, err)
	}
	if ready() {
		t.Error("the gate is open, and nobody waits at it")
	}
	if n, err := p.Read(soon(t), b); n != 1 || err != nil {
		t.Errorf("got %d bytes, %v", n, err)
	}
	// One that waited in vain has left the gate armed.
	if _, err := p.ReadBy(time.Now().Add(time.Millisecond), b); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	io.WriteString(far, "z")
	for range 3 {
		if n, err := p.Read(soon(t), b); n != 1 || err != nil {
			t.Fatalf("got %d bytes, %v", n, err)
		}
		io.WriteString(far, "z")
	}
}

func TestAPortIsClosedWhileItIsReadAndWritten(t *testing.T) {
	for range 20 {
		p, far, _ := pair(t, Mode{})
		var busy sync.WaitGroup
		busy.Go(func() { io.Copy(io.Discard, far) })
		busy.Go(func() {
			for b := make([]byte, 64); ; {
				if _, err := p.Read(t.Context(), b); err != nil {
					return
				}
			}
		})
		busy.Go(func() {
			for b := make([]byte, 64); ; {
				if _, err := p.Write(t.Context(), b); err != nil {
					return
				}
			}
		})
		time.AfterFunc(time.Millisecond, func() { io.WriteString(far, "x") })
		time.Sleep(2 * time.Millisecond)
		var closing sync.WaitGroup
		for range 2 {
			closing.Go(func() {
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		closing.Wait()
		far.Close()
		busy.Wait()
	}
}
