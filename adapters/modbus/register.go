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
	n, err := strconv.Atoi(s)
	if err != nil {
		return ""
	}
	base, width := 0, 10000
	if len(s) == 6 {
		width = 100000
	}
	if len(s) != 5 && len(s) != 6 {
		return ""
	}
	t := tableNames[coils]
	switch base = n / width * width; n / width {
	case 0:
	case 1:
		t = tableNames[discreteInputs]
	case 3:
		t = tableNames[inputRegisters]
	case 4:
		t = tableNames[holdingRegisters]
	default:
		return ""
	}
	if n == base {
		return ""
	}
	return fmt.Sprintf("; the number %s of a manual is \"%s:%d\"", s, t, n-base-1)
}
