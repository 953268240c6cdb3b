package modbus

import (
	"fmt"
	"math"
	"math/big"
	"time"

	"headgate/gateway/point"
)

// field is one point of a device, made ready from its config.
type field struct {
	name     string
	unit     string // of measure
	register register
	typ      dataType
	order    order
	scaling  scaling
	writable bool
	interval time.Duration
}

// newField makes a field of a config in which Check has found no fault.
func newField(d Device, p Point) (field, error) {
	f := field{name: p.Name, unit: p.Unit, writable: p.Access == "rw", interval: p.Interval, scaling: newScaling(p.Scale, p.Offset)}
	var err error
	if f.register, err = parseRegister(p.Register); err != nil {
		return field{}, fmt.Errorf("point %s: register: %w", p.Name, err)
	}
	if f.typ, err = parseType(p.Type); err != nil {
		return field{}, fmt.Errorf("point %s: type: %w", p.Name, err)
	}
	order, registers := p.Order, f.typ.registers()
	if order == "" {
		order, registers = d.Order, 0
	}
	if order == "" {
		order = defaultOrder
	}
	if f.order, err = parseOrder(order, registers); err != nil {
		return field{}, fmt.Errorf("point %s: order: %w", p.Name, err)
	}
	return f, nil
}

// size is how many registers, or bits of a table of bits, the field takes.
func (f *field) size() int { return f.typ.registers() }

// decode makes the value of the bytes that a read gave: of a register table the
// bytes of the field's own registers, of a table of bits one byte, 0 or 1. The
// error says why there is no value.
func (f *field) decode(b []byte) (point.Value, error) {
	if f.register.table.isBits() {
		return point.OfBool(b[0] != 0), nil
	}
	bits := f.order.bits(b)
	var v point.Value
	switch f.typ {
	case typeBool:
		return point.OfBool(bits != 0), nil
	case typeF32, typeF64:
		n := f.typ.float(bits)
		if math.IsNaN(n) || math.IsInf(n, 0) {
			return point.Value{}, fmt.Errorf("the device says that the value is %v", n)
		}
		v = f.scaling.ofFloat(n)
	case typeU16, typeU32, typeU64:
		v = f.scaling.ofInt(bits, true)
	default:
		v = f.scaling.ofInt(uint64(f.typ.signed(bits)), false)
	}
	if n, _ := v.Float(); math.IsInf(n, 0) {
		return point.Value{}, fmt.Errorf("scale and offset make the value too great for a number")
	}
	return v, nil
}

// encode makes of a value the bytes that a write sends, as decode takes them;
// the error says what the field can hold.
func (f *field) encode(v point.Value) ([]byte, error) {
	if f.typ == typeBool {
		on, err := f.encodeBool(v)
		if err != nil {
			return nil, err
		}
		if f.register.table.isBits() {
			return []byte{byte(on)}, nil
		}
		b := make([]byte, 2)
		f.order.put(b, on)
		return b, nil
	}
	n, ok := v.Float()
	if !ok || v.Kind() == point.Bool {
		return nil, fmt.Errorf("%s is not a number", quoted(v))
	}
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return nil, fmt.Errorf("%v is not a finite number", n)
	}
	number := f.scaling.inverse(v)
	var bits uint64
	var err error
	if f.typ.isFloat() {
		bits, err = f.floatBits(v, number)
	} else {
		bits, err = f.intBits(v, number)
	}
	if err != nil {
		return nil, err
	}
	b := make([]byte, 2*f.size())
	f.order.put(b, bits)
	return b, nil
}

func (f *field) encodeBool(v point.Value) (uint64, error) {
	on, ok := v.Bool()
	if n, isNumber := v.Float(); isNumber && n != 0 && n != 1 {
		ok = false
	}
	switch {
	case !ok:
		return 0, fmt.Errorf("%s is neither on nor off: want true or false", quoted(v))
	case on:
		return 1, nil
	}
	return 0, nil
}

// stepParts: a number may be this part of a step away from a whole one and
// still be meant for it: 0.30000000000000004 with scale 0.1 is 3.
const stepParts = 1_000_000

// intBits gives the bits of a whole-number type.
func (f *field) intBits(v point.Value, number *big.Rat) (uint64, error) {
	n := nearest(number)
	away := new(big.Rat).Sub(number, new(big.Rat).SetInt(n))
	width := 16 * f.size()
	low, high := new(big.Int), new(big.Int).Lsh(big.NewInt(1), uint(width))
	if f.typ == typeI16 || f.typ == typeI32 || f.typ == typeI64 {
		high.Rsh(high, 1)
		low.Neg(high)
	}
	high.Sub(high, big.NewInt(1))
	if n.Cmp(low) < 0 || n.Cmp(high) > 0 {
		least, most := new(big.Rat).SetInt(low), new(big.Rat).SetInt(high)
		if f.scaling.scale.Sign() < 0 {
			least, most = most, least
		}
		return 0, fmt.Errorf("%v does not fit: %s holds %s to %s", v, f.typ, f.scaling.apply(least), f.scaling.apply(most))
	}
	if away.Abs(away).Cmp(big.NewRat(1, stepParts)) > 0 {
		return 0, fmt.Errorf("%v cannot be held: %s has steps of %s, the nearest is %s",
			v, f.typ, ofRat(new(big.Rat).Abs(f.scaling.scale)), f.scaling.apply(new(big.Rat).SetInt(n)))
	}
	if n.Sign() < 0 {
		return uint64(n.Int64()), nil
	}
	return n.Uint64(), nil
}

// floatBits gives the bits of f32 or f64.
func (f *field) floatBits(v point.Value, number *big.Rat) (uint64, error) {
	if f.typ == typeF32 {
		n, _ := number.Float32()
		if math.IsInf(float64(n), 0) {
			return 0, fmt.Errorf("%v does not fit f32", v)
		}
		return uint64(math.Float32bits(n)), nil
	}
	n, _ := number.Float64()
	if math.IsInf(n, 0) {
		return 0, fmt.Errorf("%v does not fit f64", v)
	}
	return math.Float64bits(n), nil
}

// nearest is the whole number nearest to r; a half goes up.
func nearest(r *big.Rat) *big.Int {
	num := new(big.Int).Lsh(r.Num(), 1)
	num.Add(num, r.Denom())
	return num.Div(num, new(big.Int).Lsh(r.Denom(), 1)) // Euclidean: down, for a positive divisor
}

// quoted is v as it stands in JSON, cut where it is long.
func quoted(v point.Value) string {
	b := v.AppendJSON(nil)
	const most = 40
	if len(b) > most {
		return string(b[:most]) + "..."
	}
	return string(b)
}
