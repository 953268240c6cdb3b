package expression

import (
	"fmt"
	"slices"
	"strings"
)

// node is a part of an expression that has been read.
type node struct {
	eval     eval
	typ      Type
	at       int
	what     string // the text of it, for reasons
	constant any    // its value, when it is written there
}

// parser reads one expression. It checks while it reads.
type parser struct {
	source string
	tokens []token
	depth  int
	names  Names
	prog   *Program
}

// Compile reads an expression. The error is an *Error.
func Compile(source string, names Names) (*Program, error) {
	tokens, err := scan(source)
	if err != nil {
		return nil, err
	}
	p := &parser{source: source, tokens: tokens, names: names, prog: &Program{text: source}}
	if p.peek().kind == end {
		return nil, &Error{0, "the expression is empty"}
	}
	n, err := p.ternary()
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != end {
		return nil, &Error{t.at, fmt.Sprintf("there is %q where the expression should end", t.word)}
	}
	p.prog.root, p.prog.typ = n.eval, n.typ
	return p.prog, nil
}

func (p *parser) peek() token { return p.tokens[0] }

func (p *parser) next() token {
	t := p.tokens[0]
	if t.kind != end {
		p.tokens = p.tokens[1:]
	}
	return t
}

// accept takes the next token if it is this word.
func (p *parser) accept(words ...string) (token, bool) {
	t := p.peek()
	if (t.kind == operator || t.kind == name) && slices.Contains(words, t.word) {
		return p.next(), true
	}
	return t, false
}

func (p *parser) expect(word string) error {
	if t, ok := p.accept(word); !ok {
		if t.kind == end {
			return &Error{t.at, fmt.Sprintf("the expression ends where %q should stand", word)}
		}
		return &Error{t.at, fmt.Sprintf("there is %q where %q should stand", t.word, word)}
	}
	return nil
}

// finish gives the node its text, which began at byte from.
func (p *parser) finish(n node, from int) node {
	n.at = from
	n.what = strings.TrimSpace(p.source[from:p.peek().at])
	return n
}

func (p *parser) ternary() (node, error) {
	if p.depth++; p.depth > maxDepth {
		return node{}, &Error{p.peek().at, "the expression is nested too deep"}
	}
	defer func() { p.depth-- }()
	cond, err := p.binary(0)
	if err != nil {
		return node{}, err
	}
	if _, ok := p.accept("?"); !ok {
		return cond, nil
	}
	if err := want(cond, Bool, "before the ?"); err != nil {
		return node{}, err
	}
	yes, err := p.ternary()
	if err != nil {
		return node{}, err
	}
	if err := p.expect(":"); err != nil {
		return node{}, err
	}
	no, err := p.ternary()
	if err != nil {
		return node{}, err
	}
	typ := yes.typ
	if no.typ != typ {
		typ = Any
	}
	return p.finish(node{typ: typ, eval: func(r *run) any {
		on, ok := r.bool(cond.eval, cond.what)
		switch {
		case !ok:
			return nil
		case on:
			return yes.eval(r)
		}
		return no.eval(r)
	}}, cond.at), nil
}

// precedences of the operators with two sides, as expr-lang has them.
var precedences = map[string]int{
	"or": 10, "||": 10, "and": 15, "&&": 15,
	"==": 20, "!=": 20, "<": 20, "<=": 20, ">": 20, ">=": 20,
	"in": 20, "contains": 20, "startsWith": 20, "endsWith": 20,
	"+": 30, "-": 30, "*": 60, "/": 60, "%": 60, "**": 100, "??": 500,
}

func (p *parser) binary(least int) (node, error) {
	left, err := p.unary()
	if err != nil {
		return node{}, err
	}
	for {
		op := p.peek()
		precedence, ok := precedences[op.word]
		if !ok || op.kind != operator && op.kind != name || precedence < least {
			return left, nil
		}
		p.next()
		above := precedence + 1
		if op.word == "**" {
			above = precedence
		}
		right, err := p.deeper(func() (node, error) { return p.binary(above) })
		if err != nil {
			return node{}, err
		}
		both, err := operation(op, left, right)
		if err != nil {
			return node{}, err
		}
		left = p.finish(both, left.at)
	}
}

// deeper reads a part within another one.
func (p *parser) deeper(read func() (node, error)) (node, error) {
	if p.depth++; p.depth > maxDepth {
		return node{}, &Error{p.peek().at, "the expression is nested too deep"}
	}
	defer func() { p.depth-- }()
	return read()
}

func (p *parser) unary() (node, error) {
	op, ok := p.accept("-", "+", "!", "not")
	if !ok {
		return p.postfix()
	}
	least := 90
	if op.word == "!" || op.word == "not" {
		least = 50
	}
	n, err := p.deeper(func() (node, error) { return p.binary(least) })
	if err != nil {
		return node{}, err
	}
	if least == 50 {
		if err := want(n, Bool, "after "+op.word); err != nil {
			return node{}, err
		}
		return p.finish(node{typ: Bool, eval: func(r *run) any {
			if on, ok := r.bool(n.eval, n.what); ok {
				return !on
			}
			return nil
		}}, op.at), nil
	}
	if err := want(n, Number, "after "+op.word); err != nil {
		return node{}, err
	}
	sign := 1.0
	if op.word == "-" {
		sign = -1
	}
	out := node{typ: Number, eval: func(r *run) any {
		if f, ok := r.number(n.eval, n.what); ok {
			return sign * f
		}
		return nil
	}}
	if f, ok := n.constant.(float64); ok {
		out.constant = sign * f
	}
	return p.finish(out, op.at), nil
}

// postfix reads a value and what is taken out of it.
func (p *parser) postfix() (node, error) {
	from := p.peek().at
	n, err := p.primary()
	if err != nil {
		return node{}, err
	}
	for {
		var key node
		if _, ok := p.accept(".", "?."); ok {
			t := p.next()
			if t.kind != name {
				return node{}, &Error{t.at, "a name should stand after the dot"}
			}
			key = constantNode(t.word, Text, t)
		} else if _, ok := p.accept("["); ok {
			if key, err = p.ternary(); err != nil {
				return node{}, err
			}
			if err := p.expect("]"); err != nil {
				return node{}, err
			}
		} else {
			return n, nil
		}
		if n.typ != Any {
			return node{}, &Error{n.at, fmt.Sprintf("%s is %v and has no members", n.what, n.typ)}
		}
		n = p.finish(member(n, key), from)
	}
}

func constantNode(v any, typ Type, t token) node {
	return node{eval: func(*run) any { return v }, typ: typ, at: t.at, what: t.word, constant: v}
}

func (p *parser) primary() (node, error) {
	switch t := p.next(); {
	case t.kind == number:
		return constantNode(t.value, Number, t), nil
	case t.kind == text:
		return p.finish(constantNode(t.word, Text, t), t.at), nil
	case t.kind == end:
		return node{}, &Error{t.at, "the expression ends where a value should stand"}
	case t.word == "(":
		n, err := p.ternary()
		if err == nil {
			err = p.expect(")")
		}
		return p.finish(n, t.at), err
	case t.word == "[":
		return p.list(t)
	case t.word == "{":
		return p.object(t)
	case t.kind != name:
		return node{}, &Error{t.at, fmt.Sprintf("there is %q where a value should stand", t.word)}
	case t.word == "true", t.word == "false":
		return constantNode(t.word == "true", Bool, t), nil
	case t.word == "nil", t.word == "null":
		return node{eval: func(r *run) any { return r.fail("it is nil") }, at: t.at, what: t.word}, nil
	default:
		if _, ok := precedences[t.word]; ok {
			return node{}, &Error{t.at, fmt.Sprintf("there is %q where a value should stand", t.word)}
		}
		if _, ok := p.accept("("); ok {
			return p.call(t)
		}
		return p.path(t)
	}
}

// path reads names with dots between them.
func (p *parser) path(first token) (node, error) {
	path, places := []string{first.word}, [][]token{p.tokens}
	for p.peek().word == "." && p.peek().kind == operator && p.tokens[1].kind == name {
		p.next()
		path = append(path, p.next().word)
		places = append(places, p.tokens)
	}
	slot, used, err := p.names.Lookup(path)
	if err != nil {
		return node{}, &Error{first.at, err.Error()}
	}
	p.tokens = places[used-1] // the rest are members
	return p.input(slot, first.at), nil
}

// input makes the node of an input.
func (p *parser) input(slot, from int) node {
	if !slices.Contains(p.prog.slots, slot) {
		p.prog.slots = append(p.prog.slots, slot)
	}
	typ := Any
	if p.names.TypeOf != nil {
		typ = p.names.TypeOf(slot)
	}
	return p.finish(node{typ: typ, eval: func(r *run) any {
		in := &r.inputs[slot]
		if in.Time.After(r.time) {
			r.time = in.Time
		}
		if in.Quality > r.quality {
			reason := in.Name + " is " + in.Quality.String()
			if in.Reason != "" {
				reason += ": " + in.Reason
			}
			r.spoil(in.Quality, reason)
		}
		if f, ok := in.Value.(float64); ok { // a register may hold NaN
			return r.finite(f, in.Name)
		}
		return in.Value
	}}, from)
}

// list reads [a, b]; its bracket is read already.
func (p *parser) list(open token) (node, error) {
	items, err := p.items("]")
	if err != nil {
		return node{}, err
	}
	return p.finish(node{eval: func(r *run) any {
		list := make([]any, len(items))
		for i, item := range items {
			if list[i] = item.eval(r); list[i] == nil {
				return nil
			}
		}
		return list
	}}, open.at), nil
}

// items reads what stands between commas, up to the closing bracket.
func (p *parser) items(closing string) ([]node, error) {
	var items []node
	for {
		if _, ok := p.accept(closing); ok {
			return items, nil
		}
		if len(items) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
		}
		n, err := p.ternary()
		if err != nil {
			return nil, err
		}
		items = append(items, n)
	}
}

// object reads {key: value}; its brace is read already.
func (p *parser) object(open token) (node, error) {
	keys, values := []string{}, []node{}
	for {
		if _, ok := p.accept("}"); ok {
			break
		}
		if len(keys) > 0 {
			if err := p.expect(","); err != nil {
				return node{}, err
			}
		}
		key := p.next()
		if key.kind != name && key.kind != text {
			return node{}, &Error{key.at, "the name of a member should stand here, as in {value: 1}"}
		}
		if err := p.expect(":"); err != nil {
			return node{}, err
		}
		n, err := p.ternary()
		if err != nil {
			return node{}, err
		}
		keys, values = append(keys, key.word), append(values, n)
	}
	return p.finish(node{eval: func(r *run) any {
		object := make(map[string]any, len(keys))
		for i, key := range keys {
			if object[key] = values[i].eval(r); object[key] == nil {
				return nil
			}
		}
		return object
	}}, open.at), nil
}

// want says what is wrong with a part that should be of a type.
func want(n node, typ Type, where string) error {
	if n.typ == Any || n.typ == typ {
		return nil
	}
	return &Error{n.at, fmt.Sprintf("%s is %v; want %v %s", n.what, n.typ, typ, where)}
}
