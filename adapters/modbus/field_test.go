package modbus

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"headgate/adapters/datatype"
	"headgate/gateway/point"
)

// ready makes a field of a point at holding register 0.
func ready(t *testing.T, p Point) field {
	t.Helper()
	p.Name, p.Register, p.Access = "x", "holding:0", "rw"
	d := Device{Interval: defaultInterval, Point: []Point{p}}
	c := Config{Device: []Device{d}}
	c.SetDefaults()
	c.Device[0].checkPoint(&c.Device[0].Point[0], func(key, format string, args ...any) {
		t.Errorf("%+v: %s: %s", p, key, fmt.Sprintf(format, args...))
	})
	f, err := newField(c.Device[0], c.Device[0].Point[0])
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestEveryTypeInEveryOrderGoesBothWays(t *testing.T) {
	for _, c := range []struct {
		typ, order string
		wire       string
		value      point.Value
	}{
		{"u16", "ABCD", "\x12\x34", point.OfUint(0x1234)},
		{"u16", "AB", "\xff\xff", point.OfUint(65535)},
		{"u16", "BA", "\x34\x12", point.OfUint(0x1234)},
		{"i16", "ABCD", "\x80\x00", point.OfInt(-32768)},
		{"i16", "DCBA", "\xfe\xff", point.OfInt(-2)},
		{"bool", "ABCD", "\x00\x01", point.OfBool(true)},
		{"bool", "ABCD", "\x00\x00", point.OfBool(false)},
		{"u32", "ABCD", "\x12\x34\x56\x78", point.OfUint(0x12345678)},
		{"u32", "DCBA", "\x78\x56\x34\x12", point.OfUint(0x12345678)},
		{"u32", "BADC", "\x34\x12\x78\x56", point.OfUint(0x12345678)},
		{"u32", "CDAB", "\x56\x78\x12\x34", point.OfUint(0x12345678)},
		{"i32", "CDAB", "\xff\xfe\xff\xff", point.OfInt(-2)},
		{"f32", "ABCD", "\x41\xbb\x99\x9a", point.OfFloat(23.45)},
		{"f32", "CDAB", "\x99\x9a\x41\xbb", point.OfFloat(23.45)},
		{"u64", "ABCD", "\x01\x23\x45\x67\x89\xab\xcd\xef", point.OfUint(0x0123456789abcdef)},
		{"u64", "GHEFCDAB", "\xcd\xef\x89\xab\x45\x67\x01\x23", point.OfUint(0x0123456789abcdef)},
		{"u64", "CDAB", "\xcd\xef\x89\xab\x45\x67\x01\x23", point.OfUint(0x0123456789abcdef)},
		{"u64", "BADCFEHG", "\x23\x01\x67\x45\xab\x89\xef\xcd", point.OfUint(0x0123456789abcdef)},
		{"u64", "HGFEDCBA", "\xef\xcd\xab\x89\x67\x45\x23\x01", point.OfUint(0x0123456789abcdef)},
		{"u64", "ABCDEFGH", "\xff\xff\xff\xff\xff\xff\xff\xff", point.OfUint(math.MaxUint64)},
		{"i64", "ABCD", "\x80\x00\x00\x00\x00\x00\x00\x00", point.OfInt(math.MinInt64)},
		{"f64", "DCBA", "\x00\x00\x00\x00\x00\x00\xf8\x3f", point.OfFloat(1.5)},
		{"u64", "EFGHABCD", "\x89\xab\xcd\xef\x01\x23\x45\x67", point.OfUint(0x0123456789abcdef)},
		{"u64", "CDABGHEF", "\x45\x67\x01\x23\xcd\xef\x89\xab", point.OfUint(0x0123456789abcdef)},
		{"u64", "FEHGBADC", "\xab\x89\xef\xcd\x23\x01\x67\x45", point.OfUint(0x0123456789abcdef)},
		{"u64", "DCBAHGFE", "\x67\x45\x23\x01\xef\xcd\xab\x89", point.OfUint(0x0123456789abcdef)},
		{"u48", "ABCD", "\x12\x34\x56\x78\x9a\xbc", point.OfUint(0x123456789abc)},
		{"i48", "CDAB", "\xff\xfe\xff\xff\xff\xff", point.OfInt(-2)},
		{"f16", "ABCD", "\xc2\x48", point.OfFloat(-3.140625)},
		{"f16", "ABCD", "\x00\x01", point.OfFloat(0x1p-24)},
		{"f16", "ABCD", "\x7b\xff", point.OfFloat(65504)},
		{"bcd16", "ABCD", "\x12\x34", point.OfUint(1234)},
		{"bcd32", "CDAB", "\x56\x78\x12\x34", point.OfUint(12345678)},
		{"bcd64", "ABCD", "\x99\x99\x99\x99\x99\x99\x99\x99", point.OfUint(9999999999999999)},
		{"epoch32", "ABCD", "\x69\x23\x4c\x95", point.OfString("2025-11-23T18:04:05Z")},
		{"epoch64", "ABCD", "\xff\xff\xff\xff\xff\xff\xff\xff", point.OfString("1969-12-31T23:59:59Z")},
		{"epochms64", "CDAB", "\x00\x7b\x00\x00\x00\x00\x00\x00", point.OfString("1970-01-01T00:00:00.123Z")},
	} {
		f := ready(t, Point{Type: c.typ, Order: c.order})
		if got, err := f.decode([]byte(c.wire)); err != nil || got != c.value {
			t.Errorf("%s %s of % x: got %v, %v; want %v", c.typ, c.order, c.wire, got, err, c.value)
		}
		if got, err := f.encode(c.value); err != nil || string(got.data) != c.wire {
			t.Errorf("%s %s of %v: got % x, %v; want % x", c.typ, c.order, c.value, got.data, err, c.wire)
		}
	}
}

func TestScalingLeavesNoBinaryNoise(t *testing.T) {
	for _, c := range []struct {
		typ           string
		scale, offset float64
		wire          string
		want          string
	}{
		{"u16", 0.1, 0, "\x09\x0a", "231.4"},
		{"u16", 0.001, 0, "\x00\x03", "0.003"},
		{"u16", 0.3, 0, "\x00\x03", "0.9"},
		{"i16", 0.01, -40, "\x00\x07", "-39.93"},
		{"i16", -0.1, 0, "\x00\x03", "-0.3"},
		{"u16", 10, 0, "\xff\xff", "655350"},
		{"u64", 2, 1, "\x00\x20\x00\x00\x00\x00\x00\x01", "18014398509481987"},
		{"u64", 0.001, 0, "\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709550"},
		{"f32", 0.1, 0, "\x41\xbb\x99\x9a", "2.345"},
		{"f32", 1, 0, "\x3d\xcc\xcc\xcd", "0.1"},
	} {
		f := ready(t, Point{Type: c.typ, Number: datatype.Number{Scale: c.scale, Offset: c.offset}})
		if got, err := f.decode([]byte(c.wire)); err != nil || got.String() != c.want {
			t.Errorf("%s % x * %v + %v: got %v, %v; want %s", c.typ, c.wire, c.scale, c.offset, got, err, c.want)
		}
	}
}

func TestEveryStepOfAScaleComesBackExactly(t *testing.T) {
	for _, scale := range []float64{1, 0.1, 0.01, 0.001, 0.05, 0.3, 2.5, -0.1} {
		f := ready(t, Point{Type: "u16", Number: datatype.Number{Scale: scale, Offset: 7.25}})
		for n := range 1 << 16 {
			wire := []byte{byte(n >> 8), byte(n)}
			v, err := f.decode(wire)
			if err != nil {
				t.Fatal(err)
			}
			back, err := f.encode(v)
			if err != nil || string(back.data) != string(wire) {
				t.Fatalf("%d * %v: %v went back as % x, %v", n, scale, v, back.data, err)
			}
			if len(v.String()) > 12 {
				t.Fatalf("%d * %v is published as %v", n, scale, v)
			}
		}
	}
}

func TestWhatDoesNotFitIsNotWritten(t *testing.T) {
	for _, c := range []struct {
		typ   string
		scale float64
		value point.Value
		want  string
	}{
		{"u16", 1, point.OfInt(-1), "0 to 65535"},
		{"u16", 1, point.OfFloat(1.5), "steps of 1"},
		{"u16", 0.1, point.OfFloat(6553.6), "0 to 6553.5"},
		{"i16", 1, point.OfInt(40000), "-32768 to 32767"},
		{"u32", 1, point.OfUint(1 << 32), "0 to 4294967295"},
		{"i64", 1, point.OfUint(1 << 63), "to 9223372036854775807"},
		{"u64", 1, point.OfFloat(1e30), "0 to 18446744073709551615"},
		{"f32", 1, point.OfFloat(1e300), "does not fit f32"},
		{"f64", 1e-300, point.OfFloat(1e300), "does not fit f64"},
		{"f32", 1, point.OfFloat(math.NaN()), "not a finite number"},
		{"u16", 1, point.OfString("12"), "not a number"},
		{"u16", 1, point.OfBool(true), "not a number"},
		{"u16", 1, point.Value{}, "not a number"},
		{"bool", 1, point.OfString("maybe"), "neither on nor off"},
	} {
		f := ready(t, Point{Type: c.typ, Number: datatype.Number{Scale: c.scale}})
		if b, err := f.encode(c.value); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v as %s * %v: got % x, %v; want an error with %q", c.value, c.typ, c.scale, b.data, err, c.want)
		}
	}
}

func TestAPartOfARegisterIsReadAndOnlyThatPartWritten(t *testing.T) {
	for _, c := range []struct {
		p          Point
		wire       string
		value      point.Value
		data, mask string
	}{
		{Point{Type: "u8h"}, "\x12\x34", point.OfUint(0x12), "\x12\x00", "\xff\x00"},
		{Point{Type: "u8l"}, "\x12\x34", point.OfUint(0x34), "\x00\x34", "\x00\xff"},
		{Point{Type: "i8h"}, "\xfe\x34", point.OfInt(-2), "\xfe\x00", "\xff\x00"},
		{Point{Type: "i8l"}, "\x12\x80", point.OfInt(-128), "\x00\x80", "\x00\xff"},
		{Point{Type: "u24"}, "\xff\x12\x34\x56", point.OfUint(0x123456), "\x00\x12\x34\x56", "\x00\xff\xff\xff"},
		{Point{Type: "i24", Order: "CDAB"}, "\xff\xfe\x00\xff", point.OfInt(-2), "\xff\xfe\x00\xff", "\xff\xff\x00\xff"},
		{Point{Type: "u16", Bits: "4:3"}, "\xff\xdf", point.OfUint(5), "\x00\x50", "\x00\x70"},
		{Point{Type: "i16", Bits: "4:3"}, "\xff\xdf", point.OfInt(-3), "\x00\x50", "\x00\x70"},
		{Point{Type: "bool", Bits: "15"}, "\x80\x00", point.OfBool(true), "\x80\x00", "\x80\x00"},
		{Point{Type: "bool", Bits: "3", Order: "BA"}, "\xf7\xff", point.OfBool(false), "\x00\x00", "\x08\x00"},
		{Point{Type: "u32", Bits: "16:16"}, "\x12\x34\x56\x78", point.OfUint(0x1234), "\x12\x34\x00\x00", "\xff\xff\x00\x00"},
		{Point{Type: "u64", Bits: "0:64"}, "\x12\x34\x56\x78\x9a\xbc\xde\xf0", point.OfUint(0x123456789abcdef0), "\x12\x34\x56\x78\x9a\xbc\xde\xf0", "\xff\xff\xff\xff\xff\xff\xff\xff"},
	} {
		f := ready(t, c.p)
		if got, err := f.decode([]byte(c.wire)); err != nil || got != c.value {
			t.Errorf("%s %s of % x: got %v, %v; want %v", c.p.Type, c.p.Bits, c.wire, got, err, c.value)
		}
		got, err := f.encode(c.value)
		if err != nil || string(got.data) != c.data || string(got.mask) != c.mask {
			t.Errorf("%s %s of %v: got % x under % x, %v; want % x under % x", c.p.Type, c.p.Bits, c.value, got.data, got.mask, err, c.data, c.mask)
		}
	}
}

func TestTextsAreReadAsDevicesWriteThem(t *testing.T) {
	for _, c := range []struct {
		p          Point
		wire, want string
		back       string // what is written for it
	}{
		{Point{Type: "string", Length: 6}, "SDM630", "SDM630", "SDM630"},
		{Point{Type: "string", Length: 5}, "AB\x00xyz", "AB", "AB\x00\x00\x00\x00"},
		{Point{Type: "string", Length: 6, Order: "BA"}, "DS6M03", "SDM630", "DS6M03"},
		{Point{Type: "string", Length: 4}, " A  ", "A", "A\x00\x00\x00"},
		{Point{Type: "string", Length: 2}, "\xb0C", "°C", "\xc2\xb0"},
		{Point{Type: "string8", Length: 3}, "\x00A\x00B\x00C", "ABC", "\x00A\x00B\x00C"},
		{Point{Type: "string8", Length: 3, Order: "BA"}, "A\x00B\x00C\x00", "ABC", "A\x00B\x00C\x00"},
	} {
		f := ready(t, c.p)
		if got, err := f.decode([]byte(c.wire)); err != nil || got != point.OfString(c.want) {
			t.Errorf("%q: got %q, %v; want %q", c.wire, got, err, c.want)
		}
		got, err := f.encode(point.OfString(c.want))
		if c.want == "°C" {
			if err == nil || !strings.Contains(err.Error(), "too long") {
				t.Errorf("%q: got %v, want that it is too long", c.want, err)
			}
		} else if err != nil || string(got.data) != c.back {
			t.Errorf("%q: wrote %q, %v; want %q", c.want, got.data, err, c.back)
		}
	}
}

func TestWhatADeviceSaysInsteadOfAValueIsBad(t *testing.T) {
	for _, c := range []struct {
		p    Point
		wire string
		want string // in the reason; "" for a value
	}{
		{Point{Type: "u16", Invalid: []any{int64(0xffff)}}, "\xff\xff", "no value: it gives 0xffff"},
		{Point{Type: "u16", Invalid: []any{int64(0xffff)}}, "\xff\xfe", ""},
		{Point{Type: "i16", Invalid: []any{int64(-32768)}}, "\x80\x00", "0x8000"},
		{Point{Type: "i16", Invalid: []any{"0x8000"}}, "\x80\x00", "0x8000"},
		{Point{Type: "i16", Invalid: []any{int64(0x8000)}}, "\x80\x00", "0x8000"},
		{Point{Type: "u64", Invalid: []any{"0xffffffffffffffff"}}, "\xff\xff\xff\xff\xff\xff\xff\xff", "no value"},
		{Point{Type: "f32", Invalid: []any{-9999.9}}, "\xc6\x1c\x3f\x9a", "no value"},
		{Point{Type: "f32", Invalid: []any{"0x7f7fffff", "nan"}}, "\x7f\x7f\xff\xff", "no value"},
		{Point{Type: "f32"}, "\x7f\xc0\x00\x00", "NaN"},
		{Point{Type: "f16"}, "\x7e\x00", "NaN"},
		{Point{Type: "f64"}, "\x7f\xf0\x00\x00\x00\x00\x00\x00", "+Inf"},
		{Point{Type: "bcd16"}, "\x12\x3a", "0x123a, which is no BCD number"},
		{Point{Type: "epoch64"}, "\x7f\xff\xff\xff\xff\xff\xff\xff", "no time of the years"},
		{Point{Type: "u16", Number: datatype.Number{Max: new(100.0), OutOfRange: "bad"}}, "\x00\x65", "101, out of the range anything to 100"},
	} {
		f := ready(t, c.p)
		v, err := f.decode([]byte(c.wire))
		if c.want == "" {
			if err != nil || v == (point.Value{}) {
				t.Errorf("%s of % x: got %v, %v", c.p.Type, c.wire, v, err)
			}
		} else if err == nil || v != (point.Value{}) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s of % x: got %v, %v; want no value, for %q", c.p.Type, c.wire, v, err, c.want)
		}
	}
}

func TestWhatIsPublishedOfANumber(t *testing.T) {
	modes := map[string]string{"0": "off", "1": "heating", "0x20": "fault", "-1": "unknown"}
	for _, c := range []struct {
		p    Point
		wire string
		want string
	}{
		{Point{Type: "f32", Number: datatype.Number{Decimals: new(1)}}, "\x43\x67\x5c\x29", "231.4"},
		{Point{Type: "f32", Number: datatype.Number{Decimals: new(0)}}, "\x43\x67\x5c\x29", "231"},
		{Point{Type: "f32", Number: datatype.Number{Decimals: new(2)}}, "\xba\x83\x12\x6f", "0"},
		{Point{Type: "u16", Number: datatype.Number{Scale: 0.001, Decimals: new(2)}}, "\x04\xd2", "1.23"},
		{Point{Type: "u16", Number: datatype.Number{Decimals: new(2)}}, "\x04\xd2", "1234"},
		{Point{Type: "u16", Number: datatype.Number{Min: new(5.0), Max: new(100.5), OutOfRange: "clamp"}}, "\x00\x65", "100.5"},
		{Point{Type: "u16", Number: datatype.Number{Min: new(5.0), Max: new(100.0), OutOfRange: "clamp"}}, "\x00\x04", "5"},
		{Point{Type: "u16", Number: datatype.Number{Max: new(100.0)}}, "\x00\x65", "101"},
		{Point{Type: "i16", Enum: modes}, "\x00\x20", "fault"},
		{Point{Type: "i16", Enum: modes}, "\xff\xff", "unknown"},
		{Point{Type: "i16", Enum: modes}, "\x00\x02", "2"},
		{Point{Type: "bool", Enum: map[string]string{"0": "shut", "1": "open"}}, "\x00\x07", "open"},
		{Point{Type: "u16", Bits: "4:4", Enum: map[string]string{"1": "heating"}}, "\xff\x1f", "heating"},
	} {
		f := ready(t, c.p)
		if got, err := f.decode([]byte(c.wire)); err != nil || got.String() != c.want {
			t.Errorf("%+v of % x: got %v, %v; want %s", c.p, c.wire, got, err, c.want)
		}
	}
}

func TestANumberHasThePowerOfTenOfItsRegister(t *testing.T) {
	// SunSpec's A at offset 2 of model 103, its A_SF at offset 6.
	p := Point{Name: "current", Register: "holding:40072", Exponent: "holding:40076", Type: "u16", Invalid: []any{int64(0xffff)}}
	c := Config{Device: []Device{{Point: []Point{p}}}}
	c.SetDefaults()
	f, err := newField(c.Device[0], c.Device[0].Point[0])
	if err != nil {
		t.Fatal(err)
	}
	if f.register.address != 40072 || f.size() != 5 {
		t.Errorf("it reads %d from %d on, want 5 from 40072", f.size(), f.register.address)
	}
	for wire, want := range map[string]string{
		"\x00\x7b\x00\x00\x00\x00\x00\x00\xff\xfe": "1.23",
		"\x00\x7b\x00\x00\x00\x00\x00\x00\x00\x02": "12300",
		"\x00\x7b\x00\x00\x00\x00\x00\x00\x00\x00": "123",
		"\xff\xff\x00\x00\x00\x00\x00\x00\xff\xfe": "no value",
		"\x00\x7b\x00\x00\x00\x00\x00\x00\x80\x00": "power of ten",
	} {
		v, err := f.decode([]byte(wire))
		if got := v.String(); got != want && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("% x: got %v, %v; want %s", wire, v, err, want)
		}
	}
}

func TestWhatACommandMayNotSetIsRefused(t *testing.T) {
	modes := map[string]string{"0": "off", "1": "heating"}
	for _, c := range []struct {
		p     Point
		value point.Value
		want  string
	}{
		{Point{Type: "u16", Number: datatype.Number{Max: new(100.0)}}, point.OfInt(101), "out of range: want anything to 100"},
		{Point{Type: "u16", Number: datatype.Number{Scale: 0.1, Min: new(5.0), Max: new(30.5)}}, point.OfFloat(4.9), "want 5 to 30.5"},
		{Point{Type: "u16", Enum: modes}, point.OfString("cooling"), "none of off, heating"},
		{Point{Type: "u16", Enum: modes}, point.OfInt(2), "none of off, heating"},
		{Point{Type: "u16", Bits: "4:3"}, point.OfInt(8), "3 bits of u16 holds 0 to 7"},
		{Point{Type: "i8l"}, point.OfInt(128), "i8l holds -128 to 127"},
		{Point{Type: "bcd16"}, point.OfInt(10000), "0 to 9999"},
		{Point{Type: "f16"}, point.OfInt(65520), "does not fit f16"},
		{Point{Type: "epoch32"}, point.OfString("yesterday"), "want one like"},
		{Point{Type: "epoch32"}, point.OfString("1969-12-31T23:59:59Z"), "does not fit"},
		{Point{Type: "string", Length: 3}, point.OfString("long"), "3 bytes"},
		{Point{Type: "string", Length: 4}, point.OfInt(3), "not a text"},
	} {
		f := ready(t, c.p)
		if got, err := f.encode(c.value); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v as %+v: got % x, %v; want an error with %q", c.value, c.p, got.data, err, c.want)
		}
	}
}
