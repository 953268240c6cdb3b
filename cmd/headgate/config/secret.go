package config

import (
	"regexp"
	"strings"
)

// What follows keeps secrets out of faults: neither the source line that is
// shown nor a fault's text may carry one.

const mask = "***"

var (
	assignment  = regexp.MustCompile(`([A-Za-z0-9_-]+)["']?\s*=\s*`)
	urlPassword = regexp.MustCompile(`(://[^\s/@"':]*:)[^\s/@"']+@`)
	quoted      = regexp.MustCompile(`"[^"]*"|'[^']*'`)

	secretWords = []string{"password", "passphrase", "passwd", "pass", "pwd", "secret", "token"}
)

// isSecret says whether a key of this name holds a secret: also one that is
// misspelt, because its line is then sure to be shown. A key that names a file
// with a secret holds none itself.
func isSecret(key string) bool {
	key = strings.ToLower(key)
	if strings.HasSuffix(key, "_file") {
		return false
	}
	for _, part := range strings.FieldsFunc(key, func(r rune) bool { return r == '_' || r == '-' }) {
		for _, word := range secretWords {
			if strings.Contains(part, word) || len(word) > 4 && distance(part, word) <= 2 {
				return true
			}
		}
	}
	return false
}

// maskLine blanks the values of secret keys and the passwords in URLs. The line
// may be broken TOML: what has no clear end is blanked to the end of the line.
func maskLine(line string) string {
	var b strings.Builder
	for {
		m := assignment.FindStringSubmatchIndex(line)
		if m == nil {
			break
		}
		b.WriteString(line[:m[1]])
		secret := isSecret(line[m[2]:m[3]])
		line = line[m[1]:]
		if !secret {
			continue
		}
		b.WriteString(mask)
		line = line[valueLen(line):]
	}
	b.WriteString(line)
	return urlPassword.ReplaceAllString(b.String(), "${1}"+mask+"@")
}

// valueLen gives the bytes that the TOML value at the start of s takes within
// its line; where that is not clear, all of them.
func valueLen(s string) int {
	if s == "" {
		return 0
	}
	switch q := s[0]; q {
	case '"', '\'':
		if strings.HasPrefix(s, strings.Repeat(string(q), 3)) {
			return len(s)
		}
		for i := 1; i < len(s); i++ {
			if s[i] == '\\' && q == '"' {
				i++
			} else if s[i] == q {
				return i + 1
			}
		}
		return len(s)
	case '[', '{':
		return len(s)
	}
	if i := strings.IndexAny(s, ",}#"); i >= 0 {
		return i
	}
	return len(s)
}

// secrets are the values that no fault may print.
type secrets []string

// minHidden is the shortest secret that is looked for in every text: a shorter
// one would blank parts of ordinary words.
const minHidden = 4

// hide blanks the secrets in a fault's text. A fault of a secret key loses its
// secret however short it is.
func (s secrets) hide(text string, own string) string {
	for _, secret := range s {
		if len(secret) >= minHidden {
			text = strings.ReplaceAll(text, secret, mask)
		}
	}
	if own != "" {
		text = strings.ReplaceAll(text, own, mask)
	}
	return urlPassword.ReplaceAllString(text, "${1}"+mask+"@")
}
