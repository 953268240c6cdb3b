package serial

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"headgate/adapters/datatype"
	"headgate/gateway/point"
)

// field is one point, and what becomes of its text.
type field struct {
	Point
	number  datatype.Field
	invalid map[string]bool
}

func newField(p Point) field {
	f := field{Point: p}
	f.number.SetNumber(p.Number)
	for _, v := range p.Invalid {
		if f.invalid == nil {
			f.invalid = map[string]bool{}
		}
		f.invalid[fmt.Sprint(v)] = true
	}
	return f
}

// info is the field as the gateway knows it; staleAfter is that of its device.
func (f *field) info(staleAfter time.Duration) point.Info {
	info := point.Info{Name: f.Name, Unit: f.Unit, Report: f.Report, Interval: cmp.Or(f.StaleAfter, staleAfter)}
	if place, _, err := newPlace(f.Point); err == nil { // of bytes
		place.Describe(&info)
		return info
	}
	info.Min, info.Max, info.Bounded = f.number.Min, f.number.Max, f.number.Min != nil && f.number.Max != nil
	switch {
	case len(f.Enum) > 0: // what it does not have is published as it is
	case f.Type == "number", f.Type == "degrees":
		info.Kind = point.Float
	case f.Type == "text":
		info.Kind = point.String
	}
	return info
}

// none is the sample of a point of which the message says that it has no value.
func (f *field) none(at time.Time) point.Sample {
	return f.bad(errors.New("the device gives no value"), at)
}

func (f *field) bad(err error, at time.Time) point.Sample {
	return point.Sample{Point: f.Name, Unit: f.Unit, Time: at, Quality: point.Bad, Reason: err.Error()}
}

func (f *field) good(v point.Value, at time.Time) point.Sample {
	return point.Sample{Point: f.Name, Unit: f.Unit, Time: at, Value: v}
}

// sample makes one sample of the text of a value.
func (f *field) sample(text string, at time.Time) point.Sample {
	if f.invalid != nil || f.Enum != nil {
		trimmed := strings.TrimSpace(text)
		if f.invalid[trimmed] {
			return f.bad(fmt.Errorf("the device says that it has no value: it gives %.40q", trimmed), at)
		}
		if name, ok := f.Enum[trimmed]; ok {
			return f.good(point.OfString(name), at)
		}
	}
	if f.Type == "text" {
		return f.text(text, at)
	}
	n, err := parseNumber(text)
	switch {
	case err != nil && f.Type == "auto":
		return f.text(text, at)
	case err != nil:
		return f.bad(err, at)
	}
	return f.scaled(n, text, at)
}

func (f *field) text(text string, at time.Time) point.Sample {
	return f.good(point.OfString(strings.ToValidUTF8(text, "\ufffd")), at)
}

// scaled makes the sample of a number, which stands in the message as text.
func (f *field) scaled(n point.Value, text string, at time.Time) point.Sample {
	switch n.Kind() {
	case point.Int:
		i, _ := n.Int()
		n = f.number.Scaling.OfInt(uint64(i), false)
	case point.Uint:
		u, _ := n.Uint()
		n = f.number.Scaling.OfInt(u, true)
	default:
		x, _ := n.Float()
		n = f.number.Scaling.OfFloat(x)
	}
	if x, _ := n.Float(); !finite(x) {
		return f.bad(fmt.Errorf("%.40q is too large once it is scaled", text), at)
	}
	n, err := f.number.Within(f.number.Round(n))
	if err != nil {
		return f.bad(err, at)
	}
	return f.good(n, at)
}

// parseNumber reads a decimal number, as devices write them: with blanks around
// it and behind its sign, with zeros before it.
func parseNumber(text string) (point.Value, error) {
	s := strings.TrimSpace(text)
	if s != "" && (s[0] == '-' || s[0] == '+') {
		s = s[:1] + strings.TrimLeft(s[1:], " ")
	}
	// strconv would take hexadecimal, "inf" and "nan" as well.
	if strings.Trim(s, "0123456789+-.eE") != "" {
		return point.Value{}, fmt.Errorf("%.40q is not a number", text)
	}
	return point.ParseNumber(s)
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
