package serial

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"headgate/adapters/datatype"
	"headgate/gateway/point"
)

// binaryFormat takes values out of the bytes of messages that all have the same
// layout.
type binaryFormat struct {
	places []binaryPlace // of each point
	need   int           // bytes that a message has at least
}

// binaryPlace is where a value stands, and what it is.
type binaryPlace struct {
	datatype.Field
	at, bytes int
}

// byteTypes are the types of one byte; the types of more are those of
// datatype.
func byteTypes() map[string]datatype.Type {
	return map[string]datatype.Type{
		"u8":   {Name: "u8", Kind: datatype.Unsigned, Registers: 1, Width: 8},
		"i8":   {Name: "i8", Kind: datatype.Signed, Registers: 1, Width: 8},
		"bcd8": {Name: "bcd8", Kind: datatype.BCD, Registers: 1, Width: 8},
		"bool": {Name: "bool", Kind: datatype.Bool, Registers: 1, Width: 8},
	}
}

// binaryType reads the type of a value in bytes, and how many those are.
func binaryType(p Point) (t datatype.Type, size int, err error) {
	if t, ok := byteTypes()[p.Type]; ok {
		return t, 1, nil
	}
	if t, err = datatype.ParseType(p.Type); err != nil {
		return t, 0, err
	}
	switch {
	case t.Kind == datatype.Text8 || t.Shift > 0 || t.Width == 8:
		return t, 0, fmt.Errorf("%q is for registers: want u8, i8 or string", p.Type)
	case t.Kind == datatype.Text && (p.Length < 1 || p.Length > defaultMaxFrame):
		return t, 0, fmt.Errorf("\"string\" wants a length of 1 to %d bytes", defaultMaxFrame)
	case t.Kind == datatype.Text:
		return t, p.Length, nil
	case t.Width == 24:
		return t, 3, nil
	}
	return t, 2 * t.Registers, nil
}

func newBinaryFormat(points []placed) (*binaryFormat, error) {
	b := &binaryFormat{}
	for _, p := range points {
		at, err := strconv.Atoi(string(p.From))
		if err != nil || at < 0 || at > largestMaxFrame {
			return nil, p.wrong("from", "%q: want the byte of the message that the value begins at; the first is 0", string(p.From))
		}
		place, key, err := newPlace(p.Point)
		if err != nil {
			return nil, p.wrong(key, "%w", err)
		}
		place.at = at
		b.places = append(b.places, place)
		b.need = max(b.need, at+place.bytes)
	}
	return b, nil
}

// newPlace makes the place of a point; key is that of the fault.
func newPlace(p Point) (f binaryPlace, key string, err error) {
	if f.Type, f.bytes, err = binaryType(p); err != nil {
		return f, "type", err
	}
	t := f.Type
	f.SetNumber(p.Number)
	f.Registers, f.Shift, f.Width, f.Length = t.Registers, t.Shift, t.Width, p.Length
	if !t.IsText() && f.bytes > 1 {
		registers := f.Registers
		if f.bytes == 3 || f.bytes == 6 {
			registers = 2
		}
		if f.Order, err = datatype.ParseOrder(cmp.Or(p.Order, "ABCD"), registersOrAny(p.Order, registers)); err != nil {
			return f, "order", err
		}
	}
	if p.Bits != "" {
		whole := t
		whole.Width = 0
		if f.Shift, f.Width, err = datatype.ParseBits(p.Bits, whole); err != nil {
			return f, "bits", err
		}
		if f.Shift+f.Width > 8*f.bytes {
			return f, "bits", fmt.Errorf("%q: %s has the bits 0 to %d", p.Bits, t, 8*f.bytes-1)
		}
	}
	for _, v := range p.Invalid {
		bits, is, err := f.Pattern(v)
		if err != nil {
			return f, "invalid", err
		}
		if is {
			f.Invalid = append(f.Invalid, bits)
		}
	}
	if len(p.Enum) > 0 && !t.IsWhole() && t.Kind != datatype.Bool {
		return f, "enum", fmt.Errorf("a %s has none: it is for whole numbers and bool", t)
	}
	for _, k := range slices.Sorted(maps.Keys(p.Enum)) {
		bits, err := f.EnumKey(k)
		if err != nil {
			return f, "enum", err
		}
		if f.Texts == nil {
			f.Texts = map[uint64]string{}
		}
		f.Texts[bits] = p.Enum[k]
	}
	return f, "", nil
}

// registersOrAny lets the default order stand for a type of any size.
func registersOrAny(order string, registers int) int {
	if order == "" {
		return 0
	}
	return registers
}

func (b *binaryFormat) samples(dst []point.Sample, message []byte, fields []field, at time.Time) ([]point.Sample, bool) {
	if len(message) < b.need {
		return dst, false
	}
	for i := range fields {
		f, place := &fields[i], &b.places[i]
		v, err := place.value(message[place.at : place.at+place.bytes])
		if err != nil {
			dst = append(dst, f.bad(err, at))
		} else {
			dst = append(dst, f.good(v, at))
		}
	}
	return dst, true
}

// value makes the value of its bytes.
func (p *binaryPlace) value(b []byte) (point.Value, error) {
	if p.Type.IsText() {
		return point.OfString(datatype.Chars(b)), nil
	}
	bits := p.bits(b)
	if p.Width > 0 {
		bits = bits >> p.Shift & (1<<p.Width - 1)
	}
	return p.OfBits(bits, &p.Scaling)
}

func (p *binaryPlace) bits(b []byte) (bits uint64) {
	if len(b)%2 == 0 {
		return p.Order.Bits(b)
	}
	for i := range b {
		at := i
		if p.Order.SwapWords || p.Order.SwapBytes { // three bytes are turned round or not
			at = len(b) - 1 - i
		}
		bits = bits<<8 | uint64(b[at])
	}
	return bits
}
