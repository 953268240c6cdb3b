package config

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// quoted reads a one-line string; one that is not closed ends with its line.
func (s *scanner) quoted(q byte) {
	for s.at++; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '\\' && q == '"' && s.at+1 < len(s.text) && s.text[s.at+1] != '\n':
			s.at++
		case c == q:
			s.at++
			return
		case c == '\n':
			return
		}
	}
}

// multiline reads a string in three quotes; up to two more quotes before the
// closing ones belong to it.
func (s *scanner) multiline(q byte) {
	end := strings.Repeat(string(q), 3)
	for s.at += 3; s.at < len(s.text); s.at++ {
		if s.text[s.at] == '\\' && q == '"' {
			s.at++
			continue
		}
		if !strings.HasPrefix(s.text[s.at:], end) {
			continue
		}
		s.at += 3
		for n := 0; n < 2 && s.at < len(s.text) && s.text[s.at] == q; n++ {
			s.at++
		}
		return
	}
	s.at = min(s.at, len(s.text))
}

func (s *scanner) skipSpace() {
	for s.at < len(s.text) && (s.text[s.at] == ' ' || s.text[s.at] == '\t') {
		s.at++
	}
}

// skipBlank skips spaces, newlines and comments.
func (s *scanner) skipBlank() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		case '#':
			s.skipLine()
		default:
			return
		}
	}
}

func (s *scanner) skipLine() {
	if n := strings.IndexByte(s.text[s.at:], '\n'); n >= 0 {
		s.at += n + 1
		return
	}
	s.at = len(s.text)
}

// unescape resolves the escapes of a basic string; where one is not valid, s
// comes back as it was.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 >= len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		digits := 0
		switch s[i] {
		case 'b':
			b.WriteByte('\b')
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'f':
			b.WriteByte('\f')
		case 'r':
			b.WriteByte('\r')
		case 'e':
			b.WriteByte(0x1b)
		case '"', '\\':
			b.WriteByte(s[i])
		case 'x':
			digits = 2
		case 'u':
			digits = 4
		case 'U':
			digits = 8
		default:
			return s
		}
		if digits == 0 {
			continue
		}
		if i+digits >= len(s) {
			return s
		}
		r, err := strconv.ParseUint(s[i+1:i+1+digits], 16, 32)
		if err != nil || !utf8.ValidRune(rune(r)) {
			return s
		}
		b.WriteRune(rune(r))
		i += digits
	}
	return b.String()
}
