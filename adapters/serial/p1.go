package serial

import (
	"strconv"
	"strings"
	"time"

	"headgate/gateway/point"
)

// p1Format takes values out of telegrams of meters by their OBIS codes: those of
// DSMR P1, and of IEC 62056-21, which have the same form.
//
//	1-0:1.8.1(123456.789*kWh)
//	0-1:24.2.1(101209112500W)(12785.123*m3)
type p1Format struct{ places []p1Place }

// p1Place is one of the values of a code.
type p1Place struct {
	code  string
	value int // from 0; -1: the last
}

func newP1Format(points []placed) (*p1Format, error) {
	p := &p1Format{}
	for _, c := range points {
		place := p1Place{value: -1}
		code, index, indexed := strings.Cut(string(c.From), "[")
		place.code = code
		if indexed {
			digits, closed := strings.CutSuffix(index, "]")
			n, err := strconv.Atoi(digits)
			if err != nil || n < 1 || !closed {
				return nil, c.wrong("from", "%q: want the value's number in brackets, like \"0-1:24.2.1[2]\"; the first is 1", string(c.From))
			}
			place.value = n - 1
		}
		if !strings.Contains(code, ".") || strings.ContainsAny(code, "()\r\n") {
			return nil, c.wrong("from", "%q: want an OBIS code as it stands in the telegram, like \"1-0:1.8.1\"", string(c.From))
		}
		p.places = append(p.places, place)
	}
	return p, nil
}

func (p *p1Format) samples(dst []point.Sample, message []byte, fields []field, at time.Time) (_ []point.Sample, ok bool) {
	rest := string(message)
	for {
		head, after, found := strings.Cut(rest, "(")
		if !found {
			return dst, ok
		}
		code := strings.TrimSpace(head[strings.LastIndexAny(head, "\r\n")+1:])
		var values []string
		for {
			value, behind, closed := strings.Cut(after, ")")
			if !closed {
				return dst, ok
			}
			values, rest = append(values, value), behind
			// The next value of the same code may stand in the next line.
			if after, found = strings.CutPrefix(strings.TrimLeft(rest, " \r\n"), "("); !found {
				break
			}
		}
		ok = true
		for i := range fields {
			if place := p.places[i]; place.code == code && place.value < len(values) {
				if place.value < 0 {
					place.value = len(values) - 1
				}
				value, unit, _ := strings.Cut(values[place.value], "*")
				s := fields[i].cell(value, at)
				if s.Unit == "" {
					s.Unit = strings.ToValidUTF8(unit, "\ufffd")
				}
				dst = append(dst, s)
			}
		}
	}
}
