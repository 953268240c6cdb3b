package serial

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Checksum is the checksum = { ... } of a frame. A message whose checksum is
// wrong is dropped and counted.
type Checksum struct {
	// Kind is how it is computed. Of 8 bits: "xor", "sum" (of all bytes),
	// "sum-neg" (what makes the sum 0: the LRC of Modbus ASCII), "crc8-maxim".
	// Of 16 bits: "sum16", "crc16-modbus", "crc16-arc" (DSMR P1),
	// "crc16-ccitt-false", "crc16-xmodem", "crc16-kermit", "crc16-x25".
	// "nmea" is the xor behind the * of an NMEA sentence. Default: none.
	Kind string `toml:"kind"`

	// From is the first byte of the message that it covers, the start counted:
	// 1 leaves out an STX. Default 0; 1 for "nmea".
	From int `toml:"from"`

	// Tail is how many bytes of the message come after the checksum: 1 where an
	// ETX does. Default 0: it is the last.
	Tail int `toml:"tail"`

	// Skip is how many bytes right before the checksum it does not cover.
	// Default 0; 1 for "nmea", which is the *.
	Skip int `toml:"skip"`

	// Hex is true where it is written in hexadecimal digits, two a byte.
	Hex bool `toml:"hex"`

	// Order is the order of its two bytes: "AB" has the high one first, "BA" the
	// low one. Default "AB", for "crc16-modbus" "BA".
	Order string `toml:"order"`
}

// algorithm computes one kind of checksum.
type algorithm struct {
	name  string
	bytes int
	of    func(b []byte) uint16
}

// crc is a CRC of 16 bits; a reflected one has its polynomial mirrored, too.
type crc struct {
	polynomial, begin, end uint16
	reflected              bool
}

// algorithms gives the checksums by their names in a config; of the CRCs these are
// the names of the catalogue of parametrised CRC algorithms.
func algorithms() []algorithm {
	return []algorithm{
		{"xor", 1, xorOf},
		{"sum", 1, func(b []byte) uint16 { return sumOf(b) & 0xff }},
		{"sum-neg", 1, func(b []byte) uint16 { return -sumOf(b) & 0xff }},
		{"crc8-maxim", 1, crc8Maxim},
		{"sum16", 2, sumOf},
		{"crc16-modbus", 2, crc{0xa001, 0xffff, 0, true}.of},
		{"crc16-arc", 2, crc{0xa001, 0, 0, true}.of},
		{"crc16-ccitt-false", 2, crc{0x1021, 0xffff, 0, false}.of},
		{"crc16-xmodem", 2, crc{0x1021, 0, 0, false}.of},
		{"crc16-kermit", 2, crc{0x8408, 0, 0, true}.of},
		{"crc16-x25", 2, crc{0x8408, 0xffff, 0xffff, true}.of},
		{nmeaChecksum, 1, xorOf},
	}
}

const nmeaChecksum = "nmea"

func xorOf(b []byte) (x uint16) {
	for _, c := range b {
		x ^= uint16(c)
	}
	return x
}

func sumOf(b []byte) (n uint16) {
	for _, c := range b {
		n += uint16(c)
	}
	return n
}

func crc8Maxim(b []byte) (x uint16) {
	for _, c := range b {
		x ^= uint16(c)
		for range 8 {
			low := x & 1
			x >>= 1
			if low != 0 {
				x ^= 0x8c
			}
		}
	}
	return x
}

func (p crc) of(b []byte) uint16 {
	x := p.begin
	for _, c := range b {
		if p.reflected {
			x ^= uint16(c)
			for range 8 {
				low := x & 1
				x >>= 1
				if low != 0 {
					x ^= p.polynomial
				}
			}
			continue
		}
		x ^= uint16(c) << 8
		for range 8 {
			high := x & 0x8000
			x <<= 1
			if high != 0 {
				x ^= p.polynomial
			}
		}
	}
	return x ^ p.end
}

func (c *Checksum) setDefaults() {
	if c.Kind == nmeaChecksum && c.From == 0 && c.Skip == 0 {
		c.From, c.Skip, c.Hex = 1, 1, true
	}
	if c.Order == "" {
		c.Order = "AB"
		if c.Kind == "crc16-modbus" && !c.Hex {
			c.Order = "BA"
		}
	}
}

func (c *Checksum) check(fault func(key, format string, args ...any)) {
	if c.Kind == "" {
		if c.From != 0 || c.Tail != 0 || c.Skip != 0 || c.Hex {
			fault("kind", "is missing: want one like \"crc16-modbus\"")
		}
		return
	}
	if _, err := newChecksum(*c); err != nil {
		fault("kind", "%v", err)
	}
	for key, n := range map[string]int{"from": c.From, "tail": c.Tail, "skip": c.Skip} {
		if n < 0 || n > largestMaxFrame {
			fault(key, "%d: want 0 to %d bytes", n, largestMaxFrame)
		}
	}
	if c.Order != "AB" && c.Order != "BA" {
		fault("order", "%q: want \"AB\" (the high byte first) or \"BA\"", c.Order)
	}
}

// checksum checks messages. A nil one finds every message good.
type checksum struct {
	Checksum
	algorithm
	size int // in the message
}

// newChecksum is nil where there is none.
func newChecksum(cfg Checksum) (*checksum, error) {
	if cfg.Kind == "" {
		return nil, nil
	}
	all := algorithms()
	i := slices.IndexFunc(all, func(a algorithm) bool { return a.name == cfg.Kind })
	if i < 0 {
		var names []string
		for _, a := range all {
			names = append(names, a.name)
		}
		return nil, fmt.Errorf("%q is no checksum; there are %s", cfg.Kind, strings.Join(names, ", "))
	}
	s := &checksum{Checksum: cfg, algorithm: all[i], size: all[i].bytes}
	if cfg.Hex {
		s.size *= 2
	}
	return s, nil
}

// cut gives the message without its checksum and what is behind that; ok is
// false where the checksum is wrong, or there is no room for one.
func (s *checksum) cut(message []byte) (rest []byte, ok bool) {
	if s == nil {
		return message, true
	}
	at := len(message) - s.Tail - s.size
	covered := at - s.Skip
	if covered < s.From || s.Kind == nmeaChecksum && message[covered] != '*' {
		return nil, false
	}
	digits := message[at : at+s.size]
	var room [2]byte
	if s.Hex {
		if _, err := hex.Decode(room[:], digits); err != nil {
			return nil, false
		}
	} else {
		copy(room[:], digits)
	}
	want := uint16(room[0])
	switch {
	case s.bytes == 2 && s.Order == "AB":
		want = want<<8 | uint16(room[1])
	case s.bytes == 2:
		want |= uint16(room[1]) << 8
	}
	return message[:covered], s.of(message[s.From:covered]) == want
}
