// Package modbussim is a Modbus server to talk to where there is no device: in
// the demo, and in tests. It owns the units with their tables, serves them over
// TCP and over any RTU line, and goes wrong on demand (Fault). It shares no code
// with the client in adapters/modbus, so that a mistake in one does not hide
// one in the other.
package modbussim

import (
	"math/rand/v2"
	"slices"
	"sync"
)

// Table is one of the four tables of a unit.
type Table uint8

const (
	Coils Table = iota + 1
	DiscreteInputs
	InputRegisters
	HoldingRegisters
)

// Exception codes. [MB-APP 7]
const (
	illegalFunction    = 1
	illegalDataAddress = 2
	illegalDataValue   = 3
)

// Unit is one device. Its tables hold only what has been set: the rest are
// addresses that it does not have, answered with exception 2. It may be used
// from any goroutine.
type Unit struct {
	mu      sync.Mutex // guards what follows
	tables  map[Table]map[uint16]uint16
	faults  []*Fault
	blocks  []block
	onWrite func(t Table, address uint16, values []uint16)
	counts  Counts
	random  *rand.Rand
}

// Counts is what a unit has been asked.
type Counts struct {
	Requests uint64 // of all kinds, those that a fault swallowed too
	Writes   uint64 // those that were carried out
}

func newUnit() *Unit {
	return &Unit{random: rand.New(rand.NewPCG(1, 2)), tables: map[Table]map[uint16]uint16{Coils: {}, DiscreteInputs: {}, InputRegisters: {}, HoldingRegisters: {}}}
}

// Set puts values from address on; in the tables of bits each is 0 or 1.
func (u *Unit) Set(t Table, address uint16, values ...uint16) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, v := range values {
		u.tables[t][address+uint16(i)] = v
	}
}

// SetHolding, SetInput, SetCoils and SetDiscrete are Set for one table.
func (u *Unit) SetHolding(address uint16, registers ...uint16) {
	u.Set(HoldingRegisters, address, registers...)
}

func (u *Unit) SetInput(address uint16, registers ...uint16) {
	u.Set(InputRegisters, address, registers...)
}

func (u *Unit) SetCoils(address uint16, on ...bool)    { u.Set(Coils, address, bits(on)...) }
func (u *Unit) SetDiscrete(address uint16, on ...bool) { u.Set(DiscreteInputs, address, bits(on)...) }

func bits(on []bool) []uint16 {
	values := make([]uint16, len(on))
	for i, b := range on {
		if b {
			values[i] = 1
		}
	}
	return values
}

// Get gives what stands at address; ok is false where nothing does.
func (u *Unit) Get(t Table, address uint16) (value uint16, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	value, ok = u.tables[t][address]
	return value, ok
}

// OnWrite has f called after each write of a client, from the goroutine that
// serves it; f may call Set.
func (u *Unit) OnWrite(f func(t Table, address uint16, values []uint16)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.onWrite = f
}

// block is a read that a unit answers.
type block struct {
	table          Table
	address, count uint16
}

// OnlyReads has the unit answer no reads but this one, and those named before,
// exactly as it is; exception 2 to all others.
func (u *Unit) OnlyReads(t Table, address, count uint16) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.blocks = append(u.blocks, block{t, address, count})
}

// Counts gives what the unit has been asked so far.
func (u *Unit) Counts() Counts {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.counts
}

// read gives count values from address on, or an exception code.
func (u *Unit) read(t Table, address, count uint16, most int) ([]uint16, byte) {
	if count == 0 || int(count) > most {
		return nil, illegalDataValue
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.blocks) > 0 && !slices.Contains(u.blocks, block{t, address, count}) {
		return nil, illegalDataAddress
	}
	values := make([]uint16, count)
	for i := range values {
		v, ok := u.tables[t][address+uint16(i)]
		if !ok || int(address)+i > 0xffff {
			return nil, illegalDataAddress
		}
		values[i] = v
	}
	return values, 0
}

// write carries out a client's write, or gives an exception code.
func (u *Unit) write(t Table, address uint16, values []uint16) byte {
	u.mu.Lock()
	for i := range values {
		if _, ok := u.tables[t][address+uint16(i)]; !ok || int(address)+i > 0xffff {
			u.mu.Unlock()
			return illegalDataAddress
		}
	}
	for i, v := range values {
		u.tables[t][address+uint16(i)] = v
	}
	u.counts.Writes++
	f := u.onWrite
	u.mu.Unlock()
	if f != nil {
		f(t, address, slices.Clone(values))
	}
	return 0
}

// mask carries out function 22 on a holding register: AND, then OR of what the
// first mask leaves. [MB-APP 6.16]
func (u *Unit) mask(address, and, or uint16) byte {
	v, ok := u.Get(HoldingRegisters, address)
	if !ok {
		return illegalDataAddress
	}
	return u.write(HoldingRegisters, address, []uint16{v&and | or&^and})
}
