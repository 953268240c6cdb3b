package clock

import (
	"encoding/hex"
	"reflect"
	"testing"
)

// What stands on disk: a change of these bytes is a new format, and this one
// must still be read.
func TestTheFormatsAreAsTheyWere(t *testing.T) {
	i := Instant{Boot: 0x0A000001, Mono: 3_600_000, Wall: 1_780_000_000_000, Synced: true}
	const wantInstant = "118180805080bab70380a0a484ce67"
	if got := hex.EncodeToString(i.Append(nil)); got != wantInstant {
		t.Errorf("instant: got %s, want %s", got, wantInstant)
	}
	id := [16]byte{0: 0xA0, 15: 2}
	bs := boots{
		{number: 0x0A000001, last: 3_600_000, before: -60_000},
		{number: 0x0A000003, last: 60_000, before: 20_000, offset: 1_780_000_000_000, known: true},
	}
	const wantRecord = "01a0000000000000000000000000000002" +
		"008180805080bab703bfa907" + "0102c0a907c0b80280a0a484ce67" + "60d75395"
	if got := hex.EncodeToString(encodeRecord(id, bs)); got != wantRecord {
		t.Errorf("record: got %s, want %s", got, wantRecord)
	}
}

func TestAnInstantIsReadBack(t *testing.T) {
	for _, want := range []Instant{
		{}, {Boot: 1}, {Boot: 1<<32 - 1, Mono: 1<<63 - 1, Wall: -1 << 63, Synced: true}, {Mono: -5, Wall: 5},
	} {
		b := want.Append(nil)
		got, rest, err := CutInstant(append(b, "rest"...))
		if err != nil || got != want || string(rest) != "rest" {
			t.Errorf("got %+v, %q and %v, want %+v", got, rest, err, want)
		}
		for n := range b {
			if got, _, err := CutInstant(b[:n]); err == nil {
				t.Errorf("%d of %d bytes: got %+v", n, len(b), got)
			}
		}
	}
	for _, first := range []byte{0x00, 0x12, 0x20, 0x21, 0xFF} {
		if _, _, err := CutInstant([]byte{first, 1, 1, 1}); err == nil {
			t.Errorf("format byte %#x passed", first)
		}
	}
}

func TestARecordIsReadBack(t *testing.T) {
	id := [16]byte{1, 2, 3}
	want := boots{{number: 7, last: 10, before: -3}, {number: 9, last: 0, offset: -5, known: true}, {number: 1 << 31, before: 1 << 40}}
	gotID, got, err := decodeRecord(encodeRecord(id, want))
	if err != nil || gotID != id || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %+v and %v, want %v, %+v", gotID, got, err, id, want)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Instant{Boot: 1, Mono: 2, Wall: 3}.Append(nil))
	f.Add(encodeRecord([16]byte{1}, boots{{number: 7, last: 10}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if i, rest, err := CutInstant(b); err == nil {
			again, _, err := CutInstant(i.Append(nil))
			if err != nil || again != i || len(rest) > len(b) {
				t.Errorf("instant %+v comes back as %+v: %v", i, again, err)
			}
		}
		// With a checksum that is right, so that what is behind it is reached.
		sum := checksum(b)
		b = append(b[:len(b):len(b)], byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
		if _, bs, err := decodeRecord(b); err == nil && len(bs) == 0 {
			t.Error("a record without a boot passed")
		}
	})
}
