package serial

import (
	"encoding/base64"
	"encoding/hex"
	"time"

	"headgate/gateway/point"
)

// rawFormat takes a message as it is.
type rawFormat struct{}

func newRawFormat(points []placed) (rawFormat, error) {
	for _, p := range points {
		switch p.From {
		case "text", "hex", "base64":
		default:
			return rawFormat{}, p.wrong("from", "%q: want how the message is written: \"text\", \"hex\" or \"base64\"", string(p.From))
		}
	}
	return rawFormat{}, nil
}

func (rawFormat) samples(dst []point.Sample, message []byte, fields []field, at time.Time) ([]point.Sample, bool) {
	for i := range fields {
		f := &fields[i]
		switch f.From {
		case "hex":
			dst = append(dst, f.good(point.OfString(hex.EncodeToString(message)), at))
		case "base64":
			dst = append(dst, f.good(point.OfString(base64.StdEncoding.EncodeToString(message)), at))
		default:
			dst = append(dst, f.sample(string(message), at))
		}
	}
	return dst, true
}
