package format

import (
	"encoding/binary"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"headgate/gateway/point"
)

// The major types, in the upper three bits of an item's first byte. [RFC 8949 3.1]
const (
	cborUint     = 0 << 5
	cborNegative = 1 << 5
	cborBytes    = 2 << 5
	cborText     = 3 << 5
	cborArray    = 4 << 5
	cborMap      = 5 << 5
	cborTag      = 6 << 5
	cborFloat32  = 7<<5 | 26
	cborFloat64  = 7<<5 | 27
	cborFalse    = 7<<5 | 20
	cborTrue     = 7<<5 | 21
	cborNull     = 7<<5 | 22

	cborEpoch = 1 // tag: seconds since 1970 [RFC 8949 3.4.2]
)

// appendCBOR appends the map that AppendJSON writes, in CBOR. The time is of tag 1,
// seconds since 1970 to the millisecond.
func appendCBOR(dst []byte, s *Sample) []byte {
	n := 3
	for _, there := range [...]bool{s.Unit != "", s.Unsynced, s.Reason != ""} {
		if there {
			n++
		}
	}
	dst = appendHead(dst, cborMap, uint64(n))
	dst = appendCBORValue(appendText(dst, "value"), s.Value)
	if s.Unit != "" {
		dst = appendText(appendText(dst, "unit"), s.Unit)
	}
	dst = appendEpoch(appendText(dst, "time"), s.Time)
	if s.Unsynced {
		dst = appendText(appendText(dst, "clock"), "unsynced")
	}
	dst = appendText(appendText(dst, "quality"), s.Quality.String())
	if s.Reason != "" {
		dst = appendText(appendText(dst, "reason"), briefly(s.Reason))
	}
	return dst
}

func appendCBORValue(dst []byte, v point.Value) []byte {
	switch v.Kind() {
	case point.Bool:
		if on, _ := v.Bool(); on {
			return append(dst, cborTrue)
		}
		return append(dst, cborFalse)
	case point.Int:
		if i, _ := v.Int(); i < 0 {
			return appendHead(dst, cborNegative, ^uint64(i)) // -1-n
		}
		fallthrough
	case point.Uint:
		u, _ := v.Uint()
		return appendHead(dst, cborUint, u)
	case point.Float:
		f, _ := v.Float()
		return appendFloat(dst, f)
	case point.String:
		return appendText(dst, v.String())
	}
	return append(dst, cborNull)
}

// appendHead appends an item's type and its argument in the fewest bytes.
func appendHead(dst []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(dst, major|byte(n))
	case n <= math.MaxUint8:
		return append(dst, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, major|27), n)
}

// appendText appends a text, which must be UTF-8. [RFC 8949 3.1]
func appendText(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, string(utf8.RuneError))
	}
	return append(appendHead(dst, cborText, uint64(len(s))), s...)
}

// appendFloat appends a float, in four bytes where that is the same.
func appendFloat(dst []byte, f float64) []byte {
	if short := float32(f); float64(short) == f {
		return binary.BigEndian.AppendUint32(append(dst, cborFloat32), math.Float32bits(short))
	}
	return binary.BigEndian.AppendUint64(append(dst, cborFloat64), math.Float64bits(f))
}

func appendEpoch(dst []byte, t time.Time) []byte {
	return appendFloat(appendHead(dst, cborTag, cborEpoch), float64(t.UnixMilli())/1000)
}

// AppendCBORArray begins an array of n items.
func AppendCBORArray(dst []byte, n int) []byte { return appendHead(dst, cborArray, uint64(n)) }

// AppendCBORMessage appends a map of topic, payload and, where that is so, retain. The
// payload is one item of CBOR already, or any bytes, and then a byte string.
func AppendCBORMessage(dst []byte, topic string, payload []byte, retain, isCBOR bool) []byte {
	n := uint64(2)
	if retain {
		n++
	}
	dst = appendText(appendText(appendHead(dst, cborMap, n), "topic"), topic)
	if retain {
		dst = append(appendText(dst, "retain"), cborTrue)
	}
	dst = appendText(dst, "payload")
	if !isCBOR {
		dst = appendHead(dst, cborBytes, uint64(len(payload)))
	}
	return append(dst, payload...)
}
