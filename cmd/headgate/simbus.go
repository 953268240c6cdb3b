package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"headgate/adapters/modbus/modbussim"
	"headgate/adapters/port"
)

// simDevices are the units of the simulated bus, each as its profile has it.
func simDevices() []simDevice {
	return []simDevice{
		{1, "meter", "eastron-sdm120"},
		{2, "oven", "simex-trs-02a"},
		{3, "relays", "waveshare-relay-8"},
	}
}

type simDevice struct {
	unit          uint8
	name, profile string
}

// simFault is a way of the bus to go wrong.
type simFault struct {
	key  byte
	name string
	what string
	unit *modbussim.Fault // what a unit does then; nil for a fault of the line
}

// simLate is longer than a gateway waits that is not told otherwise.
const simLate = 1500 * time.Millisecond

func simFaults() []simFault {
	return []simFault{
		{'s', "silence", "no answer", &modbussim.Fault{Silent: true}},
		{'l', "late", "answers after 1.5 s", &modbussim.Fault{Delay: simLate}},
		{'f', "flips", "two bits are wrong in a third of the answers", &modbussim.Fault{FlipBits: 2, Chance: 0.33}},
		{'e', "echo", "all that is sent comes back first, as for local_echo", nil},
		{'b', "babble", "somebody talks without being asked", nil},
		{'u', "unplug", "the adapter is pulled out", nil},
	}
}

// simBus is a serial line with simulated devices on it, each byte at its time. A
// link at path leads to its port while it is plugged in. Its methods are for one
// goroutine.
type simBus struct {
	path       string
	mode       port.Mode
	turnaround time.Duration
	address    string // over TCP too; "" if not

	sim    *modbussim.Server
	on     map[string]func() // by what was switched on: what ends it
	cancel context.CancelFunc
	wg     sync.WaitGroup
	plug   chan struct{} // closed when the port that is plugged in has ended

	mu     sync.Mutex      // guards what follows
	wire   *modbussim.Wire // nil while it is unplugged
	babble bool
	failed error // of a line or a listener
}

// openSimBus plugs the bus in, and serves its devices at the TCP address too,
// unless that is "". close ends it.
func openSimBus(path string, mode port.Mode, turnaround time.Duration, address string) (*simBus, error) {
	b := &simBus{path: path, mode: mode, turnaround: turnaround, sim: modbussim.New(), on: map[string]func(){}}
	meter, oven, relays := b.sim.Unit(1), b.sim.Unit(2), b.sim.Unit(3)
	meter.SetInput(0, make([]uint16, 0x15a)...)
	oven.SetHolding(0, make([]uint16, 5)...)
	relays.SetCoils(0, make([]bool, 8)...)
	b.measure(0)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of the bus: %w", err)
	}
	if err := b.plugIn(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	if address != "" {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("serve the devices over TCP: %w", err), b.close())
		}
		b.address = ln.Addr().String()
		b.wg.Go(func() { b.fail(b.sim.ServeTCP(ctx, ln)) })
	}
	b.wg.Go(func() { b.live(ctx) })
	return b, nil
}

// plugIn makes a port and has the link lead to it.
func (b *simBus) plugIn() error {
	if to, err := os.Readlink(b.path); err == nil || !errors.Is(err, os.ErrNotExist) {
		if _, alive := os.Stat(b.path); alive == nil || to == "" {
			return fmt.Errorf("%s is there already: another simulator has it, or it is none of one: name another with --port, or remove it", b.path)
		}
		if err := os.Remove(b.path); err != nil { // of one that was killed
			return err
		}
	}
	name, far, err := port.Pair(port.Mode{}) // the time of the line is the wire's
	if err != nil {
		return err
	}
	if err := os.Symlink(name, b.path); err != nil {
		return errors.Join(err, far.Close())
	}
	w := &modbussim.Wire{Far: far, Mode: b.mode, Turnaround: b.turnaround}
	w.Echo.Store(b.on["echo"] != nil)
	b.mu.Lock()
	b.wire = w
	b.mu.Unlock()
	ended := make(chan struct{})
	b.plug = ended
	b.wg.Go(func() {
		defer close(ended)
		b.fail(b.sim.ServeRTU(context.Background(), w))
	})
	return nil
}

// pullOut ends the port, as if its adapter were pulled.
func (b *simBus) pullOut() error {
	w := b.plugged()
	if w == nil {
		return nil
	}
	b.mu.Lock()
	b.wire = nil
	b.mu.Unlock()
	err := errors.Join(os.Remove(b.path), w.Close())
	<-b.plug
	return err
}

// plugged gives the wire; nil while it is unplugged.
func (b *simBus) plugged() *modbussim.Wire {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wire
}

func (b *simBus) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed == nil && !errors.Is(err, modbussim.ErrClosed) {
		b.failed = err
	}
}

// live has the devices measure, and the line babble if it is to.
func (b *simBus) live(ctx context.Context) {
	start := time.Now()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	noise := bytes.Repeat([]byte{0x01, 0x03, 0x55, 0xff}, 4)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.measure(time.Since(start))
		}
		b.mu.Lock()
		w, babble := b.wire, b.babble
		b.mu.Unlock()
		if w != nil && babble {
			w.Say(noise) // a port that is pulled out meanwhile takes none
		}
	}
}

// measure sets the registers as they are t after the start.
func (b *simBus) measure(t time.Duration) {
	meter, oven := b.sim.Unit(1), b.sim.Unit(2)
	voltage, current := 230+4*wave(t, 23*time.Second), 7.5+3*wave(t, 31*time.Second)
	for address, value := range map[uint16]float64{
		0x00: voltage, 0x06: current, 0x0c: 0.98 * voltage * current, 0x12: voltage * current, 0x1e: 0.98,
		0x46: 50 + 0.02*wave(t, 17*time.Second), 0x48: 4213 + t.Hours(), 0x156: 4213 + t.Hours(),
	} {
		bits := math.Float32bits(float32(math.Round(value*100) / 100))
		meter.SetInput(address, words(bits)...)
	}
	oven.SetHolding(1, uint16(int16(1850+120*wave(t, 53*time.Second))))
}

// toggle switches a fault on or off, of one unit or, with unit 0, of each.
func (b *simBus) toggle(name string, unit uint8) error {
	all := simFaults()
	at := slices.IndexFunc(all, func(f simFault) bool { return f.name == name })
	if at < 0 {
		var names []string
		for _, f := range all {
			names = append(names, f.name)
		}
		return fmt.Errorf("there is no fault %q: want one of %s", name, strings.Join(names, ", "))
	}
	f := all[at]
	if f.unit != nil && unit != 0 {
		name = fmt.Sprintf("%s:%d", name, unit)
	}
	if end := b.on[name]; end != nil {
		delete(b.on, name)
		end()
		return b.follow()
	}
	b.on[name] = func() {}
	if f.unit != nil {
		var ends []func()
		for _, d := range simDevices() {
			if unit == 0 || unit == d.unit {
				ends = append(ends, b.sim.Unit(d.unit).Inject(*f.unit))
			}
		}
		if ends == nil {
			delete(b.on, name)
			return fmt.Errorf("there is no unit %d: want 1 to %d", unit, len(simDevices()))
		}
		b.on[name] = func() {
			for _, end := range ends {
				end()
			}
		}
	}
	return b.follow()
}

// follow has the line be as it is switched.
func (b *simBus) follow() error {
	b.mu.Lock()
	b.babble = b.on["babble"] != nil
	w := b.wire
	b.mu.Unlock()
	if w != nil {
		w.Echo.Store(b.on["echo"] != nil)
	}
	switch pulled := b.on["unplug"] != nil; {
	case pulled && w != nil:
		return b.pullOut()
	case !pulled && w == nil:
		return b.plugIn()
	}
	return nil
}

// faults names those that are on.
func (b *simBus) faults() string {
	var names []string
	for name := range b.on {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// config is what a configuration has to say to poll the bus.
func (b *simBus) config() string {
	var s strings.Builder
	fmt.Fprintf(&s, "[[modbus]]\nname = \"bus\"\nurl = %q\n", b.url())
	if b.address != "" {
		fmt.Fprintf(&s, "# the same over TCP: url = %q\n", "tcp://"+b.address)
	}
	s.WriteString("device = [\n")
	for _, d := range simDevices() {
		fmt.Fprintf(&s, "  { name = %q, unit = %d, profile = %q },\n", d.name, d.unit, d.profile)
	}
	s.WriteString("]\n")
	return s.String()
}

// url is the bus as a configuration names it.
func (b *simBus) url() string {
	return fmt.Sprintf("rtu://%s?baud=%d&parity=%c", b.path, b.mode.Baud, b.mode.Parity)
}

// close ends it.
func (b *simBus) close() error {
	if b.cancel != nil {
		b.cancel()
	}
	err := errors.Join(b.pullOut(), b.sim.Close())
	b.wg.Wait()
	return errors.Join(err, b.failed)
}
