package expression

import (
	"fmt"
	"math"
	"reflect"
	"strings"

	"headgate/gateway/point"
)

// operation makes the node of an operator with two sides.
func operation(op token, left, right node) (node, error) {
	where := "beside " + op.word
	both := func(typ Type) error {
		if err := want(left, typ, where); err != nil {
			return err
		}
		return want(right, typ, where)
	}
	switch op.word {
	case "??":
		return node{typ: common(left, right), eval: func(r *run) any { return otherwise(r, left.eval, right.eval) }}, nil
	case "and", "&&", "or", "||":
		if err := both(Bool); err != nil {
			return node{}, err
		}
		return logic(op.word == "or" || op.word == "||", left, right), nil
	case "==", "!=":
		return equality(op, left, right)
	case "in":
		return node{typ: Bool, eval: func(r *run) any { return contained(r, left, right) }}, nil
	case "contains", "startsWith", "endsWith":
		if err := both(Text); err != nil {
			return node{}, err
		}
		test := map[string]func(a, b string) bool{"contains": strings.Contains, "startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix}[op.word]
		return node{typ: Bool, eval: func(r *run) any {
			a, b := left.eval(r), right.eval(r)
			if a == nil || b == nil {
				return nil
			}
			x, isX := a.(string)
			y, isY := b.(string)
			if !isX || !isY {
				return r.fail("%s %s %s: want texts, got %s and %s", left.what, op.word, right.what, typeOf(a), typeOf(b))
			}
			return test(x, y)
		}}, nil
	case "<", "<=", ">", ">=":
		return comparison(op, left, right)
	case "+":
		return addition(left, right)
	}
	if err := both(Number); err != nil {
		return node{}, err
	}
	compute := arithmetic(op.word)
	what := left.what + " " + op.word + " " + right.what
	return node{typ: Number, eval: func(r *run) any {
		a, ok := r.number(left.eval, left.what)
		if !ok {
			return nil
		}
		b, ok := r.number(right.eval, right.what)
		if !ok {
			return nil
		}
		return r.finite(compute(a, b), what)
	}}, nil
}

func arithmetic(op string) func(a, b float64) float64 {
	switch op {
	case "-":
		return func(a, b float64) float64 { return a - b }
	case "*":
		return func(a, b float64) float64 { return a * b }
	case "/":
		return func(a, b float64) float64 { return a / b }
	case "%":
		return math.Mod
	}
	return math.Pow
}

func common(a, b node) Type {
	if a.typ == b.typ {
		return a.typ
	}
	return Any
}

// otherwise computes b where a cannot be; what was wrong with a does not count then.
func otherwise(r *run, a, b eval) any {
	before := *r
	if v := a(r); v != nil {
		return v
	}
	r.quality, r.reason = before.quality, before.reason
	return b(r)
}

// logic computes what is needed: the right side counts only where the left one does
// not decide.
func logic(or bool, left, right node) node {
	return node{typ: Bool, eval: func(r *run) any {
		on, ok := r.bool(left.eval, left.what)
		if !ok {
			return nil
		}
		if on == or {
			return on
		}
		if on, ok = r.bool(right.eval, right.what); ok {
			return on
		}
		return nil
	}}
}

func isNil(n node) bool { return n.what == "nil" || n.what == "null" }

func equality(op token, left, right node) (node, error) {
	if left.typ != Any && right.typ != Any && left.typ != right.typ {
		return node{}, &Error{op.at, fmt.Sprintf("%s is %v and %s is %v: they are never equal", left.what, left.typ, right.what, right.typ)}
	}
	negated := op.word == "!="
	if isNil(right) || isNil(left) {
		n := left
		if isNil(left) {
			n = right
		}
		return node{typ: Bool, eval: func(r *run) any {
			quality, reason := r.quality, r.reason
			v := n.eval(r)
			if v == nil {
				r.quality, r.reason = quality, reason
			}
			return (v == nil) != negated
		}}, nil
	}
	return node{typ: Bool, eval: func(r *run) any {
		a, b := left.eval(r), right.eval(r)
		if a == nil || b == nil {
			return nil
		}
		return reflect.DeepEqual(a, b) != negated
	}}, nil
}

func contained(r *run, left, right node) any {
	v, in := left.eval(r), right.eval(r)
	if v == nil || in == nil {
		return nil
	}
	switch in := in.(type) {
	case []any:
		for _, item := range in {
			if reflect.DeepEqual(item, v) {
				return true
			}
		}
		return false
	case map[string]any:
		if key, ok := v.(string); ok {
			_, there := in[key]
			return there
		}
	}
	return r.fail("%s is %s, want a list like [1, 2]", right.what, typeOf(in))
}

func comparison(op token, left, right node) (node, error) {
	for _, n := range []node{left, right} {
		if n.typ == Bool {
			return node{}, &Error{n.at, fmt.Sprintf("%s is a bool; want numbers or texts beside %s", n.what, op.word)}
		}
	}
	if left.typ != Any && right.typ != Any && left.typ != right.typ {
		return node{}, &Error{op.at, fmt.Sprintf("%s is %v and %s is %v: they cannot be compared", left.what, left.typ, right.what, right.typ)}
	}
	holds := map[string]func(sign int) bool{
		"<": func(sign int) bool { return sign < 0 }, "<=": func(sign int) bool { return sign <= 0 },
		">": func(sign int) bool { return sign > 0 }, ">=": func(sign int) bool { return sign >= 0 },
	}[op.word]
	return node{typ: Bool, eval: func(r *run) any {
		a, b := left.eval(r), right.eval(r)
		if a == nil || b == nil {
			return nil
		}
		if x, ok := a.(float64); ok {
			if y, ok := b.(float64); ok {
				switch {
				case x < y:
					return holds(-1)
				case x > y:
					return holds(1)
				}
				return holds(0)
			}
		}
		if x, ok := a.(string); ok {
			if y, ok := b.(string); ok {
				return holds(strings.Compare(x, y))
			}
		}
		return r.fail("%s is %s and %s is %s: they cannot be compared", left.what, typeOf(a), right.what, typeOf(b))
	}}, nil
}

// addition is that of two numbers, or of two texts.
func addition(left, right node) (node, error) {
	for _, n := range []node{left, right} {
		if n.typ == Bool {
			return node{}, &Error{n.at, fmt.Sprintf("%s is a bool; want numbers or texts beside +", n.what)}
		}
	}
	if left.typ != Any && right.typ != Any && left.typ != right.typ {
		return node{}, &Error{right.at, fmt.Sprintf("%s is %v and %s is %v: text(%s) makes a text of it", left.what, left.typ, right.what, right.typ, right.what)}
	}
	typ := left.typ
	if typ == Any {
		typ = right.typ
	}
	what := left.what + " + " + right.what
	return node{typ: typ, eval: func(r *run) any {
		a, b := left.eval(r), right.eval(r)
		if a == nil || b == nil {
			return nil
		}
		if x, ok := a.(float64); ok {
			if y, ok := b.(float64); ok {
				return r.finite(x+y, what)
			}
		}
		if x, ok := a.(string); ok {
			if y, ok := b.(string); ok {
				if len(x)+len(y) > maxResult {
					return r.fail("%s is longer than 64 kB", what)
				}
				return x + y
			}
		}
		return r.fail("%s is %s and %s is %s: they cannot be added", left.what, typeOf(a), right.what, typeOf(b))
	}}, nil
}

// member makes the node of what is taken out of an object or a list.
func member(n, key node) node {
	return node{eval: func(r *run) any {
		in, k := n.eval(r), key.eval(r)
		if in == nil || k == nil {
			return nil
		}
		switch k := k.(type) {
		case string:
			object, ok := in.(map[string]any)
			if !ok {
				return r.fail("%s is %s and has no %q", n.what, typeOf(in), k)
			}
			if v := object[k]; v != nil {
				return v
			}
			return r.fail("%s has no %q", n.what, k)
		case float64:
			list, ok := in.([]any)
			i := int(k)
			if i < 0 {
				i += len(list)
			}
			if !ok || float64(int(k)) != k || i < 0 || i >= len(list) || list[i] == nil {
				return r.fail("%s has no [%s]", n.what, point.OfFloat(k))
			}
			return list[i]
		}
		return r.fail("%s[%s]: %s is no name and no place in a list", n.what, key.what, typeOf(k))
	}}
}
