package modbus

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"headgate/adapters/modbus/modbussim"
	"headgate/adapters/port"
	"headgate/gateway/point"
)

// turnaround is that of the simulated units, which the adapter is not told.
const turnaround = 5 * time.Millisecond

// paced has an adapter poll a simulator over a line with its time, until enough
// says so of an update. The line is a pseudo-terminal, or a pair of sockets, which
// does without the worker of the kernel that carries the bytes of a terminal: on
// a machine that has other things to do that alone costs milliseconds a poll.
func paced(b *testing.B, kind string, mode port.Mode, s *modbussim.Server, devices []Device, enough func(point.Update) bool) {
	b.Helper()
	path, far, err := port.Pair(port.Mode{})
	if err != nil {
		b.Fatal(err)
	}
	a := adapterOf(b, Config{Name: "line", URL: fmt.Sprintf("rtu://%s?baud=%d", path, mode.Baud), Timeout: time.Second, Device: devices})
	if kind == "sockets" {
		far.Close()
		var near net.Conn
		near, far = sockets(b)
		a.transport.dial = func(context.Context) (stream, error) { return connection{near, "the line"}, nil }
	}
	untilEnough(b, a, s, func() error {
		return s.ServeRTU(context.Background(), &modbussim.Wire{Far: far, Mode: mode, Turnaround: turnaround})
	}, enough)
}

// sockets gives the two ends of a pair.
func sockets(b *testing.B) (near net.Conn, far io.ReadWriteCloser) {
	b.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "a socket")
		if ends[i], err = net.FileConn(f); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
	return ends[0], ends[1]
}

func adapterOf(b *testing.B, cfg Config) *Adapter {
	b.Helper()
	cfg.SetDefaults()
	cfg.Check(func(key, format string, args ...any) { b.Fatalf("%s: %s", key, fmt.Sprintf(format, args...)) })
	a, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	return a
}

func untilEnough(b *testing.B, a *Adapter, s *modbussim.Server, serve func() error, enough func(point.Update) bool) {
	b.Helper()
	served := make(chan error, 1)
	go func() { served <- serve() }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a.Run(ctx, func(u point.Update) {
		if enough(u) {
			cancel()
		}
	})
	s.Close()
	if err := <-served; err != nil {
		b.Error(err)
	}
}

// registersAt is a device of n registers next to each other.
func registersAt(unit uint8, n int, interval time.Duration) Device {
	d := every(interval, deviceOf(fmt.Sprint("m", unit), unit))
	for i := range n {
		d.Point = append(d.Point, holding(fmt.Sprint("p", i), i))
	}
	return d
}

// limit is the least time that a poll of n registers takes on the line: request,
// t3.5, turnaround, answer, t3.5.
func limit(mode port.Mode, n int) time.Duration {
	gap := fastGap
	if mode.Baud <= fastBaud {
		gap = mode.WireTime(7) / 2
	}
	return mode.WireTime(13+2*n) + 2*gap + turnaround
}

// BenchmarkBus gives how much of what a line can carry at most is used, in
// percent, by polls of so many registers.
func BenchmarkBus(b *testing.B) {
	for _, kind := range []string{"pty", "sockets"} {
		for _, baud := range []int{9600, 19200, 115200} {
			for _, n := range []int{1, 10, 125} {
				b.Run(fmt.Sprintf("line=%s/baud=%d/registers=%d", kind, baud, n), func(b *testing.B) { benchmarkBus(b, kind, baud, n) })
			}
		}
	}
}

func benchmarkBus(b *testing.B, kind string, baud, n int) {
	mode := port.DefaultMode()
	mode.Baud = baud
	s := modbussim.New()
	s.Unit(1).SetHolding(0, make([]uint16, n)...)
	s.Unit(2).SetHolding(0, make([]uint16, n)...)
	polls := -1 // the first one begins the count
	var begin, end time.Time
	// Two, for one alone is polled every 10 ms at most.
	paced(b, kind, mode, s, []Device{registersAt(1, n, minInterval), registersAt(2, n, minInterval)}, func(u point.Update) bool {
		if len(u.Samples) == 0 {
			return false
		}
		if polls++; polls == 0 {
			begin = u.Samples[0].Time
		}
		end = u.Samples[0].Time
		return polls == b.N
	})
	b.ReportMetric(100*float64(limit(mode, n))*float64(b.N)/float64(end.Sub(begin)), "%utilisation")
}

// BenchmarkDeadUnit gives how much of their rate seven units keep on a line at 9600
// baud when an eighth is dead, in percent of what they have without it.
func BenchmarkDeadUnit(b *testing.B) {
	with, without := rateOfSeven(b, true), rateOfSeven(b, false)
	b.ReportMetric(100*with/without, "%rate")
}

// rateOfSeven gives the polls a second of seven units that want more than the line has.
func rateOfSeven(b *testing.B, eighth bool) float64 {
	b.Helper()
	s := modbussim.New()
	var devices []Device
	for unit := range uint8(8) {
		if unit < 7 {
			s.Unit(unit+1).SetHolding(0, 1)
		}
		if unit < 7 || eighth {
			devices = append(devices, registersAt(unit+1, 1, 100*time.Millisecond))
		}
	}
	polls, begun := -1, !eighth // once it is known to be dead, the count begins
	var begin, end time.Time
	paced(b, "pty", port.DefaultMode(), s, devices, func(u point.Update) bool {
		if u.Device == "m8" {
			begun = begun || u.Status != nil
			return false
		}
		if !begun || len(u.Samples) == 0 {
			return false
		}
		if polls++; polls == 0 {
			begin = u.Samples[0].Time
		}
		end = u.Samples[0].Time
		return polls == b.N
	})
	return float64(b.N) / end.Sub(begin).Seconds()
}

// BenchmarkCPU gives the part of one core, in percent, that 1,000 points a second
// take: ten units of 100 registers at a second each over TCP. The simulator's own
// part is in it.
func BenchmarkCPU(b *testing.B) {
	s := modbussim.New()
	var devices []Device
	for unit := uint8(1); unit <= 10; unit++ {
		s.Unit(unit).SetHolding(0, make([]uint16, 100)...)
		devices = append(devices, registersAt(unit, 100, time.Second))
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	points := 0
	begin, used := time.Now(), cpu(b)
	a := adapterOf(b, Config{Name: "plant", URL: "tcp://" + ln.Addr().String(), Timeout: time.Second, Device: devices})
	untilEnough(b, a, s, func() error { return s.ServeTCP(context.Background(), ln) },
		func(u point.Update) bool { points += len(u.Samples); return points >= 1000*b.N })
	b.ReportMetric(100*float64(cpu(b)-used)/float64(time.Since(begin)), "%core")
}

// cpu is what the process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkJitter gives by how much a poll of every 100 ms is late on a line that
// is otherwise free, in milliseconds: the 99th percentile.
func BenchmarkJitter(b *testing.B) {
	for _, kind := range []string{"pty", "sockets"} {
		b.Run("line="+kind, func(b *testing.B) { benchmarkJitter(b, kind) })
	}
}

func benchmarkJitter(b *testing.B, kind string) {
	mode := port.DefaultMode()
	mode.Baud = 19200
	s := modbussim.New()
	s.Unit(1).SetHolding(0, 1)
	var at []time.Time
	const interval = 100 * time.Millisecond
	paced(b, kind, mode, s, []Device{registersAt(1, 1, interval)}, func(u point.Update) bool {
		if len(u.Samples) > 0 {
			at = append(at, u.Samples[0].Time)
		}
		return len(at) > b.N
	})
	// Against the schedule that fits best: the earliest of all.
	late := make([]time.Duration, len(at))
	for i := range at {
		late[i] = at[i].Sub(at[0]) - time.Duration(i)*interval
	}
	least := slices.Min(late)
	slices.Sort(late)
	b.ReportMetric(float64(late[(len(late)-1)*99/100]-least)/1e6, "ms-p99")
	b.ReportMetric(float64(late[len(late)/2]-least)/1e6, "ms-p50")
}
