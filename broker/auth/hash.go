package auth

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// hash verifies one user's password. It takes its time, and some its memory:
// Policy bounds how many do that at once.
type hash interface {
	verify(password []byte) bool
}

// What a hash may ask for. Past these, one wrong password would hold up a small
// gateway for seconds, or take the memory that the broker needs.
const (
	maxIterations   = 1_000_000 // of PBKDF2
	maxArgonMemory  = 64 * 1024 // KiB
	maxArgonTime    = 10
	maxArgonThreads = 4
	maxSalt         = 128 // bytes
	minKey          = 16  // bytes of a hash
	maxKey          = 64
)

// What Hash asks for: OWASP's first choice of the small ones, which a gateway
// with 512 MB bears. https://cheatsheetseries.owasp.org, "Password Storage"
const (
	argonMemory  = 19 * 1024 // KiB
	argonTime    = 2
	argonThreads = 1
	argonSalt    = 16 // bytes
	argonKey     = 32 // bytes
)

// Hash gives the argon2id hash of a password with a fresh salt, in the form that
// password_hash and a password file take. It needs 19 MiB while it runs.
func Hash(password string) string {
	h := argonHash{time: argonTime, memory: argonMemory, threads: argonThreads, salt: make([]byte, argonSalt)}
	rand.Read(h.salt) // never fails
	h.key = h.derive([]byte(password), argonKey)
	return h.String()
}

// parseHash takes a hash in any of its forms. Its errors say nothing of what
// stands in s: that may be a password in the wrong place.
func parseHash(s string) (hash, error) {
	switch kind, rest := splitKind(s); kind {
	case "argon2id":
		return parseArgon(rest)
	case "7":
		return parsePBKDF2(rest)
	case "6":
		return parseSHA512(rest)
	case "SCRAM-SHA-256":
		return parseScramHash(rest)
	case "":
		return nil, errors.New("this is not a hash: for a password file run \"mosquitto_passwd -U FILE\", which hashes plain passwords")
	}
	return nil, errors.New("unknown form of hash: want $argon2id$, $7$ (mosquitto's PBKDF2), $6$ (mosquitto's SHA-512) or SCRAM-SHA-256$")
}

// splitKind gives the name of a hash's form and what stands behind it; "" where
// s looks like none.
func splitKind(s string) (kind, rest string) {
	if rest, ok := strings.CutPrefix(s, ScramMethod+"$"); ok {
		return ScramMethod, rest
	}
	s, ok := strings.CutPrefix(s, "$")
	if !ok {
		return "", ""
	}
	kind, rest, ok = strings.Cut(s, "$")
	if !ok {
		return "", ""
	}
	return kind, rest
}

// argonHash is argon2id as RFC 9106 has it.
type argonHash struct {
	time, memory uint32 // passes, KiB
	threads      uint8
	salt, key    []byte
}

func (h argonHash) derive(password []byte, n int) []byte {
	return argon2.IDKey(password, h.salt, h.time, h.memory, h.threads, uint32(n))
}

func (h argonHash) verify(password []byte) bool {
	return hmac.Equal(h.derive(password, len(h.key)), h.key)
}

// String gives the PHC string: its base64 is without padding.
func (h argonHash) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads,
		b64.EncodeToString(h.salt), b64.EncodeToString(h.key))
}

func parseArgon(s string) (hash, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 4 || parts[0] != "v="+strconv.Itoa(argon2.Version) {
		return nil, errors.New("argon2id hash: want $argon2id$v=19$m=...,t=...,p=...$SALT$HASH")
	}
	var memory, time, threads int
	params := strings.Split(parts[1], ",")
	if len(params) != 3 {
		return nil, errors.New("argon2id hash: want m=KIB,t=PASSES,p=THREADS")
	}
	var err error
	for i, p := range []struct {
		name        string
		to          *int
		least, most int
	}{{"m=", &memory, 8, maxArgonMemory}, {"t=", &time, 1, maxArgonTime}, {"p=", &threads, 1, maxArgonThreads}} {
		if *p.to, err = number(strings.CutPrefix(params[i], p.name)); err != nil {
			return nil, fmt.Errorf("argon2id hash: %s: %w", p.name, err)
		}
		if *p.to < p.least || *p.to > p.most {
			return nil, fmt.Errorf("argon2id hash: %s%d is not within %d to %d: hash the password again", p.name, *p.to, p.least, p.most)
		}
	}
	if memory < 8*threads { // RFC 9106, 3.1
		return nil, fmt.Errorf("argon2id hash: m=%d is below 8 for each of p=%d", memory, threads)
	}
	h := argonHash{time: uint32(time), memory: uint32(memory), threads: uint8(threads)}
	h.salt, h.key, err = saltAndKey(base64.RawStdEncoding, 8, parts[2], parts[3])
	if err != nil {
		return nil, fmt.Errorf("argon2id hash: %w", err)
	}
	return h, nil
}

// pbkdf2Hash is what mosquitto_passwd writes as $7$.
type pbkdf2Hash struct {
	iterations int
	salt, key  []byte
}

func (h pbkdf2Hash) verify(password []byte) bool {
	key, err := pbkdf2.Key(sha512.New, string(password), h.salt, h.iterations, len(h.key))
	return err == nil && hmac.Equal(key, h.key)
}

func parsePBKDF2(s string) (hash, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 3 {
		return nil, errors.New("PBKDF2 hash: want $7$ITERATIONS$SALT$HASH")
	}
	var h pbkdf2Hash
	var err error
	if h.iterations, err = number(parts[0], true); err != nil {
		return nil, fmt.Errorf("PBKDF2 hash: iterations: %w", err)
	}
	if h.iterations < 1 || h.iterations > maxIterations {
		return nil, fmt.Errorf("PBKDF2 hash: %d iterations are not within 1 to %d: hash the password again", h.iterations, maxIterations)
	}
	if h.salt, h.key, err = saltAndKey(base64.StdEncoding, 1, parts[1], parts[2]); err != nil {
		return nil, fmt.Errorf("PBKDF2 hash: %w", err)
	}
	return h, nil
}

// sha512Hash is what mosquitto_passwd of version 1.6 and earlier wrote, as $6$:
// one SHA-512 over the password and then the salt.
type sha512Hash struct{ salt, key []byte }

func (h sha512Hash) verify(password []byte) bool {
	sum := sha512.New()
	sum.Write(password)
	sum.Write(h.salt)
	return hmac.Equal(sum.Sum(nil), h.key)
}

func parseSHA512(s string) (hash, error) {
	salt, key, ok := strings.Cut(s, "$")
	if !ok {
		return nil, errors.New("SHA-512 hash: want $6$SALT$HASH")
	}
	var h sha512Hash
	var err error
	if h.salt, h.key, err = saltAndKey(base64.StdEncoding, 1, salt, key); err != nil {
		return nil, fmt.Errorf("SHA-512 hash: %w", err)
	}
	if len(h.key) != sha512.Size {
		return nil, fmt.Errorf("SHA-512 hash: it has %d bytes, and should have %d", len(h.key), sha512.Size)
	}
	return h, nil
}

// number reads a decimal number without sign; ok is whether it is there at all.
func number(s string, ok bool) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if !ok || err != nil {
		return 0, errors.New("a number should stand there")
	}
	return int(n), nil
}

func saltAndKey(b64 *base64.Encoding, leastSalt int, salt, key string) (saltBytes, keyBytes []byte, err error) {
	if saltBytes, err = b64.DecodeString(salt); err != nil {
		return nil, nil, errors.New("its salt is not base64")
	}
	if len(saltBytes) < leastSalt || len(saltBytes) > maxSalt {
		return nil, nil, fmt.Errorf("its salt has %d bytes: want %d to %d", len(saltBytes), leastSalt, maxSalt)
	}
	if keyBytes, err = b64.DecodeString(key); err != nil {
		return nil, nil, errors.New("it is not base64")
	}
	if len(keyBytes) < minKey || len(keyBytes) > maxKey {
		return nil, nil, fmt.Errorf("it has %d bytes: want %d to %d", len(keyBytes), minKey, maxKey)
	}
	return saltBytes, keyBytes, nil
}
