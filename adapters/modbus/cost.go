package modbus

import "time"

// What stands on the wire around the data of a read, in characters: request and
// answer together. [MB-RTU 2.5.1, 2.5.2]
const (
	rtuAround   = 13 // 8, and 5 of the answer
	asciiAround = 28 // 17, and 11 of the answer
)

const (
	// guessedRoundTrip is taken for that of a network until one is measured.
	guessedRoundTrip = time.Millisecond

	// networkRegister is what two bytes more take on a network of 100 Mbit/s.
	networkRegister = 160 * time.Nanosecond
)

// cost is what reads take on a link, as far as it depends on how they are cut.
type cost struct {
	request  time.Duration // each, whatever it reads
	register time.Duration // each register read, wanted or not
}

// cost is that of reads from a unit with this turnaround: how long it takes
// beyond what stands on the wire, the silence before its answer included; 0: not
// known yet. delay is the least silence before a request to it.
func (t *transport) cost(turnaround, delay time.Duration) cost {
	gap := max(t.gap, delay)
	if t.link.framing == mbap {
		if turnaround == 0 {
			turnaround = guessedRoundTrip
		}
		return cost{request: turnaround + gap, register: networkRegister}
	}
	if turnaround == 0 {
		turnaround = t.link.frameGap()
	}
	around, each := rtuAround, 2
	if t.link.framing == ascii {
		around, each = asciiAround, 4
	}
	return cost{request: t.link.mode.WireTime(around) + gap + turnaround, register: t.link.mode.WireTime(each)}
}

// of is what a read of count takes.
func (c cost) of(t table, count int) time.Duration {
	if t.isBits() {
		count = (count + 15) / 16
	}
	return c.request + time.Duration(count)*c.register
}

// hole is the most that is worth reading for nothing to save a request: the
// break-even, in registers.
func (c cost) hole() int { return int(c.request / c.register) }
