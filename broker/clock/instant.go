package clock

import (
	"encoding/binary"
	"errors"
)

// Instant is a moment on this machine. The zero Instant is none.
type Instant struct {
	Mono   int64  // ms since the boot
	Wall   int64  // ms since 1970 by the wall clock
	Boot   uint32 // the boot's number; 0: not known
	Synced bool   // the wall clock was synced
}

// IsZero says whether i is none.
func (i Instant) IsZero() bool { return i == Instant{} }

// An Instant is encoded as its format's version and whether it is synced in one
// byte, then boot as a uvarint, Mono and Wall as varints: about 15 bytes.
const (
	instantFormat = 1 << 4
	instantSynced = 1 << 0
)

var errInstant = errors.New("instant is damaged or of a newer format")

// Append appends i's encoded form.
func (i Instant) Append(dst []byte) []byte {
	first := byte(instantFormat)
	if i.Synced {
		first |= instantSynced
	}
	dst = binary.AppendUvarint(append(dst, first), uint64(i.Boot))
	dst = binary.AppendVarint(dst, i.Mono)
	return binary.AppendVarint(dst, i.Wall)
}

// CutInstant reads what Append wrote, and gives what follows it.
func CutInstant(b []byte) (i Instant, rest []byte, err error) {
	if len(b) == 0 || b[0]&^instantSynced != instantFormat {
		return i, nil, errInstant
	}
	r := fields{b: b[1:]}
	i = Instant{Boot: r.uint32(), Mono: r.varint(), Wall: r.varint(), Synced: b[0]&instantSynced != 0}
	if r.bad {
		return Instant{}, nil, errInstant
	}
	return i, r.b, nil
}

// fields reads varints. After one that is not whole, all are 0.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) varint() int64 {
	v, n := binary.Varint(f.b)
	f.take(n)
	if f.bad {
		return 0
	}
	return v
}

func (f *fields) uint32() uint32 {
	v, n := binary.Uvarint(f.b)
	f.take(n)
	if f.bad || v > 1<<32-1 {
		f.bad = true
		return 0
	}
	return uint32(v)
}

func (f *fields) take(n int) {
	if n <= 0 || f.bad {
		f.bad, f.b = true, nil
		return
	}
	f.b = f.b[n:]
}
