package auth

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// What SCRAM credentials are made with, and may have.
const (
	scramIterations    = 4096 // RFC 7677, 4: at least
	scramSalt          = 16   // bytes
	minScramIterations = 4096
	maxScramSalt       = 64 // bytes: what a MAC can stand in for
)

// credentials are what the server keeps of a password for SCRAM. [RFC 5802, 3]
type credentials struct {
	iterations           int
	salt                 []byte
	storedKey, serverKey [sha256.Size]byte
}

// deriveCredentials makes them of the password. It takes it as it is, in UTF-8:
// SASLprep, which would normalize it, changes nothing in printable ASCII, and
// is not done for the rest.
func deriveCredentials(password, salt []byte, iterations int) (*credentials, error) {
	salted, err := pbkdf2.Key(sha256.New, string(password), salt, iterations, sha256.Size)
	if err != nil {
		return nil, err
	}
	c := &credentials{iterations: iterations, salt: salt, serverKey: sign(salted, []byte("Server Key"))}
	clientKey := sign(salted, []byte("Client Key"))
	c.storedKey = sha256.Sum256(clientKey[:])
	return c, nil
}

// verify looks whether a password that came as such belongs to them.
func (c *credentials) verify(password []byte) bool {
	got, err := deriveCredentials(password, c.salt, c.iterations)
	return err == nil && hmac.Equal(got.storedKey[:], c.storedKey[:])
}

func (c *credentials) String() string {
	b64 := base64.StdEncoding
	return fmt.Sprintf("%s$%d:%s$%s:%s", ScramMethod, c.iterations, b64.EncodeToString(c.salt),
		b64.EncodeToString(c.storedKey[:]), b64.EncodeToString(c.serverKey[:]))
}

// parseScramHash takes ITERATIONS:SALT$STOREDKEY:SERVERKEY.
func parseScramHash(s string) (hash, error) {
	head, keys, ok := strings.Cut(s, "$")
	iterations, salt, ok1 := strings.Cut(head, ":")
	stored, server, ok2 := strings.Cut(keys, ":")
	if !ok || !ok1 || !ok2 {
		return nil, errors.New("SCRAM hash: want SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY")
	}
	var c credentials
	var err error
	if c.iterations, err = number(iterations, true); err != nil {
		return nil, fmt.Errorf("SCRAM hash: iterations: %w", err)
	}
	if c.iterations < minScramIterations || c.iterations > maxIterations {
		return nil, fmt.Errorf("SCRAM hash: %d iterations are not within %d to %d: hash the password again", c.iterations, minScramIterations, maxIterations)
	}
	b64 := base64.StdEncoding
	if c.salt, err = b64.DecodeString(salt); err != nil || len(c.salt) < 1 || len(c.salt) > maxScramSalt {
		return nil, fmt.Errorf("SCRAM hash: its salt is not base64 of 1 to %d bytes", maxScramSalt)
	}
	for _, k := range []struct {
		name, text string
		to         *[sha256.Size]byte
	}{{"stored key", stored, &c.storedKey}, {"server key", server, &c.serverKey}} {
		b, err := b64.DecodeString(k.text)
		if err != nil || len(b) != sha256.Size {
			return nil, fmt.Errorf("SCRAM hash: its %s is not base64 of %d bytes", k.name, sha256.Size)
		}
		*k.to = [sha256.Size]byte(b)
	}
	return &c, nil
}

// sign is HMAC-SHA-256.
func sign(key, text []byte) (sum [sha256.Size]byte) {
	m := hmac.New(sha256.New, key)
	m.Write(text)
	m.Sum(sum[:0])
	return sum
}
