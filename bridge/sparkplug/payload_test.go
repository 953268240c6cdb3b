package sparkplug

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// at is a time in whole milliseconds, as the wire has it.
var at = time.Date(2026, 11, 23, 18, 4, 5, 123e6, time.UTC)

// of makes a value that can be made.
func of(t testing.TB, typ DataType, x any) Value {
	t.Helper()
	v, err := Of(typ, x)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// every is a payload with each type that can be made, and with everything that a
// metric may have.
func every(t testing.TB) *Payload {
	t.Helper()
	p := &Payload{Timestamp: at, Seq: 255, HasSeq: true}
	add := func(name string, typ DataType, x any) {
		p.Metrics = append(p.Metrics, Metric{Name: name, Timestamp: at, DataType: typ, Value: of(t, typ, x)})
	}
	add("i8", Int8, int64(-128))
	add("i16", Int16, int64(-32768))
	add("i32", Int32, int64(math.MinInt32))
	add("i64", Int64, int64(math.MinInt64))
	add("u8", UInt8, uint64(255))
	add("u16", UInt16, uint64(65535))
	add("u32", UInt32, uint64(math.MaxUint32))
	add("u64", UInt64, uint64(math.MaxUint64))
	add("float", Float, -1.5)
	add("double", Double, 231.4)
	add("yes", Boolean, true)
	add("no", Boolean, false)
	add("string", String, "grün")
	add("when", DateTime, uint64(at.UnixMilli()))
	add("text", Text, "")
	add("uuid", UUID, "6f1c2a34-0000-4000-8000-1234567890ab")
	add("bytes", Bytes, []byte{0, 255, 7})
	p.Metrics[3].HasAlias, p.Metrics[3].Alias = true, math.MaxUint32
	p.Metrics[4].Historical = true
	p.Metrics[5].Transient = true
	p.Metrics = append(p.Metrics, Metric{Name: "bad", Timestamp: at, DataType: Double, Null: true, Properties: []Property{
		{Key: "Quality", DataType: Int32, Value: of(t, Int32, int64(500))},
		{Key: "engUnit", DataType: String, Value: of(t, String, "°C")},
		{Key: "gone", DataType: Boolean, Null: true},
	}})
	return p
}

func TestWhatIsEncodedIsDecodedAsItWas(t *testing.T) {
	t.Parallel()
	want := every(t)
	got, err := Decode(want.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAnEmptyPayloadIsOne(t *testing.T) {
	t.Parallel()
	p, err := Decode(nil)
	if err != nil || p.HasSeq || !p.Timestamp.IsZero() || len(p.Metrics) != 0 {
		t.Errorf("got %+v, %v", p, err)
	}
	if b := new(Payload).Append(nil); len(b) != 0 {
		t.Errorf("an empty one has the bytes %x", b)
	}
}

func TestASequenceNumberOfZeroIsWritten(t *testing.T) {
	t.Parallel()
	if b := (&Payload{HasSeq: true}).Append(nil); !bytes.Equal(b, []byte{3 << 3, 0}) {
		t.Errorf("got %x", b)
	}
}

func TestAValueIsReadAsTheTypeThatIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		from DataType
		x    any
		to   DataType
		want any // nil: an error
	}{
		{"an Int8 of 32 bits", Int32, int64(-1), Int8, int64(-1)},
		{"an Int8 of 8 bits", UInt8, uint64(0xff), Int8, int64(-1)},
		{"too great for an Int8", Int32, int64(128), Int8, int64(-128)},
		{"much too great for an Int8", Int32, int64(300), Int8, nil},
		{"a UInt32 in the field of an int", Int32, int64(7), UInt32, uint64(7)},
		{"an Int32 in the field of a long", UInt32, uint64(math.MaxUint32), Int32, int64(-1)},
		{"a negative in a UInt64", Int64, int64(-1), UInt64, uint64(math.MaxUint64)},
		{"a double that is whole", Double, 21.0, Int16, int64(21)},
		{"a double that is not", Double, 21.5, Int16, nil},
		{"a whole number as a double", Int64, int64(-3), Double, -3.0},
		{"an int as a double", Int32, int64(-3), Double, -3.0},
		{"a float as a double", Float, 0.5, Double, 0.5},
		{"a bool as a number", Boolean, true, Int32, nil},
		{"a text as a bool", String, "true", Boolean, nil},
		{"a number as a text", Double, 1.0, String, nil},
		{"a data set", String, "x", DataSet, nil},
	} {
		got, err := of(t, c.from, c.x).As(c.to)
		if got != c.want || (err == nil) != (c.want != nil) {
			t.Errorf("%s: got %v (%T), %v; want %v", c.name, got, got, err, c.want)
		}
	}
	if _, err := (Value{}).As(Int32); err == nil {
		t.Error("there is none, and it was read")
	}
}

func TestWhatDoesNotFitIsNotMade(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ DataType
		x   any
	}{
		{Int8, int64(128)}, {Int8, int64(-129)}, {UInt8, int64(-1)}, {UInt8, uint64(256)}, {UInt64, int64(-1)}, {Int64, uint64(1 << 63)},
		{Int32, 1.5}, {UInt64, 0x1p64}, {Boolean, int64(1)}, {String, true}, {Double, "1"}, {DataSet, "x"}, {Unknown, "x"}, {DataType(99), "x"}, {Int32, math.NaN()},
	} {
		if v, err := Of(c.typ, c.x); err == nil {
			t.Errorf("%v of %v: got %+v", c.typ, c.x, v)
		}
	}
}

func TestWhatIsBrokenIsRefused(t *testing.T) {
	t.Parallel()
	many := &Payload{Metrics: make([]Metric, maxMetrics+1)}
	properties := &Payload{Metrics: []Metric{{Properties: make([]Property, maxProperties+1)}}}
	for name, b := range map[string][]byte{
		"cut":                  every(t).Append(nil)[:49],
		"group end":            {1<<3 | 4},
		"field 0":              {0, 0},
		"a name not of UTF-8":  {2<<3 | 2, 3, 1<<3 | 2, 1, 0xff},
		"a value not of UTF-8": {2<<3 | 2, 3, 15<<3 | 2, 1, 0xff},
		"keys without values":  {2<<3 | 2, 5, 9<<3 | 2, 3, 1<<3 | 2, 1, 'a'},
		"too many metrics":     many.Append(nil),
		"too many properties":  properties.Append(nil),
		"too large":            make([]byte, MaxBytes+1),
	} {
		if p, err := Decode(b); err == nil {
			t.Errorf("%s: got %d metrics", name, len(p.Metrics))
		}
	}
}

func TestTextsThatAreNotUTF8AreMadeSo(t *testing.T) {
	t.Parallel()
	p := Payload{Metrics: []Metric{{Name: "a\xff", Value: of(t, String, "\xfe")}}}
	got, err := Decode(p.Append(nil))
	if err != nil || got.Metrics[0].Name != "a\uFFFD" {
		t.Fatalf("got %+v, %v", got, err)
	}
	if s, _ := got.Metrics[0].Value.As(String); s != "\uFFFD" {
		t.Errorf("got %q", s)
	}
}

func TestEachTypeHasItsName(t *testing.T) {
	t.Parallel()
	if len(names) != int(DateTimeArray)+1 || Template.String() != "Template" || DateTimeArray.String() != "DateTimeArray" || !strings.Contains(DataType(99).String(), "99") {
		t.Errorf("%d names, the last %v", len(names), DateTimeArray)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(every(f).Append(nil))
	f.Add([]byte{})
	f.Add([]byte{2<<3 | 2, 3, 1<<3 | 2, 1, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Decode(b)
		if err != nil {
			return
		}
		for i := range p.Metrics {
			for typ := range DateTimeArray + 1 {
				if x, err := p.Metrics[i].Value.As(typ); err == nil {
					if _, err := Of(typ, x); err != nil {
						t.Fatalf("metric %d: %v as %v is not made again: %v", i, x, typ, err)
					}
				}
			}
		}
		again, err := Decode(p.Append(nil))
		if err != nil {
			t.Fatalf("what was decoded and encoded is not decoded again: %v", err)
		}
		if len(again.Metrics) != len(p.Metrics) || again.Seq != p.Seq {
			t.Fatalf("got %+v, want %+v", again, p)
		}
	})
}
