package expression

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"headgate/gateway/point"
)

// plain are the functions of numbers that remember nothing: with how many arguments
// at least and at most (0: any), and what they make of them.
var plain = map[string]struct {
	least, most int
	compute     func(x []float64) float64
}{
	"abs":   {1, 1, func(x []float64) float64 { return math.Abs(x[0]) }},
	"ceil":  {1, 1, func(x []float64) float64 { return math.Ceil(x[0]) }},
	"floor": {1, 1, func(x []float64) float64 { return math.Floor(x[0]) }},
	"round": {1, 2, round},
	"sqrt":  {1, 1, func(x []float64) float64 { return math.Sqrt(x[0]) }},
	"exp":   {1, 1, func(x []float64) float64 { return math.Exp(x[0]) }},
	"log":   {1, 1, func(x []float64) float64 { return math.Log(x[0]) }},
	"log10": {1, 1, func(x []float64) float64 { return math.Log10(x[0]) }},
	"sin":   {1, 1, func(x []float64) float64 { return math.Sin(x[0]) }},
	"cos":   {1, 1, func(x []float64) float64 { return math.Cos(x[0]) }},
	"min":   {1, 0, func(x []float64) float64 { return slices.Min(x) }},
	"max":   {1, 0, func(x []float64) float64 { return slices.Max(x) }},
	"sum":   {1, 0, sum},
	"mean":  {1, 0, func(x []float64) float64 { return sum(x) / float64(len(x)) }},
}

func sum(x []float64) (s float64) {
	for _, v := range x {
		s += v
	}
	return s
}

// round rounds to a number of decimals, 0 if none is given.
func round(x []float64) float64 {
	if len(x) == 1 {
		return math.Round(x[0])
	}
	digits := int(math.Max(0, math.Min(15, x[1])))
	f, _ := strconv.ParseFloat(strconv.FormatFloat(x[0], 'f', digits, 64), 64)
	return f
}

// others are the functions of other things.
var others = []string{"value", "number", "text", "len"}

// call reads the arguments of a function and makes its node; the opening bracket is
// read already.
func (p *parser) call(f token) (node, error) {
	args, err := p.items(")")
	if err != nil {
		return node{}, err
	}
	if spec, ok := plain[f.word]; ok {
		if len(args) < spec.least || spec.most > 0 && len(args) > spec.most {
			return node{}, &Error{f.at, fmt.Sprintf("%s() has %d arguments; want %s", f.word, len(args), countOf(spec.least, spec.most))}
		}
		for _, a := range args {
			if err := want(a, Number, "in "+f.word+"()"); err != nil {
				return node{}, err
			}
		}
		return p.finish(node{typ: Number, eval: func(r *run) any {
			x := make([]float64, len(args))
			for i, a := range args {
				var ok bool
				if x[i], ok = r.number(a.eval, a.what); !ok {
					return nil
				}
			}
			return r.finite(spec.compute(x), f.word+"()")
		}}, f.at), nil
	}
	if spec, ok := remembering[f.word]; ok {
		if p.names.Stateless {
			return node{}, &Error{f.at, fmt.Sprintf("%s() remembers what was before, which only a derived point can", f.word)}
		}
		return p.remember(f, spec, args)
	}
	switch f.word {
	case "value":
		return p.valueCall(f, args)
	case "number", "text", "len":
		if len(args) != 1 {
			return node{}, &Error{f.at, fmt.Sprintf("%s() has %d arguments; want 1", f.word, len(args))}
		}
		return p.finish(conversion(f.word, args[0]), f.at), nil
	}
	known := slices.Sorted(maps.Keys(plain))
	known = slices.Concat(known, slices.Sorted(maps.Keys(remembering)), others)
	hint := "; there are " + strings.Join(known, ", ")
	if p.names.DidYouMean != nil {
		if h := p.names.DidYouMean(f.word, known); h != "" {
			hint = h
		}
	}
	return node{}, &Error{f.at, fmt.Sprintf("there is no function %s()%s", f.word, hint)}
}

func countOf(least, most int) string {
	switch {
	case most == 0:
		return fmt.Sprintf("%d or more", least)
	case least == most:
		return strconv.Itoa(least)
	}
	return fmt.Sprintf("%d to %d", least, most)
}

// valueCall is value("device", "point"), for names that cannot be written with dots.
func (p *parser) valueCall(f token, args []node) (node, error) {
	var path []string
	for _, a := range args {
		s, ok := a.constant.(string)
		if !ok {
			return node{}, &Error{a.at, fmt.Sprintf("%s: want names in quotes, as in value(\"meter-1\", \"voltage\")", a.what)}
		}
		path = append(path, s)
	}
	if len(path) == 0 || len(path) > 2 {
		return node{}, &Error{f.at, fmt.Sprintf("value() has %d arguments; want a device and a point, as in value(\"meter-1\", \"voltage\")", len(args))}
	}
	slot, used, err := p.names.Lookup(path)
	if err == nil && used != len(path) {
		err = fmt.Errorf("%q is an input: it is written value(%q), its members behind it", path[0], path[0])
	}
	if err != nil {
		return node{}, &Error{args[0].at, err.Error()}
	}
	return p.input(slot, f.at), nil
}

// conversion makes a number or a text of a value.
func conversion(f string, arg node) node {
	typ := Number
	if f == "text" {
		typ = Text
	}
	return node{typ: typ, eval: func(r *run) any {
		v := arg.eval(r)
		if v == nil {
			return nil
		}
		if f == "len" {
			switch v := v.(type) {
			case string:
				return float64(utf8.RuneCountInString(v))
			case []any:
				return float64(len(v))
			case map[string]any:
				return float64(len(v))
			}
			return r.fail("%s is %s and has no length", arg.what, typeOf(v))
		}
		value, ok := ToValue(v)
		if !ok {
			return r.fail("%s is %s, want a number, a bool or a text", arg.what, typeOf(v))
		}
		if f == "text" {
			return value.String()
		}
		if s, ok := v.(string); ok {
			var err error
			if value, err = point.ParseNumber(strings.TrimSpace(s)); err != nil {
				return r.fail("%s: %v", arg.what, err)
			}
		}
		n, _ := value.Float()
		return r.finite(n, arg.what)
	}}
}
