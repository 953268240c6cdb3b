package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"sync"
	"time"

	"headgate/adapters/modbus/modbussim"
	"headgate/adapters/port"
)

// field is the simulated field of the demo: a Modbus RTU meter and a talking
// scale, each on a pseudo-terminal with the speed of its line, and a Modbus TCP
// inverter.
type field struct {
	meterPath       string
	inverterAddress string
	scalePath       string

	meters, inverters *modbussim.Server
	scale             io.ReadWriteCloser
	cancel            context.CancelFunc
	wg                sync.WaitGroup
}

const (
	meterBaud = 19200
	scaleBaud = 9600
)

func newField(log *slog.Logger) (f *field, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	f = &field{meters: modbussim.New(), inverters: modbussim.New(), cancel: cancel}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	mode := port.DefaultMode()
	mode.Baud = meterBaud
	var meterLine io.ReadWriteCloser
	if f.meterPath, meterLine, err = port.Pair(mode); err != nil {
		return f, err
	}
	f.serve(log, "meter", func() error { return f.meters.ServeRTU(ctx, meterLine) })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return f, fmt.Errorf("listen for the inverter: %w", err)
	}
	f.inverterAddress = ln.Addr().String()
	f.serve(log, "inverter", func() error { return f.inverters.ServeTCP(ctx, ln) })
	mode.Baud = scaleBaud
	if f.scalePath, f.scale, err = port.Pair(mode); err != nil {
		return f, err
	}
	f.inverters.Unit(1).SetHolding(200, 100)
	f.measure(0)
	f.wg.Go(func() { f.live(ctx) })
	return f, nil
}

func (f *field) serve(log *slog.Logger, device string, run func() error) {
	f.wg.Go(func() {
		if err := run(); err != nil {
			log.Error("simulated device ended", "device", device, "err", err)
		}
	})
}

// live changes what the devices measure, and lets the scale talk.
func (f *field) live(ctx context.Context) {
	start := time.Now()
	measure, talk := time.NewTicker(200*time.Millisecond), time.NewTicker(time.Second)
	defer measure.Stop()
	defer talk.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-measure.C:
			f.measure(time.Since(start))
		case <-talk.C:
			// Nobody hears it while its port is closed: then the line is lost,
			// as on a real wire.
			fmt.Fprintf(f.scale, "%9.3f kg\r\n", 12.5+3*wave(time.Since(start), 17*time.Second))
		}
	}
}

func wave(t, period time.Duration) float64 {
	return math.Sin(2 * math.Pi * t.Seconds() / period.Seconds())
}

// measure sets the registers as they are t after the start.
func (f *field) measure(t time.Duration) {
	meter, inverter := f.meters.Unit(1), f.inverters.Unit(1)
	voltage := 230 + 4*wave(t, 23*time.Second)
	power := 1800 + 700*wave(t, 31*time.Second)
	meter.SetInput(0, float32Words(voltage)...)
	meter.SetInput(12, float32Words(power)...)
	meter.SetInput(72, words(uint32(421_337+t.Seconds()*2))...)
	limit, _ := inverter.Get(modbussim.HoldingRegisters, 200)
	ac := (4200 + 900*wave(t, 41*time.Second)) * float64(min(limit, 100)) / 100
	inverter.SetHolding(100, words(uint32(int32(ac)))...)
	inverter.SetHolding(110, uint16(int16(415+30*wave(t, 53*time.Second))))
}

// float32Words and words give a value's registers, high word first.
func float32Words(v float64) []uint16 { return words(math.Float32bits(float32(math.Round(v*10) / 10))) }

func words(v uint32) []uint16 { return []uint16{uint16(v >> 16), uint16(v)} }

// close ends the devices.
func (f *field) close() error {
	f.cancel()
	err := errors.Join(f.meters.Close(), f.inverters.Close())
	if f.scale != nil {
		err = errors.Join(err, f.scale.Close())
	}
	f.wg.Wait()
	return err
}
