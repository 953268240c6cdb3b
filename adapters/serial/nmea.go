package serial

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"headgate/gateway/point"
)

// nmeaFormat takes values out of the fields of NMEA 0183 sentences.
type nmeaFormat struct {
	places []nmeaPlace // of each point
	cells  []string
}

// nmeaPlace is a field of a sentence.
type nmeaPlace struct {
	sentence string // three letters: of any talker
	field    int    // 0 is the address, "GPGGA"
}

func newNMEAFormat(points []placed) (*nmeaFormat, error) {
	n := &nmeaFormat{}
	for _, p := range points {
		sentence, number, _ := strings.Cut(string(p.From), ":")
		field, err := strconv.Atoi(number)
		if err != nil || sentence == "" || field < 1 || field > defaultMaxFrame {
			return nil, p.wrong("from", "%q: want a sentence and its field, like \"GGA:9\"; the first behind the name is 1", string(p.From))
		}
		n.places = append(n.places, nmeaPlace{sentence, field})
	}
	return n, nil
}

// is says whether address, like "GPGGA", is that of the sentence.
func (p nmeaPlace) is(address string) bool {
	if len(p.sentence) == 3 && len(address) == 5 && address[0] != 'P' { // P: proprietary, without a talker
		return address[2:] == p.sentence
	}
	return address == p.sentence
}

func (n *nmeaFormat) samples(dst []point.Sample, message []byte, fields []field, at time.Time) ([]point.Sample, bool) {
	text := string(message)
	if text == "" || text[0] != '$' && text[0] != '!' {
		return dst, false
	}
	text, _, _ = strings.Cut(text[1:], "*")
	n.cells = split(n.cells[:0], text, ',')
	if !isAddress(n.cells[0]) {
		return dst, false
	}
	for i := range fields {
		f, place := &fields[i], n.places[i]
		if !place.is(n.cells[0]) {
			continue
		}
		if place.field >= len(n.cells) {
			dst = append(dst, f.bad(fmt.Errorf("the sentence %s has only %d fields", n.cells[0], len(n.cells)-1), at))
			continue
		}
		if f.Type == "degrees" {
			hemisphere := ""
			if place.field+1 < len(n.cells) {
				hemisphere = n.cells[place.field+1]
			}
			dst = append(dst, f.degrees(n.cells[place.field], hemisphere, at))
			continue
		}
		dst = append(dst, f.cell(n.cells[place.field], at))
	}
	return dst, true // a sentence that no point is of is a word of the device, too
}

func isAddress(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return len(s) >= 4
}

// degrees makes degrees of a latitude or a longitude, which NMEA writes as
// degrees and minutes in one number, 4807.038, beside N, S, E or W.
func (f *field) degrees(text, hemisphere string, at time.Time) point.Sample {
	if text == "" {
		return f.none(at)
	}
	whole, _, _ := strings.Cut(text, ".")
	wrong := len(text) > 20 || len(whole) < 3 || strings.Trim(text, "0123456789.") != "" || len(hemisphere) != 1 || !strings.Contains("NSEW", hemisphere)
	var minutes *big.Rat
	var n int
	if !wrong { // of a number with an exponent the Rat could fill the memory
		var ok bool
		minutes, ok = new(big.Rat).SetString(text)
		whole = whole[:len(whole)-2]
		n, _ = strconv.Atoi(whole)
		wrong = !ok || n > 180
	}
	if wrong {
		return f.bad(fmt.Errorf("%.20q %.1q is no latitude or longitude", text, hemisphere), at)
	}
	// degrees = n + (minutes - 100 n) / 60, in exact numbers: 48.1173, not 48.117299999999995.
	minutes.Sub(minutes, big.NewRat(100*int64(n), 1))
	minutes.Quo(minutes, big.NewRat(60, 1)).Add(minutes, big.NewRat(int64(n), 1))
	if hemisphere == "S" || hemisphere == "W" {
		minutes.Neg(minutes)
	}
	const decimals = 8 // of a degree: a millimetre
	x, err := strconv.ParseFloat(minutes.FloatString(decimals), 64)
	if err != nil {
		return f.bad(err, at)
	}
	return f.scaled(point.OfFloat(x), text, at)
}
