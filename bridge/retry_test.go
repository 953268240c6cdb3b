package bridge

import (
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"headgate/broker/packet"
)

func TestRetryEndsADialWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	// A listener whose queue is full: SYN goes unanswered.
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for full := false; !full; {
		c, err := net.DialTimeout("tcp", address, 100*time.Millisecond)
		if full = err != nil; !full {
			defer c.Close()
		}
	}
	b := start(t, config(address), newMemory(t))
	eventually(t, "the dial is given up", func() bool {
		b.Retry()
		return b.Stats().LastError == errNetworkChanged.Error()
	})
	eventually(t, "the next one is under way", func() bool { return b.Stats().State == Connecting })
	if b.log.lines("upstream unreachable") != 0 {
		t.Error("it is logged as a trouble")
	}
}

func TestRetryDuringADialCountsForTheWaitAfterIt(t *testing.T) {
	t.Parallel()
	b, err := New(config("127.0.0.1:1"), newMemory(t), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := b.untilRetry(t.Context())
	b.Retry()
	eventually(t, "it is taken", func() bool { return len(b.retry) == 0 })
	if ctx.Err() != nil {
		t.Error("a dial that has just begun is ended")
	}
	if stop(); len(b.retry) != 1 {
		t.Error("the wait after the dial does not hear of it")
	}
}

func TestRetryProbesAConnectionThatStands(t *testing.T) {
	t.Parallel()
	u := listenUpstream(t)
	p := proxyTo(t, u.addr)
	b := start(t, config(p.Addr()), newMemory(t), hasty, func(b *Bridge) { b.probe = 2 * time.Second })
	c := u.welcome(nil)
	eventually(t, "connected", func() bool { return b.Stats().State == Connected })
	b.Retry()
	c.expect(packet.PINGREQ)
	c.send(packet.AppendPingresp(nil))
	// The next probe begins when the first one is over: the connection has stood it.
	eventually(t, "probed again", func() bool {
		b.Retry()
		c.net.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		in, err := c.packets.next()
		return err == nil && in.Type == packet.PINGREQ
	})
	if st := b.Stats(); st.State != Connected || st.LastError != "" {
		t.Fatalf("a connection that lives is given up: %+v", st)
	}
	p.Freeze()
	eventually(t, "a dead one is given up", func() bool {
		return b.Stats().LastError == "the upstream does not answer: nothing came within 2s of a change of the network"
	})
}

func TestTheWiringHearsOfEachChange(t *testing.T) {
	t.Parallel()
	u := listenUpstream(t)
	var mu sync.Mutex
	var told []bool
	cfg := config(u.addr)
	cfg.Connected = func(connected bool, _ string) {
		mu.Lock()
		told = append(told, connected)
		mu.Unlock()
	}
	b := start(t, cfg, newMemory(t), hasty)
	c := u.welcome(nil)
	eventually(t, "connected", func() bool { return b.Stats().State == Connected })
	c.net.Close()
	u.welcome(nil)
	eventually(t, "connected again", func() bool { return b.Stats().Reconnects == 1 })
	b.stop()
	if want := []bool{false, true, false, true, false}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}
