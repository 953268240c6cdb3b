package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
)

// maxHashing is how many passwords are hashed at a time. With the most memory
// that a hash may ask for, that is 128 MiB; with what Hash asks for, 38 MiB.
const maxHashing = 2

// Policy is the config's word on who may connect and what each may do. It does
// not change once made: a changed config makes another. It holds nothing that
// would have to be closed, and any number of goroutines may use it.
type Policy struct {
	shared *shared
	closed bool // users are configured: a name that is not among them is refused
	users  map[string]*user
	rules  []rule

	// An unknown name is treated as if it were one of these, so that nothing
	// tells it from a known one with a wrong password: in the order of the names.
	standIns      []*user
	scramStandIns []*credentials
}

// user is one that may connect. What it is verified with does not change.
type user struct {
	source
	scram *credentials // nil: its hash is none of SCRAM's

	// verified is the MAC of the password that was last found right, nil if none
	// was yet. The key of that MAC is in no file, so a copy of it is good for
	// nothing. It keeps a plant that comes back after a power cut from hashing
	// the same passwords over again.
	verified atomic.Pointer[tag]
}

// shared is what a policy hands on to the one that takes its place.
type shared struct {
	key     [32]byte      // random, of this process
	hashing chan struct{} // holds a token for each hash that runs
}

type tag [sha512.Size]byte

// New makes the policy of cfg. The one that it will replace, nil if none, hands
// on which passwords were found right, as far as their hashes are the same, and
// its bound on the hashing. A user whose password stands in the config costs a
// few milliseconds here, for SCRAM.
func New(cfg Config, previous *Policy) (*Policy, error) {
	var faults []error
	fault := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("broker.%s: %s", key, fmt.Sprintf(format, args...)))
	}
	sources := cfg.users(fault)
	rules := cfg.rules(sources, fault)
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	p := &Policy{
		closed: len(sources) > 0 || cfg.PasswordFile != "",
		users:  make(map[string]*user, len(sources)),
		rules:  rules,
	}
	if previous != nil {
		p.shared = previous.shared
	} else {
		p.shared = &shared{hashing: make(chan struct{}, maxHashing)}
		rand.Read(p.shared.key[:]) // never fails
	}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		var old *user
		if previous != nil {
			old = previous.users[name]
		}
		u, err := p.shared.user(sources[name], old)
		if err != nil {
			return nil, fmt.Errorf("password of user %q: %w", name, err)
		}
		p.users[name] = u
		p.standIns = append(p.standIns, u)
		if u.scram != nil {
			p.scramStandIns = append(p.scramStandIns, u.scram)
		}
	}
	return p, nil
}

// user makes one of its source; old is who had this name before, nil if nobody.
func (s *shared) user(from source, old *user) (*user, error) {
	password := from.password
	from.password = "" // not kept
	u := &user{source: from}
	if from.hash != nil {
		u.scram, _ = from.hash.(*credentials)
		if old != nil && old.hash != nil && old.encoded == from.encoded {
			u.verified.Store(old.verified.Load())
		}
		return u, nil
	}
	// The MAC of the password itself takes the place of a hash.
	t := s.tag([]byte(password))
	u.verified.Store(&t)
	if old != nil && old.hash == nil && hmac.Equal(old.verified.Load()[:], t[:]) {
		u.scram = old.scram
		return u, nil
	}
	var err error
	u.scram, err = deriveCredentials([]byte(password), s.salt(from.name, scramSalt), scramIterations)
	return u, err
}

// Has says whether there is such a user.
func (p *Policy) Has(username string) bool {
	_, ok := p.users[username]
	return ok
}

// Keeps says whether a user is verified with the same password, or the same hash, as
// in the policy that this one takes the place of.
func (p *Policy) Keeps(username string, previous *Policy) bool {
	u, old := p.users[username], previous.users[username]
	switch {
	case u == nil || old == nil || (u.hash == nil) != (old.hash == nil):
		return false
	case u.hash != nil:
		return u.encoded == old.encoded
	}
	return hmac.Equal(u.verified.Load()[:], old.verified.Load()[:])
}

// Login is what a client says of itself in its CONNECT.
type Login struct {
	Named    bool // a user name came, if only an empty one
	Username string
	Password []byte
}

// Authenticate lets a client in or says why not: ErrAnonymous,
// ErrBadCredentials, or ErrBusy where ctx was over before the password's turn
// came. Without a user name, anonymous decides; with one it must be right,
// unless no user is configured at all: then anonymous decides too. The user that
// it gives is the one whose rights count: "" where nothing proves the name.
func (p *Policy) Authenticate(ctx context.Context, l Login, anonymous bool) (username string, err error) {
	if !l.Named || !p.closed {
		if anonymous {
			return "", nil
		}
		return "", ErrAnonymous
	}
	u, known := p.users[l.Username]
	if !known {
		if len(p.standIns) == 0 {
			return "", fmt.Errorf("user %.100q: %w", l.Username, ErrBadCredentials)
		}
		u = p.standIns[p.shared.pick(l.Username, len(p.standIns))]
	}
	right, err := p.shared.verify(ctx, u, known, l.Password)
	switch {
	case err != nil:
		return "", fmt.Errorf("user %.100q: %w", l.Username, err)
	case !right || !known:
		return "", fmt.Errorf("user %.100q: %w", l.Username, ErrBadCredentials)
	}
	return u.name, nil
}

// verify says whether password is u's. Where u only stands in for an unknown
// name, the work is the same, but for what u's own password would spare: that
// it is spared must not tell a password to who guesses at another name.
func (s *shared) verify(ctx context.Context, u *user, known bool, password []byte) (bool, error) {
	t := s.tag(password)
	if u.remembers(t) && known {
		return true, nil
	}
	if u.hash == nil {
		return false, nil
	}
	select {
	case s.hashing <- struct{}{}:
		defer func() { <-s.hashing }()
	case <-ctx.Done():
		return false, fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
	}
	if u.remembers(t) && known { // another connection was first
		return true, nil
	}
	if !u.hash.verify(password) {
		return false, nil
	}
	if known {
		u.verified.Store(&t)
	}
	return true, nil
}

func (u *user) remembers(t tag) bool {
	v := u.verified.Load()
	return v != nil && hmac.Equal(v[:], t[:])
}

// mac is a MAC under the key of this process; no two purposes share any.
func (s *shared) mac(purpose string, text []byte) (sum tag) {
	m := hmac.New(sha512.New, s.key[:])
	m.Write([]byte(purpose))
	m.Write([]byte{0})
	m.Write(text)
	m.Sum(sum[:0])
	return sum
}

func (s *shared) tag(password []byte) tag { return s.mac("password", password) }

// salt gives a name's salt, n bytes of at most 64: the same as long as this
// process lives, whether there is such a user or not.
func (s *shared) salt(name string, n int) []byte {
	sum := s.mac("salt", []byte(name))
	return sum[:n]
}

// pick chooses one of n for a name, the same each time.
func (s *shared) pick(name string, n int) int {
	sum := s.mac("pick", []byte(name))
	return int(binary.BigEndian.Uint64(sum[:]) % uint64(n))
}
