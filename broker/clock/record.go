package clock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The record is its format's version, the id of the boot that runs, and for each
// boot whether its offset is known, how much its number is above the one before,
// last, before, and the offset if it is known; then CRC32C of all that (4).
const recordFormat = 1

// ErrDamaged is what New finds a record to be that it cannot use.
var ErrDamaged = errors.New("clock record is damaged")

func encodeRecord(id [16]byte, bs boots) []byte {
	dst := append([]byte{recordFormat}, id[:]...)
	var number uint32
	for _, b := range bs {
		known := byte(0)
		if b.known {
			known = 1
		}
		dst = binary.AppendUvarint(append(dst, known), uint64(b.number-number))
		number = b.number
		dst = binary.AppendVarint(binary.AppendVarint(dst, b.last), b.before)
		if b.known {
			dst = binary.AppendVarint(dst, b.offset)
		}
	}
	return binary.LittleEndian.AppendUint32(dst, checksum(dst))
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// decodeRecord gives at least one boot, or an error.
func decodeRecord(b []byte) (id [16]byte, bs boots, err error) {
	const header, trailer = 1 + len(id), 4
	if len(b) < header+trailer {
		return id, nil, fmt.Errorf("%w: it has %d bytes", ErrDamaged, len(b))
	}
	body, sum := b[:len(b)-trailer], b[len(b)-trailer:]
	if checksum(body) != binary.LittleEndian.Uint32(sum) {
		return id, nil, fmt.Errorf("%w: its checksum is wrong", ErrDamaged)
	}
	if b[0] > recordFormat {
		return id, nil, fmt.Errorf("clock record of format %d: a newer headgate wrote it, this one reads format %d at most", b[0], recordFormat)
	}
	copy(id[:], b[1:])
	var number uint32
	for r := (fields{b: body[header:]}); len(r.b) > 0 || r.bad; {
		known := r.uint32()
		x := boot{number: number + r.uint32(), last: r.varint(), before: r.varint(), known: known == 1}
		if x.known {
			x.offset = r.varint()
		}
		if r.bad || known > 1 || x.number <= number {
			return id, nil, fmt.Errorf("%w: boot %d in it", ErrDamaged, len(bs))
		}
		bs, number = append(bs, x), x.number
	}
	if len(bs) == 0 {
		return id, nil, fmt.Errorf("%w: no boot is in it", ErrDamaged)
	}
	return id, bs, nil
}
