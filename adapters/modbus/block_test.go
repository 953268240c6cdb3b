package modbus

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"headgate/adapters/modbus/modbussim"
)

func TestABlockIsReadAsItStandsAndTheRestAsEver(t *testing.T) {
	for _, c := range []struct {
		blocks []span
		points []string
		want   []string
	}{
		{[]span{{holdingRegisters, 0, 60}}, []string{"holding:30 u16"}, []string{"holding registers 0-59 of 1"}},
		// Not joined with what is beside it, though the hole would pay.
		{[]span{{holdingRegisters, 0, 20}}, []string{"holding:0 u16", "holding:19 u16", "holding:20 u16", "holding:22 u16"},
			[]string{"holding registers 0-19 of 2", "holding registers 20-22 of 2"}},
		{[]span{{holdingRegisters, 0, 10}, {holdingRegisters, 10, 20}, {holdingRegisters, 40, 50}}, []string{"holding:9 u16", "holding:10 u16"},
			[]string{"holding registers 0-9 of 1", "holding registers 10-19 of 1"}},
		{[]span{{holdingRegisters, 0, 10}, {holdingRegisters, 8, 20}}, []string{"holding:7 u16", "holding:8 u16", "holding:9 u32"},
			[]string{"holding registers 0-9 of 2", "holding registers 8-19 of 1"}},
		{[]span{{coils, 0, 16}}, []string{"coil:3 bool", "discrete:3 bool"}, []string{"coils 0-15 of 1", "discrete input 3 of 1"}},
	} {
		l := noLimits()
		l.blocks = c.blocks
		d := deviceWith(t, l, c.points...)
		if got := described(t, l, d.fields, d.plan(d.fields, payingHole(50))); !slices.Equal(got, c.want) {
			t.Errorf("%v: got %q, want %q", c.points, got, c.want)
		}
	}
}

// TestADeviceThatAnswersOnlyItsBlocksIsReadInThem: with the plan that costs least it
// has no value at all.
func TestADeviceThatAnswersOnlyItsBlocksIsReadInThem(t *testing.T) {
	points := []Point{holding("a", 2), holding("b", 7), holding("c", 33)}
	for _, blocks := range [][]string{nil, {"holding:0-9", "holding:30-39"}} {
		d := every(time.Second, deviceOf("m", 1, points...))
		d.ReadBlocks = blocks
		simulate(t, line9600, turnaround, time.Second, func(b *bus) {
			b.Unit(1).SetHolding(0, make([]uint16, 10)...)
			b.Unit(1).SetHolding(30, make([]uint16, 10)...)
			b.Unit(1).OnlyReads(modbussim.HoldingRegisters, 0, 10)
			b.Unit(1).OnlyReads(modbussim.HoldingRegisters, 30, 10)
			good := b.counted(time.Minute)
			for _, p := range points {
				if n := good["m/"+p.Name]; blocks == nil && n > 0 || blocks != nil && n < 60 {
					t.Errorf("with blocks %q %s had %d good samples in 60 s", blocks, p.Name, n)
				}
			}
			if n := b.Unit(1).Counts().Requests; blocks != nil && n > 122 {
				t.Errorf("%d requests were made in 60 s, want two a second", n)
			}
		}, d)
	}
}

// TestABlockThatIsRefusedIsCutUpAndTriedAgainAnHourLater.
func TestABlockThatIsRefusedIsCutUpAndTriedAgainAnHourLater(t *testing.T) {
	var points []Point
	for i := range 10 {
		points = append(points, holding(fmt.Sprint("p", i), i))
	}
	d := every(time.Second, deviceOf("m", 1, points...))
	d.ReadBlocks = []string{"holding:0-19"}
	simulate(t, line9600, turnaround, time.Second, func(b *bus) {
		for i := range 10 {
			if i != 4 {
				b.Unit(1).SetHolding(uint16(i), uint16(i))
			}
		}
		good := b.counted(50 * time.Minute)
		for i := range 10 {
			if n := good[fmt.Sprint("m/p", i)]; i == 4 && n > 0 || i != 4 && n < 2995 {
				t.Errorf("p%d had %d good samples in 3000 s", i, n)
			}
		}
		before := b.Unit(1).Counts().Requests
		if before > 2*3000+60 {
			t.Errorf("%d requests were made in 3000 s, want two a second and a few to find out", before)
		}
		// All of the block is there now: after an hour it is one request again.
		b.Unit(1).SetHolding(4, make([]uint16, 16)...)
		b.counted(2 * time.Hour)
		if n := b.Unit(1).Counts().Requests - before; n > 2*3600+3600+60 {
			t.Errorf("%d requests were made in two hours, want one a second after the first", n)
		}
	}, d)
}
