package expression

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// kind is that of a token.
type kind uint8

const (
	end kind = iota
	name
	number
	text
	operator
)

// token is one word of an expression.
type token struct {
	kind  kind
	word  string // as it stands there; of a text what it says
	value float64
	at    int
}

// operators are those of more than one character, the longer before the shorter.
var operators = []string{"**", "==", "!=", "<=", ">=", "&&", "||", "??", "?."}

// scan cuts an expression into tokens; the last is the end.
func scan(s string) ([]token, error) {
	if len(s) > maxBytes {
		return nil, &Error{maxBytes, "the expression is longer than 4096 bytes"}
	}
	var tokens []token
	for at := 0; ; {
		for at < len(s) && strings.IndexByte(" \t\r\n", s[at]) >= 0 {
			at++
		}
		if at >= len(s) {
			return append(tokens, token{kind: end, at: at}), nil
		}
		t, next, err := scanOne(s, at)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
		at = next
	}
}

func scanOne(s string, at int) (t token, next int, err error) {
	switch c := s[at]; {
	case c == '"' || c == '\'':
		return scanText(s, at)
	case c >= '0' && c <= '9':
		return scanNumber(s, at)
	}
	if next := nameEnd(s, at); next > at {
		return token{kind: name, word: s[at:next], at: at}, next, nil
	}
	for _, op := range operators {
		if strings.HasPrefix(s[at:], op) {
			return token{kind: operator, word: op, at: at}, at + len(op), nil
		}
	}
	if strings.IndexByte("+-*/%<>!?:.,()[]{}", s[at]) >= 0 {
		return token{kind: operator, word: s[at : at+1], at: at}, at + 1, nil
	}
	r, _ := utf8.DecodeRuneInString(s[at:])
	hint := ""
	switch r {
	case '=':
		hint = ": equal is =="
	case '&', '|':
		hint = ": write and, or"
	}
	return t, 0, &Error{at, "there is no operator " + strconv.QuoteRune(r) + hint}
}

func nameEnd(s string, at int) int {
	for i, r := range s[at:] {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return at + i
		}
	}
	return len(s)
}

func scanNumber(s string, at int) (t token, next int, err error) {
	next = at
	for next < len(s) {
		c := s[next]
		sign := (c == '+' || c == '-') && (s[next-1] == 'e' || s[next-1] == 'E') && !strings.HasPrefix(s[at:], "0x")
		if !sign && c != '.' && c != '_' && !unicode.IsLetter(rune(c)) && !unicode.IsDigit(rune(c)) {
			break
		}
		next++
	}
	word := strings.ReplaceAll(s[at:next], "_", "")
	f, err := strconv.ParseFloat(word, 64)
	if strings.HasPrefix(word, "0x") {
		var u uint64
		u, err = strconv.ParseUint(word[2:], 16, 64)
		f = float64(u)
	}
	if _, notTime := time.ParseDuration(word); err != nil && notTime == nil {
		return t, 0, &Error{at, strconv.Quote(s[at:next]) + " is no number: a time stands in quotes, '" + s[at:next] + "'"}
	}
	if err != nil {
		return t, 0, &Error{at, strconv.Quote(s[at:next]) + " is no number; names with a - in them, or with a digit first, are written value(\"meter-2\", \"power\")"}
	}
	return token{number, s[at:next], f, at}, next, nil
}

func scanText(s string, at int) (t token, next int, err error) {
	var b strings.Builder
	for i := at + 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == s[at]:
			return token{kind: text, word: b.String(), at: at}, i + 1, nil
		case c == '\\' && i+1 < len(s):
			i++
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case '\\', '"', '\'':
				b.WriteByte(s[i])
			default:
				return t, 0, &Error{i - 1, "in a text, \\ stands before n, t, \\, \" and ' only"}
			}
		default:
			b.WriteByte(c)
		}
	}
	return t, 0, &Error{at, "the text has no end: a quote is missing"}
}
