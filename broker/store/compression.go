package store

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Compression is how the segments of a store are compressed.
type Compression string

const (
	NoCompression Compression = "none"
	Zstd          Compression = "zstd"
)

// A compressed segment has compressedVersion as its version, and instead of the
// records their length (4) and a zstd frame of them; the checksum is that of what
// stands there. One that would not be shorter is not compressed.
const (
	compressedVersion = 2

	lengthSize = 4

	// maxInflated bounds what a segment's records are, whatever it says itself: no
	// segment is larger than with one record of the largest kind.
	maxInflated = maxRecordBytes + headerSize

	// zstdWindow is how far back a repetition is found, which bounds what the
	// encoder needs.
	zstdWindow = maxSegmentBytes
)

// compressor packs the records of segments, and unpacks those of others. Its
// methods may be called from any goroutine; each works on one segment at a time.
type compressor struct {
	enc *zstd.Encoder // nil: segments are left as they are
	dec *zstd.Decoder
}

func newCompressor(c Compression) (*compressor, error) {
	z := new(compressor)
	var err error
	z.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxInflated), zstd.WithDecodeAllCapLimit(true))
	if err == nil && c == Zstd {
		z.enc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	}
	if err != nil {
		return nil, fmt.Errorf("set up zstd: %w", err)
	}
	return z, nil
}

// pack gives a segment's header, still empty, with packed records after it, and
// room for n bytes more; nil if they are to be left as they are.
func (z *compressor) pack(records []byte, n int) []byte {
	if z == nil || z.enc == nil {
		return nil
	}
	buf := make([]byte, headerSize+lengthSize, headerSize+lengthSize+len(records)/2+n)
	binary.BigEndian.PutUint32(buf[headerSize:], uint32(len(records)))
	buf = z.enc.EncodeAll(records, buf)
	if len(buf)-headerSize >= len(records) {
		return nil
	}
	return buf
}

// unpack gives the records that were packed.
func (z *compressor) unpack(packed []byte) ([]byte, error) {
	if len(packed) < lengthSize {
		return nil, segmentError("%d bytes of packed records", len(packed))
	}
	n := binary.BigEndian.Uint32(packed)
	if n > maxInflated {
		return nil, segmentError("%d bytes of records: at most %d are in a segment", n, maxInflated)
	}
	records, err := z.dec.DecodeAll(packed[lengthSize:], make([]byte, 0, n))
	if err != nil {
		return nil, segmentError("unpack %d bytes: %v", len(packed), err)
	}
	if len(records) != int(n) {
		return nil, segmentError("%d bytes of records, it says %d", len(records), n)
	}
	return records, nil
}
