package modbus

import (
	"encoding/json"
	"math"
	"testing"

	"headgate/adapters/datatype"
	"headgate/gateway/point"
)

// FuzzDecode has every type in every order take any bytes: what comes out is a
// value that JSON can carry or a reason, never both, and what was read can be
// written again and reads the same.
func FuzzDecode(f *testing.F) {
	f.Add(uint8(1), uint8(0), uint8(0), []byte{0x09, 0x0a})
	f.Add(uint8(7), uint8(1), uint8(0), []byte{0x99, 0x9a, 0x41, 0xbb})
	f.Add(uint8(20), uint8(0), uint8(9), []byte{0x12, 0x3a, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe})
	f.Add(uint8(24), uint8(3), uint8(0), []byte("S\xb0M\x00"))
	f.Fuzz(func(t *testing.T, typ, ord, more uint8, b []byte) {
		p := Point{Name: "x", Register: "holding:0", Type: datatype.Types[int(typ)%len(datatype.Types)].Name, Access: "rw"}
		p.Order = datatype.Orders[int(ord)%len(datatype.Orders)].Name
		d := Device{}
		if datatype.Types[int(typ)%len(datatype.Types)].IsText() {
			p.Length = 7
		} else if more&1 != 0 {
			p.Exponent, p.Access = "holding:5", "r"
		}
		if more&2 != 0 {
			p.Scale, p.Offset = 0.1, -40
		}
		if more&4 != 0 {
			p.Bits = "3:9"
		}
		c := Config{Device: []Device{d}}
		c.Device[0].Point = []Point{p}
		c.SetDefaults()
		good := true
		c.Device[0].checkPoint(&c.Device[0].Point[0], func(string, string, ...any) { good = false })
		x, err := newField(c.Device[0], c.Device[0].Point[0])
		if !good {
			return
		}
		if err != nil {
			t.Fatalf("%+v is good, but: %v", p, err)
		}
		data := make([]byte, 2*x.size())
		copy(data, b)
		v, err := x.decode(data)
		if (err == nil) == (v == point.Value{}) {
			t.Fatalf("%+v of % x: %v and %v", p, data, v, err)
		}
		if err != nil {
			return
		}
		if text := v.AppendJSON(nil); !json.Valid(text) || string(text) == "null" {
			t.Fatalf("%+v of % x: %s is no JSON value", p, data, text)
		}
		if n, ok := v.Float(); p.Access != "rw" || x.Type.IsText() || ok && p.Scale != 0 && math.Abs(n) > 1e15 {
			return // a float64 has no more digits than that
		}
		again, err := x.encode(v)
		if err != nil {
			t.Fatalf("%+v of % x: %v cannot be written again: %v", p, data, v, err)
		}
		for i := range again.data {
			if again.mask != nil {
				again.data[i] |= data[i] &^ again.mask[i]
			}
		}
		back, err := x.decode(again.data)
		if a, ok := v.Float(); ok && p.Scale != 0 && err == nil {
			// Scale and offset of a float64 round.
			if b, ok := back.Float(); ok && math.Abs(a-b) <= 1e-12*max(math.Abs(a), 100) {
				return
			}
		}
		if err != nil || back != v {
			t.Fatalf("%+v of % x: %v was written, and is %v, %v", p, data, v, back, err)
		}
	})
}
