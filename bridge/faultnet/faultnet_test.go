package faultnet

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

const hang = 10 * time.Second

// echo is a target that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return l.Addr().String()
}

func listen(t *testing.T, target string) *Proxy {
	t.Helper()
	p, err := Listen("127.0.0.1:0", target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(hang))
	return c
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c net.Conn, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatalf("read %d bytes: %v", n, err)
	}
	return string(b)
}

func TestBytesPassBothWaysAndTheEndPassesToo(t *testing.T) {
	p := listen(t, echo(t))
	c := dial(t, p)
	big := strings.Repeat("water", 200_000)
	go io.WriteString(c, big)
	if got := hear(t, c, len(big)); got != big {
		t.Error("a megabyte came back changed")
	}
	c.(*net.TCPConn).CloseWrite()
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the close: got %d, %v, want EOF", n, err)
	}
}

func TestACutBreaksConnectionsAndRefusesNewOnesUntilMended(t *testing.T) {
	p := listen(t, echo(t))
	c := dial(t, p)
	say(t, c, "a")
	hear(t, c, 1)
	p.Cut()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection that stood: got %v, want a reset", err)
	}
	if c, err := net.Dial("tcp", p.Addr()); err == nil {
		c.Close()
		t.Error("a cut proxy takes a connection")
	}
	if err := p.Mend(); err != nil {
		t.Fatal(err)
	}
	c = dial(t, p)
	say(t, c, "b")
	if got := hear(t, c, 1); got != "b" {
		t.Errorf("after mending: got %q", got)
	}
	if _, accepted := p.Connections(); accepted != 2 {
		t.Errorf("connections taken: got %d, want 2", accepted)
	}
}

func TestABreakTakesNewConnectionsAtOnce(t *testing.T) {
	p := listen(t, echo(t))
	c := dial(t, p)
	say(t, c, "a")
	hear(t, c, 1)
	p.Break()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection stands")
	}
	c = dial(t, p)
	say(t, c, "b")
	hear(t, c, 1)
}

func TestOneEndOfAHalfOpenConnectionIsNotTold(t *testing.T) {
	for _, gone := range []Direction{ToClient, ToTarget} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		p := listen(t, l.Addr().String())
		client := dial(t, p)
		target, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer target.Close()
		exchange(t, client, target)
		left, lost := target, client
		if gone == ToTarget {
			left, lost = client, target
		}
		p.HalfOpen(gone)
		lost.SetDeadline(time.Now().Add(hang))
		if _, err := lost.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the end that is gone: got %v, want a reset", err)
		}
		for range 3 {
			if _, err := left.Write([]byte("lost")); err != nil {
				t.Errorf("the other end cannot write: %v", err)
			}
			left.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			if n, err := left.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the other end: got %d bytes, %v; want nothing", n, err)
			}
		}
		again := dial(t, p)
		target, err = l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer target.Close()
		exchange(t, again, target)
	}
}

// exchange passes bytes both ways.
func exchange(t *testing.T, a, b net.Conn) {
	t.Helper()
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		got := make([]byte, 4)
		way[1].SetDeadline(time.Now().Add(hang))
		if _, err := way[0].Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(way[1], got); err != nil || string(got) != "ping" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
}

func TestAFrozenLinkTellsNobodyAndGoesOnAfterwards(t *testing.T) {
	p := listen(t, echo(t))
	c := dial(t, p)
	say(t, c, "a")
	hear(t, c, 1)
	p.Freeze()
	say(t, c, "b")
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a byte came through a frozen link")
	}
	c.SetReadDeadline(time.Now().Add(hang))
	p.Thaw()
	if got := hear(t, c, 1); got != "b" {
		t.Errorf("after thawing: got %q", got)
	}
}

func TestDelayIsAddedToEachDirection(t *testing.T) {
	p := listen(t, echo(t))
	c := dial(t, p)
	p.Delay(30 * time.Millisecond)
	began := time.Now()
	say(t, c, "a")
	hear(t, c, 1)
	if took := time.Since(began); took < 60*time.Millisecond {
		t.Errorf("round trip %v, want at least 60ms", took)
	}
}

func TestExactlyTheBytesAskedForAreDamaged(t *testing.T) {
	p := listen(t, echo(t))
	c := dial(t, p)
	p.Corrupt(ToClient, 2)
	say(t, c, "abcd")
	want := []byte{^byte('a'), ^byte('b'), 'c', 'd'}
	if got := hear(t, c, 4); !bytes.Equal([]byte(got), want) {
		t.Errorf("got % x, want % x", got, want)
	}
}

func TestATargetThatIsNotThereIsAResetNotAHang(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c, err := net.Dial("tcp", listen(t, l.Addr().String()).Addr())
	if err == nil { // or the reset came while it was dialled
		defer c.Close()
		c.SetDeadline(time.Now().Add(hang))
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestCloseLeavesNothingRunning(t *testing.T) {
	target := echo(t)
	before := runtime.NumGoroutine()
	for range 5 {
		p, err := Listen("127.0.0.1:0", target)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			c := dial(t, p)
			say(t, c, "a")
			hear(t, c, 1)
			say(t, c, "on its way")
		}
		p.Freeze()
		p.Close()
		if err := p.Mend(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("mend after close: got %v", err)
		}
	}
	deadline := time.Now().Add(hang)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		runtime.Gosched() // the echo target notices its connections' end
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}
