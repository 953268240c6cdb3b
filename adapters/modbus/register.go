package modbus

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"headgate/adapters/datatype"
)

// table is one of the four tables of a Modbus device.
type table uint8

const (
	coils table = iota
	discreteInputs
	inputRegisters
	holdingRegisters
)

// tableNames are the tables' names in a config, by table.
var tableNames = []string{"coil", "discrete", "input", "holding"}

// isBits says whether the table holds bits, not registers of 16.
func (t table) isBits() bool { return t == coils || t == discreteInputs }

// writable says whether the protocol has a function that writes to it.
func (t table) writable() bool { return t == coils || t == holdingRegisters }

// maxRead is how many one request may read. [MB-APP 6.1-6.4]
func (t table) maxRead() int {
	if t.isBits() {
		return 2000
	}
	return 125
}

// span names count of the table from address on: "holding registers 100-119",
// "coil 3".
func (t table) span(address uint16, count int) string {
	name := [...]string{"coil", "discrete input", "input register", "holding register"}[t]
	if count == 1 {
		return fmt.Sprintf("%s %d", name, address)
	}
	return fmt.Sprintf("%ss %d-%d", name, address, int(address)+count-1)
}

// register is where a point begins.
type register struct {
	table   table
	address uint16
}

// parseRegister reads a register as a config names it, like "holding:100".
func parseRegister(s string) (register, error) {
	if s == "" {
		return register{}, errors.New("is missing: want table and 0-based address, like \"holding:100\"")
	}
	name, number, found := strings.Cut(s, ":")
	if !found {
		return register{}, fmt.Errorf("%q: want table and 0-based address, like \"holding:100\"%s", s, numbered(s))
	}
	name = strings.TrimSpace(name)
	var r register
	known := false
	for t, n := range tableNames {
		if strings.EqualFold(n, name) {
			r.table, known = table(t), true
		}
	}
	if !known {
		return register{}, fmt.Errorf("%q: there is no table %q%s; want holding, input, coil or discrete", s, name, datatype.DidYouMean(name, tableNames))
	}
	a, err := strconv.ParseUint(strings.TrimSpace(number), 0, 16)
	if err != nil || strings.ContainsRune(number, '_') {
		return register{}, fmt.Errorf("%q: the address must be 0 to 65535, like \"%s:100\"", s, tableNames[r.table])
	}
	r.address = uint16(a)
	return r, nil
}

// numbered explains what 40101 or 30001 would be here; "" for anything else.
func numbered(s string) string {
	r, ok := manual(s)
	if !ok {
		return ""
	}
	return fmt.Sprintf("; the number %s of a manual is \"%s:%d\", or give the device address_base = 1", s, tableNames[r.table], r.address)
}

// manual reads a register as manuals number them, from 1 on with the table as the
// first of five or six digits: 40101 is holding:100.
func manual(s string) (r register, ok bool) {
	n, err := strconv.Atoi(s)
	if err != nil || len(s) != 5 && len(s) != 6 {
		return register{}, false
	}
	width := 10000
	if len(s) == 6 {
		width = 100000
	}
	t, known := map[int]table{0: coils, 1: discreteInputs, 3: inputRegisters, 4: holdingRegisters}[n/width]
	address := n%width - 1
	return register{t, uint16(address)}, known && address >= 0 && address <= 0xffff
}

// parseRegister reads a register of the device, which says how it counts.
func (d *Device) parseRegister(s string) (register, error) {
	if d.AddressBase != 1 {
		return parseRegister(s)
	}
	if r, ok := manual(s); ok {
		return r, nil
	}
	r, err := parseRegister(s)
	switch {
	case err != nil:
		return register{}, err
	case r.address == 0:
		return register{}, fmt.Errorf("%q: with address_base = 1 the first one is 1", s)
	}
	r.address--
	return r, nil
}
