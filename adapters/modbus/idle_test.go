package modbus

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"headgate/adapters/modbus/modbussim"
	"headgate/gateway/point"
)

// counting is a listener that counts the connections that stand and those that were
// accepted.
type counting struct {
	net.Listener
	open, accepted atomic.Int32
}

// Accept counts the connection until it is closed.
func (c *counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.open.Add(1)
	c.accepted.Add(1)
	return &counted{Conn: conn, closed: func() { c.open.Add(-1) }}, nil
}

type counted struct {
	net.Conn
	once   atomic.Bool
	closed func()
}

// Close counts once.
func (c *counted) Close() error {
	if c.once.CompareAndSwap(false, true) {
		c.closed()
	}
	return c.Conn.Close()
}

// none waits until no connection stands.
func (c *counting) none(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(guard); c.open.Load() > 0; <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the connection stays open")
		}
	}
}

// TestALinkThatIsIdleIsClosedUntilTheNextRequest: others can have the connection, and
// nobody is told anything.
func TestALinkThatIsIdleIsClosedUntilTheNextRequest(t *testing.T) {
	s := modbussim.New()
	ln := &counting{Listener: listen(t, "127.0.0.1:0")}
	serveTCP(t, s, ln)
	s.Unit(1).SetHolding(0, 1, 2)
	x := runConfig(t, Config{
		Name: "logger", URL: "tcp://" + ln.Addr().String(), Timeout: 5 * time.Second, IdleClose: 20 * time.Millisecond,
		Device: []Device{every(200*time.Millisecond, deviceOf("m", 1, holding("x", 0, rw), holding("y", 1)))},
	})
	from := x.value(0, "m", "x", "1")
	for range 3 {
		ln.none(t)
		from = x.value(from, "m", "x", "1")
	}
	// A command does not wait for the next poll, nor a tool's request.
	ln.none(t)
	if v, err := x.Write(context.Background(), point.Command{Device: "m", Point: "x", Value: point.OfUint(7)}); err != nil || v.String() != "7" {
		t.Errorf("the command gave %v, %v", v, err)
	}
	x.value(x.now(), "m", "x", "7")
	x.stop()
	ln.none(t)
	if n := ln.accepted.Load(); n < 4 {
		t.Errorf("there were %d connections, want one for each poll", n)
	}
	statuses := 0
	for _, u := range x.updates {
		if u.Status != nil {
			statuses++
		}
		for _, p := range u.Samples {
			if p.Quality != point.Good {
				t.Errorf("%s is bad: %s", p.Point, p.Reason)
			}
		}
	}
	if st := x.Stats(); statuses != 1 || st.Devices[0].Failed > 0 || !st.Devices[0].Online {
		t.Errorf("the device was said to be online or offline %d times: %+v", statuses, st.Devices[0])
	}
}

// TestALinkThatIsClosedForIdlenessIsSaidToBeOpen until it cannot be opened.
func TestALinkThatIsClosedForIdlenessIsSaidToBeOpen(t *testing.T) {
	s := modbussim.New()
	ln := &counting{Listener: listen(t, "127.0.0.1:0")}
	serveTCP(t, s, ln)
	s.Unit(1).SetHolding(0, 1)
	x := runConfig(t, Config{
		Name: "logger", URL: "tcp://" + ln.Addr().String(), Timeout: 5 * time.Second, IdleClose: 10 * time.Millisecond,
		Device: []Device{every(time.Hour, deviceOf("m", 1, holding("x", 0, rw)))},
	})
	from := x.value(0, "m", "x", "1")
	ln.none(t)
	if st := x.Stats(); !st.Open || st.Reason != "" {
		t.Errorf("while it is idle the link is %+v", st)
	}
	s.Close()
	_, err := x.Write(context.Background(), point.Command{Device: "m", Point: "x", Value: point.OfUint(7)})
	if err == nil || !strings.Contains(err.Error(), "connect to ") {
		t.Errorf("a command to what is not there gave %v", err)
	}
	x.status(from, "m", false, "logger is down: connect to ")
}

// TestALinkThatIsAskedOftenIsNotClosed: it is idle only after so long without a request.
func TestALinkThatIsAskedOftenIsNotClosed(t *testing.T) {
	s := modbussim.New()
	ln := &counting{Listener: listen(t, "127.0.0.1:0")}
	serveTCP(t, s, ln)
	s.Unit(1).SetHolding(0, 1)
	x := runConfig(t, Config{
		Name: "logger", URL: "tcp://" + ln.Addr().String(), Timeout: 5 * time.Second, IdleClose: time.Hour,
		Device: []Device{deviceOf("m", 1, holding("x", 0))},
	})
	for from, n := 0, 0; n < 10; n++ {
		from = x.value(from, "m", "x", "1")
	}
	if n := ln.accepted.Load(); n != 1 {
		t.Errorf("there were %d connections", n)
	}
}

// TestAUnitThatIsSilentBehindALinkThatIsClosedMeanwhileDoesNotMakeItFail: that it was
// opened without an answer says nothing of the link.
func TestAUnitThatIsSilentBehindALinkThatIsClosedMeanwhileDoesNotMakeItFail(t *testing.T) {
	simulate(t, line9600, turnaround, 100*time.Millisecond, func(b *bus) {
		b.idleClose = 50 * time.Millisecond // as over TCP
		b.Unit(1).SetHolding(0, 1)
		b.Unit(1).Inject(modbussim.Fault{Silent: true})
		dial, dials := b.transport.dial, 0
		b.transport.dial = func(ctx context.Context) (stream, error) {
			dials++
			return dial(ctx)
		}
		b.samples = func(_ string, s point.Sample) {
			if strings.Contains(s.Reason, "is down") {
				t.Errorf("the link is said to have failed: %s", s.Reason)
			}
		}
		if said := b.statuses(10 * time.Minute)["m"]; len(said) != 1 || said[0] >= 0 {
			t.Errorf("it is said to be offline or online at %v s, want once", said)
		}
		if dials < 20 || dials > 40 {
			t.Errorf("the link was opened %d times, want once for each time that the unit is asked", dials)
		}
	}, every(time.Second, deviceOf("m", 1, holding("x", 0))))
}

// TestTheGreatestConnectDelayOfItsDevicesIsTheLinks, if that of the link is not greater.
func TestTheGreatestConnectDelayOfItsDevicesIsTheLinks(t *testing.T) {
	for _, c := range []struct{ link, a, b, want time.Duration }{
		{0, 300 * time.Millisecond, 0, 300 * time.Millisecond},
		{0, 300 * time.Millisecond, 2 * time.Second, 2 * time.Second},
		{3 * time.Second, 2 * time.Second, 0, 3 * time.Second},
	} {
		a, b := deviceOf("a", 1, holding("x", 0)), deviceOf("b", 2, holding("x", 0))
		a.ConnectDelay, b.ConnectDelay = c.a, c.b
		cfg := Config{Name: "rs485", URL: line9600, Timeout: time.Second, ConnectDelay: c.link, Device: []Device{a, b}}
		simulateConfig(t, cfg, turnaround, func(bus *bus) {
			bus.Unit(1).SetHolding(0, 1)
			bus.Unit(2).SetHolding(0, 1)
			began, first := time.Now(), time.Duration(0)
			bus.samples = func(_ string, s point.Sample) {
				if first == 0 {
					first = s.Time.Sub(began)
				}
			}
			bus.runs(10 * time.Second)
			if first < c.want || first > c.want+100*time.Millisecond {
				t.Errorf("link %v, devices %v and %v: the first value came after %v", c.link, c.a, c.b, first)
			}
		})
	}
}

// TestWhoOwnsALinkLooksForSomethingToDoHoweverSeldomItIsAsked: else nobody could tell
// him from one that is stuck.
func TestWhoOwnsALinkLooksForSomethingToDoHoweverSeldomItIsAsked(t *testing.T) {
	t.Parallel()
	s := modbussim.New()
	ln := listen(t, "127.0.0.1:0")
	serveTCP(t, s, ln)
	s.Unit(1).SetHolding(0, 1)
	x := runConfig(t, Config{Name: "meter", URL: "tcp://" + ln.Addr().String(), Device: []Device{every(time.Hour, deviceOf("m", 1, holding("x", 0)))}})
	x.value(0, "m", "x", "1")
	turns, requests := x.Turns(), x.Stats().Requests
	for end := time.Now().Add(guard); x.Turns() < turns+2; <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("he does not look")
		}
	}
	if n := x.Stats().Requests; n != requests {
		t.Errorf("there were %d requests meanwhile", n-requests)
	}
}
