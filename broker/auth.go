package broker

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"

	"headgate/broker/packet"
)

// users knows who may connect: the passwords' hashes by user name, so that the
// comparison takes the same time whatever is wrong.
type users map[string][sha256.Size]byte

func newUsers(cfg []UserConfig) (users, error) {
	u := make(users)
	for i := range cfg {
		secret, err := cfg[i].secret()
		if err != nil {
			return nil, fmt.Errorf("password of user %q: %w", cfg[i].Name, err)
		}
		u[cfg[i].Name] = sha256.Sum256([]byte(secret))
	}
	return u, nil
}

// check lets a client in or says why not. Without a user name, anonymous
// decides; with one it must be right, unless no user is configured at all.
func (u users) check(p *packet.Connect, anonymous bool) error {
	if !p.HasUsername || len(u) == 0 {
		if anonymous {
			return nil
		}
		return &packet.Error{Reason: packet.NotAuthorized, Text: "CONNECT without a user name: only from this machine, or where the listener says anonymous = true"}
	}
	want, known := u[string(p.Username)]
	got := sha256.Sum256(p.Password)
	if subtle.ConstantTimeCompare(want[:], got[:]) != 1 || !known {
		return &packet.Error{Reason: packet.BadUserNameOrPassword, Text: fmt.Sprintf("CONNECT: user %q: wrong user name or password", p.Username)}
	}
	return nil
}

// loopback says whether an address is of this machine.
func loopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}
