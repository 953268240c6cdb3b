package auth

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func mustNew(t testing.TB, cfg Config, previous *Policy) *Policy {
	t.Helper()
	p, err := New(cfg, previous)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func login(name, password string) Login {
	return Login{Named: true, Username: name, Password: []byte(password)}
}

func writeFile(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "passwords")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// countedHash counts how often it is asked, and holds up who asks until it may
// go on.
type countedHash struct {
	password     string
	asked        atomic.Int32
	running, top atomic.Int32
	hold         chan struct{} // nil: nobody is held up
}

func (h *countedHash) verify(password []byte) bool {
	h.asked.Add(1)
	n := h.running.Add(1)
	for old := h.top.Load(); n > old && !h.top.CompareAndSwap(old, n); old = h.top.Load() {
	}
	defer h.running.Add(-1)
	if h.hold != nil {
		<-h.hold
	}
	return string(password) == h.password
}

// counted is a policy with one user, "plant7", whose hash counts.
func counted(t *testing.T) (*Policy, *countedHash) {
	t.Helper()
	p := mustNew(t, Config{User: []UserConfig{{Name: "plant7", PasswordHash: smallHash}}}, nil)
	h := &countedHash{password: "secret"}
	p.users["plant7"].hash = h
	return p, h
}

// smallHash is of the password "password", from the tests of the reference
// implementation of Argon2.
const smallHash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"

func TestClientsComeInAsTheUsersAndTheListenerSay(t *testing.T) {
	some := Config{User: []UserConfig{{Name: "plant7", Password: "secret"}, {Name: "plant8", PasswordHash: smallHash}}}
	none := Config{}
	emptyFile := Config{PasswordFile: writeFile(t, "# nobody yet\n")}
	for _, c := range []struct {
		name      string
		cfg       Config
		login     Login
		anonymous bool
		want      string
		wantErr   error
	}{
		{"the right password", some, login("plant7", "secret"), false, "plant7", nil},
		{"the right password where no name is needed", some, login("plant7", "secret"), true, "plant7", nil},
		{"the right password of a hash", some, login("plant8", "password"), false, "plant8", nil},
		{"a wrong password", some, login("plant7", "secreT"), false, "", ErrBadCredentials},
		{"a wrong password where no name is needed", some, login("plant7", "secreT"), true, "", ErrBadCredentials},
		{"a wrong password of a hash", some, login("plant8", "secret"), false, "", ErrBadCredentials},
		{"another's password", some, login("plant8", "secret"), false, "", ErrBadCredentials},
		{"no password", some, login("plant7", ""), false, "", ErrBadCredentials},
		{"an unknown name", some, login("plant9", "secret"), true, "", ErrBadCredentials},
		{"an unknown name with a password of a known one", some, login("plant9", "password"), true, "", ErrBadCredentials},
		{"an empty name", some, login("", "secret"), true, "", ErrBadCredentials},
		{"no name where one is needed", some, Login{}, false, "", ErrAnonymous},
		{"no name where none is needed", some, Login{}, true, "", nil},
		{"a name that nothing proves, where none is needed", none, login("plant7", "x"), true, "", nil},
		{"a name that nothing proves, where one is needed", none, login("plant7", "x"), false, "", ErrAnonymous},
		{"no name and no users", none, Login{}, false, "", ErrAnonymous},
		{"a password file that is still empty", emptyFile, login("plant7", "x"), true, "", ErrBadCredentials},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := mustNew(t, c.cfg, nil)
			for range 2 { // the second time, what was right is remembered
				got, err := p.Authenticate(t.Context(), c.login, c.anonymous)
				if got != c.want || !errors.Is(err, c.wantErr) || (err == nil) != (c.wantErr == nil) {
					t.Errorf("got %q and %v, want %q and %v", got, err, c.want, c.wantErr)
				}
			}
		})
	}
}

func TestARightPasswordIsHashedOnceAndAWrongOneEachTime(t *testing.T) {
	p, h := counted(t)
	for _, c := range []struct {
		password string
		want     int32
	}{{"wrong", 1}, {"wrong", 2}, {"secret", 3}, {"secret", 3}, {"wrong", 4}, {"secret", 4}} {
		_, err := p.Authenticate(t.Context(), login("plant7", c.password), false)
		if right := c.password == "secret"; right != (err == nil) {
			t.Errorf("password %q: got %v", c.password, err)
		}
		if got := h.asked.Load(); got != c.want {
			t.Errorf("after %q: hashed %d times, want %d", c.password, got, c.want)
		}
	}
}

func TestAnUnknownNameCostsWhatAKnownOneDoes(t *testing.T) {
	p, h := counted(t)
	// Also where the password is one that a known user's cache would spare.
	if _, err := p.Authenticate(t.Context(), login("plant7", "secret"), false); err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{"wrong", "secret", "secret"} {
		before := h.asked.Load()
		if _, err := p.Authenticate(t.Context(), login("nobody", password), false); !errors.Is(err, ErrBadCredentials) {
			t.Errorf("got %v, want %v", err, ErrBadCredentials)
		}
		if got := h.asked.Load() - before; got != 1 {
			t.Errorf("password %q of an unknown name was hashed %d times, want 1", password, got)
		}
	}
}

// An unknown name must not always cost the same where the known ones do not.
func TestUnknownNamesStandInForUsersOfEachKind(t *testing.T) {
	p := mustNew(t, Config{User: []UserConfig{{Name: "plain", Password: "x"}, {Name: "plant7", PasswordHash: smallHash}}}, nil)
	h := &countedHash{}
	p.users["plant7"].hash = h
	costly := func(name string) bool {
		before := h.asked.Load()
		p.Authenticate(t.Context(), login(name, "y"), false)
		return h.asked.Load() > before
	}
	const names = 200
	n := 0
	for i := range names {
		name := "nobody" + strings.Repeat("x", i)
		first := costly(name)
		if first {
			n++
		}
		if costly(name) != first {
			t.Fatalf("unknown name %q costs something else the second time", name)
		}
	}
	if n == 0 || n == names { // by chance: 2 in 2^200
		t.Errorf("%d of %d unknown names were hashed, want some and not all", n, names)
	}
}

func TestOnlySoManyPasswordsAreHashedAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := counted(t)
		h.hold = make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		const clients = 20
		results := make(chan error, clients)
		for range clients {
			go func() {
				_, err := p.Authenticate(ctx, login("plant7", "wrong"), false)
				results <- err
			}()
		}
		synctest.Wait()
		if got := h.running.Load(); got != maxHashing {
			t.Errorf("%d run at a time, want %d", got, maxHashing)
		}
		cancel()
		for range clients - maxHashing {
			if err := <-results; !errors.Is(err, ErrBusy) || !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want %v", err, ErrBusy)
			}
		}
		close(h.hold)
		for range maxHashing {
			if err := <-results; !errors.Is(err, ErrBadCredentials) {
				t.Errorf("got %v, want %v", err, ErrBadCredentials)
			}
		}
		if got := h.top.Load(); got != maxHashing {
			t.Errorf("%d ran at a time, want %d", got, maxHashing)
		}
	})
}

func TestAPlantThatComesBackAtOnceIsHashedHardlyMoreThanOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := counted(t)
		h.hold = make(chan struct{})
		const clients = 5000
		results := make(chan error, clients)
		for range clients {
			go func() {
				_, err := p.Authenticate(t.Context(), login("plant7", "secret"), false)
				results <- err
			}()
		}
		synctest.Wait()
		close(h.hold)
		for range clients {
			if err := <-results; err != nil {
				t.Fatal(err)
			}
		}
		if got := h.asked.Load(); got > maxHashing {
			t.Errorf("hashed %d times for %d clients, want %d at most", got, clients, maxHashing)
		}
	})
}

func TestAReloadRemembersRightPasswordsOfUnchangedHashesOnly(t *testing.T) {
	other := Hash("other")
	old := mustNew(t, Config{User: []UserConfig{
		{Name: "same", PasswordHash: smallHash}, {Name: "changed", PasswordHash: smallHash}, {Name: "plain", Password: "password"},
	}}, nil)
	for _, name := range []string{"same", "changed", "plain"} {
		if _, err := old.Authenticate(t.Context(), login(name, "password"), false); err != nil {
			t.Fatal(err)
		}
	}
	p := mustNew(t, Config{User: []UserConfig{
		{Name: "same", PasswordHash: smallHash}, {Name: "changed", PasswordHash: other}, {Name: "plain", PasswordHash: other},
	}}, old)
	h := &countedHash{password: "password"}
	p.users["same"].hash = h
	if _, err := p.Authenticate(t.Context(), login("same", "password"), false); err != nil || h.asked.Load() != 0 {
		t.Errorf("unchanged hash: got %v and %d hashings, want none of either", err, h.asked.Load())
	}
	for _, name := range []string{"changed", "plain"} {
		if _, err := p.Authenticate(t.Context(), login(name, "password"), false); !errors.Is(err, ErrBadCredentials) {
			t.Errorf("%s: the old password gives %v, want %v", name, err, ErrBadCredentials)
		}
		if _, err := p.Authenticate(t.Context(), login(name, "other"), false); err != nil {
			t.Errorf("%s: the new password gives %v", name, err)
		}
	}
	if cap(p.shared.hashing) != maxHashing || p.shared != old.shared {
		t.Error("the bound on hashing is not shared with the policy before")
	}
}

func TestAPasswordThatIsConfiguredAsSuchIsNotKept(t *testing.T) {
	p := mustNew(t, Config{User: []UserConfig{{Name: "plant7", Password: "secret"}}}, nil)
	if got := p.users["plant7"].password; got != "" {
		t.Errorf("got %q, want nothing", got)
	}
}
