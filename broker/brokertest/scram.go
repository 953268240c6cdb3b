package brokertest

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// scramClient is a client's side of SCRAM-SHA-256, for scripts: "scram=USER:PASSWORD"
// in what begins, "scram" in each packet after it. [RFC 5802] [RFC 7677]
type scramClient struct {
	password  string
	first     string // the client's first message, bare
	server    string // the server's first message
	signature string // what the server must say at the end
}

const (
	scramMethod = "SCRAM-SHA-256"
	scramNonce  = "rOprNGfwEbeRWgbNEkqO"
)

// addScram completes a packet that says scram with method and data.
func (c *client) addScram(f *fields) error {
	value, ok := f.get("scram")
	if !ok {
		return nil
	}
	f.add("auth-method", scramMethod)
	if user, password, begins := strings.Cut(value, ":"); begins {
		c.scram = &scramClient{password: password, first: "n=" + user + ",r=" + scramNonce}
		f.add("auth-data", "n,,"+c.scram.first)
		return nil
	}
	if c.scram == nil || c.scram.server == "" {
		return errors.New("scram: there is no challenge to be answered")
	}
	final, err := c.scram.final()
	f.add("auth-data", final)
	return err
}

// checkScram takes the method and data of a packet that a line with scram
// expects, and checks them.
func (c *client) checkScram(want, got *fields) error {
	if _, ok := want.get("scram"); !ok {
		return nil
	}
	data, _ := got.get("auth-data")
	switch s := c.scram; {
	case s == nil:
		return errors.New("scram: nothing has begun it")
	case s.server == "":
		s.server = data
	case data != "v="+s.signature:
		return fmt.Errorf("scram: the server says %q, its signature is %q", data, "v="+s.signature)
	}
	// What the line means by scram.
	got.list = append(got.list, fieldValue{"scram", "1"})
	want.add("auth-method", scramMethod)
	want.add("auth-data", data)
	return nil
}

// final answers the server's challenge.
func (s *scramClient) final() (string, error) {
	attr := make(map[byte]string)
	for part := range strings.SplitSeq(s.server, ",") {
		if len(part) > 2 && part[1] == '=' {
			attr[part[0]] = part[2:]
		}
	}
	salt, err := base64.StdEncoding.DecodeString(attr['s'])
	if err != nil {
		return "", fmt.Errorf("scram: salt of %q: %w", s.server, err)
	}
	count, err := strconv.Atoi(attr['i'])
	if err != nil || count < 1 || !strings.HasPrefix(attr['r'], scramNonce) || attr['r'] == scramNonce {
		return "", fmt.Errorf("scram: the server says %q", s.server)
	}
	salted, err := pbkdf2.Key(sha256.New, s.password, salt, count, sha256.Size)
	if err != nil {
		return "", err
	}
	bare := "c=biws,r=" + attr['r']
	auth := s.first + "," + s.server + "," + bare
	key := sum(salted, "Client Key")
	stored := sha256.Sum256(key)
	proof := sum(stored[:], auth)
	for i := range proof {
		proof[i] ^= key[i]
	}
	s.signature = base64.StdEncoding.EncodeToString(sum(sum(salted, "Server Key"), auth))
	return bare + ",p=" + base64.StdEncoding.EncodeToString(proof), nil
}

func sum(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
