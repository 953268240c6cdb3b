// Package port opens serial ports. It owns how a port is named in a config
// (ParseURL), how it is opened, locked and set up (Open), and a pair of
// pseudo-terminals that stands in for a port in tests and in the demo (Pair).
// It knows nothing of what is said on a line, and opens nothing again by
// itself: the adapters do.
package port

import (
	"fmt"
	"math"
	"time"
)

// Parity of a character on the line.
type Parity byte

const (
	None Parity = 'N'
	Even Parity = 'E'
	Odd  Parity = 'O'

	Mark  Parity = 'M' // the parity bit is always 1
	Space Parity = 'S' // and always 0
)

// Mode is the speed and the shape of a character on the line.
type Mode struct {
	Baud     int
	DataBits int // 5 to 8
	Parity   Parity
	StopBits float64 // 1, 1.5 (with 5 data bits) or 2
	RS485    RS485

	// DTROff and RTSOff leave that line low when the port is opened: a DTR that
	// rises resets many a microcontroller. Both are high otherwise.
	DTROff, RTSOff bool
}

// DefaultMode is what a URL without a query means: 9600 baud, 8N1.
func DefaultMode() Mode { return Mode{Baud: 9600, DataBits: 8, Parity: None, StopBits: 1} }

// String gives "9600 8N1".
func (m Mode) String() string {
	return fmt.Sprintf("%d %d%c%v", m.Baud, m.DataBits, m.Parity, m.StopBits)
}

// CharBits is how many bits a character takes on the line, with its start bit.
func (m Mode) CharBits() int {
	bits := 1 + m.DataBits + int(math.Ceil(m.StopBits))
	if m.Parity != None {
		bits++
	}
	return bits
}

// WireTime is how long n characters take on the line.
func (m Mode) WireTime(n int) time.Duration {
	if m.Baud <= 0 {
		return 0
	}
	return time.Duration(n) * time.Duration(m.CharBits()) * time.Second / time.Duration(m.Baud)
}
