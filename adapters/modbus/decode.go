package modbus

import (
	"fmt"

	"headgate/adapters/datatype"
	"headgate/gateway/point"
)

// decode makes the value of the bytes that a read gave: of a register table the
// bytes of the field's own registers, of a table of bits one byte, 0 or 1. The
// error says why there is no value.
func (f *field) decode(b []byte) (point.Value, error) {
	if f.register.table.isBits() {
		return f.OfBits(uint64(b[0]&1), nil)
	}
	value := b[2*f.at : 2*(f.at+f.Registers)]
	if f.Type.IsText() {
		return point.OfString(f.Text(value)), nil
	}
	scaling := &f.Scaling
	if f.exponent >= 0 {
		// SunSpec: an exponent of 0x8000 is not implemented, nor is the point.
		n := int(int16(datatype.Order{}.Bits(b[2*f.exponent : 2*f.exponent+2])))
		if n < -maxExponent || n > maxExponent {
			return point.Value{}, fmt.Errorf("the device gives %d for the power of ten that the value has: it has no value", n)
		}
		scaling = &f.powers[n+maxExponent]
	}
	bits := f.Order.Bits(value)
	if f.Width > 0 {
		bits = bits >> f.Shift & (1<<f.Width - 1)
	}
	return f.OfBits(bits, scaling)
}
