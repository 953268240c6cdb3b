package bridge

import (
	"errors"
	"fmt"
	"strings"

	"headgate/broker/topic"
)

// template makes the upstream's name of a message: fixed text, and what it takes
// of the local topic.
type template []piece

// piece is one part of a template.
type piece struct {
	kind  pieceKind
	text  string // of fixed
	level int    // of level: 0 is the first
}

type pieceKind uint8

const (
	fixed   pieceKind = iota
	whole             // {topic}: the local topic without local_prefix
	escaped           // {topic_escaped}: the same, percent-encoded [RFC 3986 2.1]
	level             // {1} to {9}: one level of it
)

// parseTemplate reads a template. {gateway} and {client_id} are filled in.
func parseTemplate(s string, c *Config) (template, error) {
	var t template
	var text strings.Builder
	for s != "" {
		before, rest, found := strings.Cut(s, "{")
		text.WriteString(before)
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, fmt.Errorf("{%s: the } is missing", name)
		}
		s = after
		p := piece{}
		switch {
		case name == "gateway":
			text.WriteString(c.GatewayID)
			continue
		case name == "client_id":
			text.WriteString(c.ClientID)
			continue
		case name == "topic":
			p.kind = whole
		case name == "topic_escaped":
			p.kind = escaped
		case len(name) == 1 && name[0] >= '1' && name[0] <= '9':
			p.kind, p.level = level, int(name[0]-'1')
		default:
			return nil, fmt.Errorf("{%s}: want {topic}, {topic_escaped}, {1} to {9}, {gateway} or {client_id}", name)
		}
		t = append(t.withText(&text), p)
	}
	t = t.withText(&text)
	for _, p := range t {
		if strings.ContainsAny(p.text, "+#\x00") {
			return nil, errors.New(`want no "+" and "#": a topic, not a filter`)
		}
	}
	return t, nil
}

func (t template) withText(text *strings.Builder) template {
	if text.Len() > 0 {
		t = append(t, piece{text: text.String()})
		text.Reset()
	}
	return t
}

// append appends the name that the template makes of a local topic to dst. It
// fails where that has too few levels, or where too much or nothing comes of it.
func (t template) append(dst []byte, local string) (remote []byte, ok bool) {
	before := len(dst)
	for _, p := range t {
		switch p.kind {
		case fixed:
			dst = append(dst, p.text...)
		case whole:
			dst = append(dst, local...)
		case escaped:
			dst = appendEscaped(dst, local)
		case level:
			one, ok := levelOf(local, p.level)
			if !ok {
				return dst[:before], false
			}
			dst = append(dst, one...)
		}
	}
	if n := len(dst) - before; n == 0 || n > topic.MaxBytes {
		return dst[:before], false
	}
	return dst, true
}

// filter gives one that all matches which the template makes of the topics of a
// local filter.
func (t template) filter(local string) string {
	var b strings.Builder
	for _, p := range t {
		switch p.kind {
		case fixed:
			b.WriteString(p.text)
		case whole:
			b.WriteString(local)
		case escaped:
			b.WriteString("+")
		case level:
			b.WriteString("+")
		}
	}
	// A level that is not a wildcard alone is none for a filter: all of its kind.
	levels := strings.Split(b.String(), "/")
	for i, l := range levels {
		if strings.Contains(l, "#") && (i < len(levels)-1 || len(l) > 1) {
			return strings.Join(append(levels[:i], "#"), "/")
		}
		if strings.Contains(l, "+") {
			levels[i] = "+"
		}
	}
	return strings.Join(levels, "/")
}

// levelOf gives the n-th level of a name, counted from 0.
func levelOf(name string, n int) (string, bool) {
	for range n {
		_, rest, found := strings.Cut(name, "/")
		if !found {
			return "", false
		}
		name = rest
	}
	one, _, _ := strings.Cut(name, "/")
	return one, true
}

// appendEscaped leaves of ASCII the letters, the digits and -._~ as they are, and
// writes each other byte as %XX. [RFC 3986 2.3]
func appendEscaped(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0:
			dst = append(dst, c)
		default:
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}
