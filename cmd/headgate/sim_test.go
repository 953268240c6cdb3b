package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/adapters/modbus"
	"headgate/adapters/port"
	"headgate/cmd/headgate/config"
	"headgate/gateway/point"
)

// simulated opens a fast bus, and gives a tool's way to it.
func simulated(t *testing.T, more ...func(*modbus.Config)) (*simBus, *modbus.Probe) {
	t.Helper()
	mode := port.DefaultMode()
	mode.Baud = 115200
	b, err := openSimBus(filepath.Join(t.TempDir(), "new", "bus"), mode, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	})
	cfg := modbus.Config{Name: "bus", URL: b.url(), Timeout: 250 * time.Millisecond}
	for _, f := range more {
		f(&cfg)
	}
	p, err := modbus.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return b, p
}

func TestASimulatedBusIsPolledByTheConfigurationThatItPrints(t *testing.T) {
	b, p := simulated(t)
	p.Close() // only one may have the port
	file, err := config.Load(writeConfig(t, "[gateway]\nid = \"x\"\n"+b.config()))
	if err != nil {
		t.Fatal(err)
	}
	a, err := modbus.New(file.Modbus[0], slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	points := 0
	for _, d := range file.Modbus[0].Device {
		points += len(d.Point)
	}
	got := firstSamples(t, a, points)
	for name, s := range got {
		if s.Quality != point.Good {
			t.Errorf("%s is bad: %s", name, s.Reason)
		}
	}
	voltage, _ := got["voltage"].Value.Float()
	temperature, _ := got["temperature"].Value.Float()
	if voltage < 226 || voltage > 234 || temperature < 173 || temperature > 197 {
		t.Errorf("got %v V and %v degrees", voltage, temperature)
	}
}

// ask reads the temperature of unit 2, or of another unit the register that is there.
func ask(t *testing.T, p *modbus.Probe, unit uint8) error {
	t.Helper()
	register := map[uint8]string{1: "input:0", 2: "holding:1", 3: "coil:0"}[unit]
	_, err := p.Do(t.Context(), modbus.Request{Unit: unit, Register: register, Count: 1})
	return err
}

// toggled switches a fault and fails the test when that is not possible.
func toggled(t *testing.T, b *simBus, name string, unit uint8) {
	t.Helper()
	if err := b.toggle(name, unit); err != nil {
		t.Fatal(err)
	}
}

func TestAUnitOfTheSimulatedBusIsSilentOrLateAtTheSwitch(t *testing.T) {
	for _, fault := range []string{"silence", "late"} {
		b, p := simulated(t)
		toggled(t, b, fault, 2)
		if err := ask(t, p, 2); !errors.Is(err, point.ErrTimeout) {
			t.Errorf("%s: got %v", fault, err)
		}
		if err := ask(t, p, 1); err != nil {
			t.Errorf("%s of unit 2: unit 1: %v", fault, err)
		}
		toggled(t, b, fault, 2)
		if err := ask(t, p, 2); err != nil {
			t.Errorf("%s, switched off: %v", fault, err)
		}
	}
}

func TestBitsThatFlipOnTheSimulatedBusMakeNoValue(t *testing.T) {
	b, p := simulated(t)
	toggled(t, b, "flips", 0)
	lost := 0
	for range 12 {
		err := ask(t, p, 3)
		if errors.Is(err, point.ErrTimeout) {
			lost++
			// The other unit of the line need not be waited for.
			toggled(t, b, "flips", 0)
			if err := ask(t, p, 1); err != nil {
				t.Error(err)
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if lost == 0 {
		t.Error("no answer was broken")
	}
}

func TestTheSimulatedBusEchoes(t *testing.T) {
	b, p := simulated(t, func(c *modbus.Config) { c.LocalEcho = true })
	if err := ask(t, p, 1); !errors.Is(err, point.ErrTimeout) {
		t.Errorf("without the echo: %v", err)
	}
	toggled(t, b, "echo", 0)
	if err := ask(t, p, 2); err != nil {
		t.Errorf("with it: %v", err)
	}
}

func TestTheSimulatedBusBabbles(t *testing.T) {
	b, p := simulated(t)
	p.Close()
	toggled(t, b, "babble", 0)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	heard := false
	err := modbus.Sniff(ctx, modbus.Config{URL: b.url()}, func(h modbus.Heard) {
		heard = heard || h.Noise != nil
		cancel()
	})
	if err != nil || !heard {
		t.Errorf("nothing was heard: %v", err)
	}
}

func TestTheSimulatedBusIsPulledOutAndPutBack(t *testing.T) {
	b, p := simulated(t)
	toggled(t, b, "unplug", 0)
	if err := ask(t, p, 1); !errors.Is(err, point.ErrOffline) {
		t.Errorf("pulled out: %v", err)
	}
	if _, err := os.Lstat(b.path); err == nil {
		t.Error("the port is still there")
	}
	toggled(t, b, "unplug", 0)
	ask(t, p, 1) // finds that the line is not open, and opens it
	if err := ask(t, p, 1); err != nil {
		t.Errorf("put back: %v", err)
	}
}

func TestAPortThatIsThereIsNotTakenForASimulator(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "precious")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openSimBus(file, port.DefaultMode(), 0, ""); err == nil || !strings.Contains(err.Error(), "name another with --port") {
		t.Errorf("a file: %v", err)
	}
	stale := filepath.Join(dir, "stale")
	if err := os.Symlink(filepath.Join(dir, "gone"), stale); err != nil {
		t.Fatal(err)
	}
	b, err := openSimBus(stale, port.DefaultMode(), 0, "")
	if err != nil {
		t.Fatalf("the link of one that was killed: %v", err)
	}
	if _, err := openSimBus(stale, port.DefaultMode(), 0, ""); err == nil {
		t.Error("two simulators have one link")
	}
	if err := b.close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(stale); err == nil {
		t.Error("the link stays behind")
	}
}

func TestKeysSwitchFaultsOfTheSimulatedBus(t *testing.T) {
	b, _ := simulated(t)
	var out bytes.Buffer
	s := simScreen{bus: b, out: &out, raw: true}
	keys := make(chan byte)
	ended := make(chan error, 1)
	go func() { ended <- s.run(t.Context(), keys) }()
	for _, key := range []byte("2se0sx2sq") {
		keys <- key
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	said := out.String()
	for _, want := range []string{"The keys are for unit 2.", "on: silence:2\r\n", "on: echo, silence:2\r\n", "The keys are for every unit.", "on: echo, silence, silence:2\r\n", "on: echo, silence\r\n"} {
		if !strings.Contains(said, want) {
			t.Errorf("got %q, want %q in it", said, want)
		}
	}
	if state := s.state(); !strings.HasPrefix(state, "meter (1) asked 0 times") || !strings.HasSuffix(state, "wrong: echo, silence") {
		t.Errorf("the state is %q", state)
	}
}

func TestTheCommandOfTheSimulatedBus(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	run := func(args ...string) (int, string) {
		var out bytes.Buffer
		return dispatch(append([]string{"sim", "--for", "50ms", "--port", path}, args...), &out, &out), out.String()
	}
	status, said := run("--fault", "silence:2", "--fault", "echo", "--tcp", "127.0.0.1:0", "--baud", "19200", "--parity", "E")
	for _, want := range []string{fmt.Sprintf("url = \"rtu://%s?baud=19200&parity=E\"", path), `profile = "waveshare-relay-8"`, `url = "tcp://127.0.0.1:`, "headgate modbus scan"} {
		if status != 0 || !strings.Contains(said, want) {
			t.Errorf("got %d, %s\nwant %q in it", status, said, want)
		}
	}
	for args, want := range map[string]string{"silense": "want one of silence, late", "silence:9": "there is no unit 9", "silence:x": "invalid syntax"} {
		if status, said := run("--fault", args); status != exitUsage || !strings.Contains(said, want) {
			t.Errorf("--fault %s: %d, %q", args, status, said)
		}
	}
}
