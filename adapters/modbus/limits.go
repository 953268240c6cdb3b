package modbus

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Gap is a number of registers or bits, or "unlimited", which is the zero Gap.
type Gap struct {
	limited bool
	most    int
}

// GapOf is a Gap of that many.
func GapOf(most int) Gap { return Gap{limited: true, most: most} }

// UnmarshalText reads a number, or "unlimited".
func (g *Gap) UnmarshalText(text []byte) error {
	if string(text) == "unlimited" {
		*g = Gap{}
		return nil
	}
	n, err := strconv.ParseUint(string(text), 10, 16)
	if err != nil {
		return fmt.Errorf("%q: want a number of registers like \"8\", or \"unlimited\"", text)
	}
	*g = GapOf(int(n))
	return nil
}

// limits is how a device may be read.
type limits struct {
	registers, bits int  // that one request may read
	gap             Gap  // that nobody asked for, between two points
	onePoint        bool // of what does not share a register
	noRead          []span
	blocks          []span // that are read as they are
}

// span is some of a table.
type span struct {
	table      table
	start, end int // end is the first that does not belong to it
}

func (s span) touches(t table, start, end int) bool {
	return s.table == t && start < s.end && s.start < end
}

// holds says whether all of the other is in it.
func (s span) holds(other span) bool {
	return s.table == other.table && s.start <= other.start && other.end <= s.end
}

// forbids says whether any of it must not be read.
func (l limits) forbids(s span) bool {
	return slices.ContainsFunc(l.noRead, func(no span) bool { return no.touches(s.table, s.start, s.end) })
}

func (l limits) most(t table) int {
	if t.isBits() {
		return l.bits
	}
	return l.registers
}

// limits makes those of a device ready.
func (d *Device) limits() (limits, error) {
	l := limits{registers: d.MaxRegisters, bits: d.MaxBits, gap: d.MaxGap, onePoint: d.OneRequestPerPoint}
	for _, text := range d.NoRead {
		s, err := d.parseSpan(text)
		if err != nil {
			return limits{}, fmt.Errorf("no_read: %w", err)
		}
		l.noRead = append(l.noRead, s)
	}
	for _, text := range d.ReadBlocks {
		s, err := d.parseSpan(text)
		if err != nil {
			return limits{}, fmt.Errorf("read_blocks: %w", err)
		}
		l.blocks = append(l.blocks, s)
	}
	for _, p := range d.Point {
		if p.Access != "w" {
			continue
		}
		f, err := newField(*d, p)
		if err != nil {
			return limits{}, err
		}
		l.noRead = append(l.noRead, spanOf(&f))
	}
	return l, nil
}

// parseSpan reads "holding:100-110" or "coil:7".
func (d *Device) parseSpan(text string) (span, error) {
	first, last, ranged := strings.Cut(text, "-")
	r, err := d.parseRegister(first)
	if err != nil {
		return span{}, err
	}
	s := span{table: r.table, start: int(r.address), end: int(r.address) + 1}
	if ranged {
		last = strings.TrimSpace(last)
		if strings.Contains(first, ":") {
			last = tableNames[s.table] + ":" + last
		}
		n, err := d.lastOf(s.table, last)
		if err != nil || n < s.start {
			return span{}, fmt.Errorf("%q: want the first and the last address, like \"holding:100-110\"", text)
		}
		s.end = n + 1
	}
	return s, nil
}

// lastOf reads the address at the end of a span.
func (d *Device) lastOf(t table, text string) (int, error) {
	r, err := d.parseRegister(text)
	if err == nil && r.table != t {
		err = errors.New("it is of another table")
	}
	return int(r.address), err
}

// checkLimits checks how a device may be read.
func (d *Device) checkLimits(fault faultFunc) {
	if n, most := d.MaxRegisters, holdingRegisters.maxRead(); n < 1 || n > most {
		fault("max_registers", "%d: want 1 to %d", n, most)
	}
	if n, most := d.MaxBits, coils.maxRead(); n < 1 || n > most {
		fault("max_bits", "%d: want 1 to %d", n, most)
	}
	d.checkSpans(fault, "no_read", d.NoRead)
}

// checkSpans checks that each text of a list is a span.
func (d *Device) checkSpans(fault faultFunc, key string, list []string) {
	for i, text := range list {
		if _, err := d.parseSpan(text); err != nil {
			fault(fmt.Sprintf("%s[%d]", key, i), "%v", err)
		}
	}
}

// checkReadable checks that a point may be read at all, if it is to be.
func (d *Device) checkReadable(fault faultFunc, f *field) {
	if !f.readable {
		return
	}
	s, l := spanOf(f), limits{registers: d.MaxRegisters, bits: d.MaxBits}
	if n := s.end - s.start; n > l.most(s.table) {
		fault("type", "%d registers are more than the device lets one request read, which is %d: see max_registers", n, l.most(s.table))
	}
	for _, text := range d.NoRead {
		if no, err := d.parseSpan(text); err == nil && no.touches(s.table, s.start, s.end) {
			fault("register", "it is among those that no_read forbids: %q", text)
		}
	}
	for _, p := range d.Point {
		if p.Access != "w" {
			continue
		}
		if other, err := newField(*d, p); err == nil && spanOf(&other).touches(s.table, s.start, s.end) {
			fault("register", "it is that of point %s too, which must not be read: its access is \"w\"", p.Name)
		}
	}
}
