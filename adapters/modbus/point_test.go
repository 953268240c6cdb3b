package modbus

import (
	"math"
	"strings"
	"testing"

	"headgate/gateway/point"
)

// ready makes a field of a point at holding register 0.
func ready(t *testing.T, p Point) field {
	t.Helper()
	p.Name, p.Register, p.Access = "x", "holding:0", "rw"
	d := Device{Interval: defaultInterval, Point: []Point{p}}
	c := Config{Device: []Device{d}}
	c.SetDefaults()
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
	} {
		f := ready(t, Point{Type: c.typ, Order: c.order})
		if got, err := f.decode([]byte(c.wire)); err != nil || got != c.value {
			t.Errorf("%s %s of % x: got %v, %v; want %v", c.typ, c.order, c.wire, got, err, c.value)
		}
		if got, err := f.encode(c.value); err != nil || string(got) != c.wire {
			t.Errorf("%s %s of %v: got % x, %v; want % x", c.typ, c.order, c.value, got, err, c.wire)
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
		f := ready(t, Point{Type: c.typ, Scale: c.scale, Offset: c.offset})
		if got, err := f.decode([]byte(c.wire)); err != nil || got.String() != c.want {
			t.Errorf("%s % x * %v + %v: got %v, %v; want %s", c.typ, c.wire, c.scale, c.offset, got, err, c.want)
		}
	}
}

func TestEveryStepOfAScaleComesBackExactly(t *testing.T) {
	for _, scale := range []float64{1, 0.1, 0.01, 0.001, 0.05, 0.3, 2.5, -0.1} {
		f := ready(t, Point{Type: "u16", Scale: scale, Offset: 7.25})
		for n := range 1 << 16 {
			wire := []byte{byte(n >> 8), byte(n)}
			v, err := f.decode(wire)
			if err != nil {
				t.Fatal(err)
			}
			back, err := f.encode(v)
			if err != nil || string(back) != string(wire) {
				t.Fatalf("%d * %v: %v went back as % x, %v", n, scale, v, back, err)
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
		f := ready(t, Point{Type: c.typ, Scale: c.scale})
		if b, err := f.encode(c.value); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v as %s * %v: got % x, %v; want an error with %q", c.value, c.typ, c.scale, b, err, c.want)
		}
	}
}
