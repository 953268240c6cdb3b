package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxScramMessage bounds what one connection's exchange keeps. It leaves room
// for the longest user name with every byte escaped.
const maxScramMessage = 4096

// clientFirst is a client-first-message taken apart. [RFC 5802, 7]
type clientFirst struct {
	header   string // gs2-header
	bare     string // client-first-message-bare
	username string
	nonce    string
}

// clientFinal is a client-final-message taken apart.
type clientFinal struct {
	withoutProof string
	binding      string // what c= says, decoded
	nonce        string
	proof        [sha256.Size]byte
}

func scramFault(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrScramMessage, fmt.Sprintf(format, args...))
}

func parseClientFirst(message []byte) (clientFirst, error) {
	var m clientFirst
	text, err := scramText(message)
	if err != nil {
		return m, err
	}
	flag, rest, ok := strings.Cut(text, ",")
	authzid, bare, ok2 := strings.Cut(rest, ",")
	if !ok || !ok2 {
		return m, scramFault("want a gs2 header, like \"n,,\"")
	}
	switch {
	case strings.HasPrefix(flag, "p="):
		return m, scramFault("channel binding %.100q is not offered", flag)
	case flag != "n" && flag != "y":
		// "y" is a client that could do channel binding and has seen that the
		// server does not offer it, which is so.
		return m, scramFault("gs2 flag %.100q: want n or y", flag)
	}
	m.header, m.bare = text[:len(text)-len(bare)], bare
	first, rest, ok := strings.Cut(bare, ",")
	name, isName := strings.CutPrefix(first, "n=")
	switch {
	case strings.HasPrefix(first, "m="):
		return m, scramFault("mandatory extension %.100q is not known", first)
	case !ok || !isName:
		return m, scramFault("want n=USER,r=NONCE behind the header")
	}
	if m.username, err = unescapeName(name); err != nil {
		return m, err
	}
	if authzid != "" {
		as, isAs := strings.CutPrefix(authzid, "a=")
		if as, err = unescapeName(as); err != nil || !isAs || as != m.username {
			return m, scramFault("a user cannot act as another: %.100q", authzid)
		}
	}
	nonce, extensions, more := strings.Cut(rest, ",")
	if m.nonce, err = parseNonce(nonce); err != nil {
		return m, err
	}
	return m, checkExtensions(extensions, more)
}

func parseClientFinal(message []byte) (clientFinal, error) {
	var m clientFinal
	text, err := scramText(message)
	if err != nil {
		return m, err
	}
	// The proof is the last, and without a comma in it.
	at := strings.LastIndex(text, ",p=")
	if at < 0 {
		return m, scramFault("want c=BINDING,r=NONCE,p=PROOF")
	}
	m.withoutProof = text[:at]
	proof, err := base64.StdEncoding.Strict().DecodeString(text[at+len(",p="):])
	if err != nil || len(proof) != sha256.Size {
		return m, scramFault("its proof is not base64 of %d bytes", sha256.Size)
	}
	m.proof = [sha256.Size]byte(proof)
	first, rest, ok := strings.Cut(m.withoutProof, ",")
	binding, isBinding := strings.CutPrefix(first, "c=")
	if !ok || !isBinding {
		return m, scramFault("want c=BINDING,r=NONCE,p=PROOF")
	}
	b, err := base64.StdEncoding.Strict().DecodeString(binding)
	if err != nil {
		return m, scramFault("its channel binding is not base64")
	}
	m.binding = string(b)
	nonce, extensions, more := strings.Cut(rest, ",")
	if m.nonce, err = parseNonce(nonce); err != nil {
		return m, err
	}
	return m, checkExtensions(extensions, more)
}

func scramText(message []byte) (string, error) {
	switch {
	case len(message) > maxScramMessage:
		return "", scramFault("it has %d bytes: at most %d are taken", len(message), maxScramMessage)
	case !utf8.Valid(message):
		return "", scramFault("it is not UTF-8")
	}
	return string(message), nil
}

// unescapeName reads a saslname, in which "," is "=2C" and "=" is "=3D".
func unescapeName(s string) (string, error) {
	if strings.Count(s, "=") != strings.Count(s, "=2C")+strings.Count(s, "=3D") {
		return "", scramFault("a \"=\" in a name is written \"=3D\", a comma \"=2C\"")
	}
	name := strings.NewReplacer("=2C", ",", "=3D", "=").Replace(s)
	if err := checkUserName(name); err != nil {
		return "", scramFault("%v", err)
	}
	return name, nil
}

// parseNonce takes r=NONCE, of printable ASCII without a comma.
func parseNonce(s string) (string, error) {
	nonce, ok := strings.CutPrefix(s, "r=")
	if !ok || nonce == "" || strings.ContainsFunc(nonce, func(r rune) bool { return r < '!' || r > '~' || r == ',' }) {
		return "", scramFault("want r=NONCE, of printable ASCII")
	}
	return nonce, nil
}

// checkExtensions lets optional extensions pass, which are to be ignored.
func checkExtensions(s string, more bool) error {
	for more {
		var one string
		one, s, more = strings.Cut(s, ",")
		if len(one) < 3 || !isLetter(one[0]) || one[1] != '=' || strings.IndexByte(one, 0) >= 0 {
			return scramFault("extension %.100q: want a letter, = and a value", one)
		}
		if one[0] == 'm' {
			return scramFault("mandatory extension %.100q is not known", one)
		}
	}
	return nil
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
