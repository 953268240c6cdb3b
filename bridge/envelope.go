package bridge

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"headgate/gateway/format"
)

// envelope is how messages stand in a batch.
type envelope uint8

const (
	jsonEnvelope envelope = iota // an array of {"topic":...,"payload":...}
	lineEnvelope                 // payloads, each on a line
	cborEnvelope                 // as jsonEnvelope, in CBOR
)

func (u *Up) envelope() envelope {
	switch u.Format {
	case format.Influx, format.Template:
		return lineEnvelope
	case format.CBOR:
		return cborEnvelope
	}
	return jsonEnvelope
}

// appendEntry appends a message as it stands in a batch. recoded says that payload
// is in the entry's own format: only then it is CBOR or a line.
func (e envelope) appendEntry(dst []byte, topic string, payload []byte, retain, recoded bool) []byte {
	switch e {
	case lineEnvelope:
		return append(dst, payload...)
	case cborEnvelope:
		return format.AppendCBORMessage(dst, topic, payload, retain, recoded)
	}
	dst = format.AppendString(append(dst, `{"topic":`...), topic)
	if retain {
		dst = append(dst, `,"retain":true`...)
	}
	switch {
	case !utf8.Valid(payload):
		dst = append(dst, `,"base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, payload)
		return append(dst, `"}`...)
	case json.Valid(payload):
		dst = append(append(dst, `,"payload":`...), payload...)
	default:
		dst = format.AppendString(append(dst, `,"text":`...), string(payload))
	}
	return append(dst, '}')
}

// join makes the payload of a batch.
func (e envelope) join(entries [][]byte) []byte {
	switch e {
	case lineEnvelope:
		return bytes.Join(entries, []byte{'\n'})
	case cborEnvelope:
		return append(format.AppendCBORArray(nil, len(entries)), bytes.Join(entries, nil)...)
	}
	out := append([]byte{'['}, bytes.Join(entries, []byte{','})...)
	return append(out, ']')
}

// around is what join adds to an entry, at most.
const around = 10

func (e envelope) contentType(u *Up) string {
	switch e {
	case lineEnvelope:
		return u.contentType
	case cborEnvelope:
		return "application/cbor"
	}
	return "application/json"
}

// zstdWindow is how far back a repetition is found, which bounds what the encoder
// needs.
const zstdWindow = 256 << 10

// packer compresses payloads, each on its own. What it needs for that it has from
// the first one on.
type packer struct {
	zstd *zstd.Encoder
	gzip *gzip.Writer
}

func (p *packer) pack(compression string, payload []byte) ([]byte, error) {
	switch compression {
	case compressionZstd:
		if p.zstd == nil {
			var err error
			if p.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true)); err != nil {
				return nil, fmt.Errorf("set up zstd: %w", err)
			}
		}
		return p.zstd.EncodeAll(payload, nil), nil
	case compressionGzip:
		var out bytes.Buffer
		if p.gzip == nil {
			p.gzip = gzip.NewWriter(&out)
		} else {
			p.gzip.Reset(&out)
		}
		if _, err := p.gzip.Write(payload); err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		if err := p.gzip.Close(); err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return out.Bytes(), nil
	}
	return payload, nil
}
