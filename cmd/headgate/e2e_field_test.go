package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"testing"

	"headgate/adapters/modbus/modbussim"
	"headgate/adapters/port"
	"headgate/broker/brokertest"
)

// plant is the field that testdata/e2e/plant.toml is about, with a broker as its
// cloud: an inverter on Modbus TCP, a meter on Modbus RTU and a scale that talks
// by itself.
type plant struct {
	t               testing.TB
	inverter, meter *modbussim.Unit
	inverterAddress string
	meterPath       string
	scalePath       string
	cloud           *brokertest.Server
}

func newPlant(t testing.TB) *plant {
	t.Helper()
	p := &plant{t: t, cloud: brokertest.Start(t)}
	roof, rs485 := modbussim.New(), modbussim.New()
	var running sync.WaitGroup
	t.Cleanup(func() {
		if err := roof.Close(); err != nil {
			t.Errorf("close the inverter: %v", err)
		}
		if err := rs485.Close(); err != nil {
			t.Errorf("close the meter: %v", err)
		}
		running.Wait()
	})

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.inverterAddress = ln.Addr().String()
	running.Go(func() {
		if err := roof.ServeTCP(context.Background(), ln); err != nil {
			t.Errorf("inverter: %v", err)
		}
	})
	p.inverter = roof.Unit(3)
	setInverter(p.inverter)

	meterPath, meterLine, err := port.Pair(port.Mode{})
	if err != nil {
		t.Fatal(err)
	}
	p.meterPath = meterPath
	running.Go(func() {
		if err := rs485.ServeRTU(context.Background(), meterLine); err != nil {
			t.Errorf("meter: %v", err)
		}
	})
	p.meter = rs485.Unit(7)
	setMeter(p.meter)

	scalePath, scale, err := port.Pair(port.DefaultMode())
	if err != nil {
		t.Fatal(err)
	}
	p.scalePath = scalePath
	talk(t, scale)
	return p
}

// setInverter and setMeter put in what is measured.
func setInverter(u *modbussim.Unit) {
	u.SetHolding(100, 0xffff, 0xfc18)    // i32: -1000
	u.SetHolding(110, 415)               // i16 * 0.1
	u.SetInput(16, 0, 1, 0x86a0, 0x0001) // u64: 100000 * 65536 + 1
	u.SetDiscrete(4, true)
	u.SetHolding(200, 100)
	u.SetHolding(210, 0)
	u.SetCoils(0, false)
}

func setMeter(u *modbussim.Unit) {
	u.SetInput(0, float32Words(231.5)...)
	u.SetInput(72, 0xd687, 0x0012) // low word first: 0x12d687 = 1234567, * 0.01
	bits := math.Float64bits(0.125)
	u.SetHolding(10, uint16(bits>>48), uint16(bits>>32), uint16(bits>>16), uint16(bits))
}

// talk is the scale: it says its weight again and again until the test ends.
func talk(t testing.TB, line io.WriteCloser) {
	var talking sync.WaitGroup
	talking.Go(func() {
		for {
			if _, err := fmt.Fprintf(line, "%9.3f stable\r\n", 12.375); err != nil {
				return // closed
			}
		}
	})
	t.Cleanup(func() {
		line.Close()
		talking.Wait()
	})
}

// config is plant.toml for this plant; cloud is where its bridge goes, host:port.
func (p *plant) config(cloud string) string {
	p.t.Helper()
	return fill(p.t, "plant.toml", "{DATA}", p.t.TempDir(), "{INVERTER}", p.inverterAddress,
		"{METER}", p.meterPath, "{SCALE}", p.scalePath, "{CLOUD}", cloud)
}

// inCloud gives a client of the cloud that gets everything.
func (p *plant) inCloud(id string) *client {
	p.t.Helper()
	c := dial(p.t, p.cloud.Addr, id)
	c.subscribe("#", 2)
	return c
}
