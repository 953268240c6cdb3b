package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// ScramMethod is SCRAM's name as an MQTT 5.0 authentication method. [RFC 7677]
const ScramMethod = "SCRAM-SHA-256"

// Scram is one client's SCRAM exchange, the server's side: Start takes the first
// message and Finish the last. It does no more work than a few MACs, so that
// nobody has to wait. It is for one goroutine.
type Scram struct {
	policy *Policy
	state  scramState
	nonce  string // the server's part; empty: Start makes one

	// What Start has found, for Finish.
	first       clientFirst
	serverFirst string
	user        *user // nil: unknown, or without SCRAM credentials
	credentials credentials
}

type scramState int

const (
	scramFresh scramState = iota
	scramStarted
	scramOver
)

// Scram begins an exchange. One that is under way when a new policy comes is
// finished by the policy that it began with.
func (p *Policy) Scram() *Scram { return &Scram{policy: p} }

// Start takes the client's first message and gives the server's. It fails with
// ErrScramMessage only: whether there is such a user, the client learns from
// neither an error nor the answer.
func (s *Scram) Start(message []byte) (serverFirst []byte, err error) {
	if s.state != scramFresh {
		s.state = scramOver
		return nil, fmt.Errorf("%w: a client-first-message again", ErrScramMessage)
	}
	s.state = scramOver
	if s.first, err = parseClientFirst(message); err != nil {
		return nil, err
	}
	if s.nonce == "" {
		s.nonce = rand.Text()
	}
	s.findCredentials()
	s.serverFirst = fmt.Sprintf("r=%s%s,s=%s,i=%d", s.first.nonce, s.nonce,
		base64.StdEncoding.EncodeToString(s.credentials.salt), s.credentials.iterations)
	s.state = scramStarted
	return []byte(s.serverFirst), nil
}

// findCredentials gives an unknown user those of nobody: salt and iterations
// look like another's, and are the same each time, the keys fit no password. A
// user whose password is configured as such has a salt of the same kind; one
// with a SCRAM hash keeps its salt over a restart of this process, which is all
// that tells it from an unknown one.
func (s *Scram) findCredentials() {
	p, name := s.policy, s.first.username
	iterations, saltBytes := scramIterations, scramSalt
	pick := p.shared.pick(name, max(1, len(p.scramStandIns)))
	if len(p.scramStandIns) > 0 {
		like := p.scramStandIns[pick]
		iterations, saltBytes = like.iterations, len(like.salt)
	}
	keys := p.shared.mac("keys", []byte(name))
	s.credentials = credentials{
		iterations: iterations,
		salt:       p.shared.salt(name, saltBytes),
		storedKey:  [sha256.Size]byte(keys[:sha256.Size]),
		serverKey:  [sha256.Size]byte(keys[sha256.Size:]),
	}
	if u := p.users[name]; u != nil && u.scram != nil {
		s.user, s.credentials = u, *u.scram
	}
}

// Finish takes the client's last message. If it proves that the client knows the
// password, it gives the server's last message, which proves that this server
// does too, and the user name. Otherwise it fails with ErrBadCredentials or
// ErrScramMessage.
func (s *Scram) Finish(message []byte) (serverFinal []byte, username string, err error) {
	if s.state != scramStarted {
		s.state = scramOver
		return nil, "", fmt.Errorf("%w: a client-final-message that nothing began", ErrScramMessage)
	}
	s.state = scramOver
	final, err := parseClientFinal(message)
	if err != nil {
		return nil, "", err
	}
	if final.binding != s.first.header {
		return nil, "", fmt.Errorf("%w: its channel binding is not the header that it began with", ErrScramMessage)
	}
	if final.nonce != s.first.nonce+s.nonce {
		return nil, "", fmt.Errorf("%w: its nonce is not of this exchange", ErrScramMessage)
	}
	// [RFC 5802, 3]
	authMessage := []byte(s.first.bare + "," + s.serverFirst + "," + final.withoutProof)
	clientKey := sign(s.credentials.storedKey[:], authMessage) // its signature, until the proof is in it
	for i := range clientKey {
		clientKey[i] ^= final.proof[i]
	}
	storedKey := sha256.Sum256(clientKey[:])
	signature := sign(s.credentials.serverKey[:], authMessage)
	if !hmac.Equal(storedKey[:], s.credentials.storedKey[:]) || s.user == nil {
		return nil, "", fmt.Errorf("user %.100q: %w", s.first.username, s.refusal())
	}
	return []byte("v=" + base64.StdEncoding.EncodeToString(signature[:])), s.user.name, nil
}

// refusal says more than the client may learn.
func (s *Scram) refusal() error {
	if u := s.policy.users[s.first.username]; u != nil && u.scram == nil {
		return errors.Join(ErrBadCredentials, errors.New("its hash cannot serve SCRAM: that needs password, or a password_hash that begins with SCRAM-SHA-256$"))
	}
	return ErrBadCredentials
}
