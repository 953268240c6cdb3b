package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"hash/fnv"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"headgate/broker/auth"
)

// access is who may do what: it logs users in and knows them again by a cookie, or
// by a user name and password with each request (HTTP Basic), as Prometheus sends
// them.
type access struct {
	log     *slog.Logger
	limiter auth.Limiter
	turns   [loginTurns]chan struct{} // of addresses: one password of each is checked at a time
	now     atomic.Pointer[accounts]

	mu       sync.Mutex // guards what follows
	sessions map[[sha256.Size]byte]*login
}

// login is one user's, in one browser.
type login struct {
	of   *account
	used time.Time
}

// visitor is who makes a request; Name is "" where nobody has to log in.
type visitor struct {
	Name string `json:"user"`
	Role Role   `json:"role"`
}

const (
	cookieName  = "headgate"
	loginTime   = 12 * time.Hour // without a request
	maxLogins   = 64             // past it, the one that was used longest ago goes
	loginWait   = 5 * time.Second
	loginTurns  = 64      // addresses that share one are few
	maxPassword = 4 << 10 // bytes of a login request
)

// accountOf says who makes a request; ok is false where he has to log in.
func (a *access) accountOf(r *http.Request) (one *account, ok bool) {
	now := a.now.Load()
	if now.open {
		return now.list[""], true
	}
	if c, err := r.Cookie(cookieName); err == nil {
		if one := a.known(c.Value, time.Now()); one != nil {
			return one, true
		}
	}
	if name, password, given := r.BasicAuth(); given {
		one, wait, err := a.check(r, name, password)
		return one, err == nil && wait == 0
	}
	return nil, false
}

// known gives the user of a session, nil if there is none. Of its token only a hash
// is kept.
func (a *access) known(token string, now time.Time) *account {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := sha256.Sum256([]byte(token))
	l := a.sessions[key]
	if l == nil {
		return nil
	}
	// One that was verified before a change may have begun after it.
	if now.Sub(l.used) > loginTime || !a.now.Load().has(l.of) {
		delete(a.sessions, key)
		return nil
	}
	l.used = now
	return l.of
}

// change has others be who may log in. The sessions of accounts that are gone end,
// with what they are being sent.
func (a *access) change(next *accounts) {
	before := a.now.Swap(next)
	a.mu.Lock()
	for key, l := range a.sessions {
		if !next.has(l.of) {
			delete(a.sessions, key)
		}
	}
	a.mu.Unlock()
	for _, one := range before.list {
		if !next.has(one) {
			one.end()
		}
	}
}

// newAccess makes that of some accounts.
func newAccess(log *slog.Logger) *access {
	a := &access{log: log}
	for i := range a.turns {
		a.turns[i] = make(chan struct{}, 1)
	}
	return a
}

// check verifies a password, with wait how long the address has to wait before it
// may try again. Guesses that come at once wait for each other, so that the first
// that are wrong stop the others. A right password does not make up for wrong ones:
// who has one account could guess at another without end.
func (a *access) check(r *http.Request, name, password string) (one *account, wait time.Duration, err error) {
	now := a.now.Load()
	from := remoteOf(r)
	ctx, cancel := context.WithTimeout(r.Context(), loginWait)
	defer cancel()
	turn := a.turns[turnOf(from)]
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return nil, 0, auth.ErrBusy
	}
	if wait := a.limiter.Blocked(from, time.Now()); wait > 0 {
		return nil, wait, nil
	}
	user, err := now.policy.Authenticate(ctx, auth.Login{Named: true, Username: name, Password: []byte(password)}, false)
	if errors.Is(err, auth.ErrBusy) { // nobody has looked at the password
		return nil, 0, auth.ErrBusy
	}
	if err != nil {
		a.limiter.Failed(from, time.Now())
		a.log.Warn("login refused", "remote", r.RemoteAddr, "err", err)
		return nil, 0, err
	}
	if one = now.list[user]; one == nil {
		return nil, 0, auth.ErrBadCredentials
	}
	return one, 0, nil
}

func remoteOf(r *http.Request) netip.Addr {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	addr, _ := netip.ParseAddr(host)
	return addr.Unmap()
}

// turnOf gives the turn of an address. Those of one /64, which a single host may have,
// share theirs.
func turnOf(addr netip.Addr) int {
	bytes := addr.AsSlice()
	sum := fnv.New32a()
	sum.Write(bytes[:min(len(bytes), 8)])
	return int(sum.Sum32() % loginTurns)
}

// serveLogin takes {"user": ..., "password": ...} and answers with who that is, and
// a cookie.
func (a *access) serveLogin(w http.ResponseWriter, r *http.Request) {
	var asked struct{ User, Password string }
	if err := json.NewDecoder(io.LimitReader(r.Body, maxPassword)).Decode(&asked); err != nil {
		refuse(w, http.StatusBadRequest, `want {"user": ..., "password": ...}`)
		return
	}
	if a.now.Load().open {
		refuse(w, http.StatusNotFound, "there is no user: add a [[web.user]] to the configuration, with what headgate passwd says as its password_hash")
		return
	}
	one, wait, err := a.check(r, asked.User, asked.Password)
	switch {
	case wait > 0:
		seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
		w.Header().Set("Retry-After", seconds)
		refuse(w, http.StatusTooManyRequests, "too many wrong passwords came from there: try again in "+seconds+" s")
		return
	case errors.Is(err, auth.ErrBusy):
		refuse(w, http.StatusServiceUnavailable, err.Error()+": try again")
		return
	case err != nil:
		refuse(w, http.StatusUnauthorized, err.Error())
		return
	}
	http.SetCookie(w, newCookie(r, a.begin(one, time.Now()), int(loginTime/time.Second)))
	a.log.Info("somebody has logged in", "user", one.Name, "remote", r.RemoteAddr)
	answer(w, http.StatusOK, one.visitor)
}

// begin makes a session and gives its token.
func (a *access) begin(one *account, now time.Time) string {
	token := rand.Text() + rand.Text()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sessions == nil {
		a.sessions = make(map[[sha256.Size]byte]*login)
	}
	for len(a.sessions) >= maxLogins {
		var oldest [sha256.Size]byte
		var since time.Time // others may have been used after now
		for key, l := range a.sessions {
			if since.IsZero() || l.used.Before(since) {
				oldest, since = key, l.used
			}
		}
		delete(a.sessions, oldest)
	}
	a.sessions[sha256.Sum256([]byte(token))] = &login{one, now}
	return token
}

// newCookie makes the cookie of a session, or with a maxAge of -1 ends it.
func newCookie(r *http.Request, token string, maxAge int) *http.Cookie {
	return &http.Cookie{Name: cookieName, Value: token, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode}
}

func (a *access) serveLogout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(cookieName); err == nil {
		a.mu.Lock()
		delete(a.sessions, sha256.Sum256([]byte(c.Value)))
		a.mu.Unlock()
	}
	http.SetCookie(w, newCookie(r, "", -1))
	w.WriteHeader(http.StatusNoContent)
}

// serveMe says who is logged in.
func (a *access) serveMe(w http.ResponseWriter, r *http.Request) {
	one, ok := a.accountOf(r)
	if !ok {
		refuse(w, http.StatusUnauthorized, auth.ErrAnonymous.Error())
		return
	}
	answer(w, http.StatusOK, one.visitor)
}

// guard lets a request pass to h if its visitor may make it: to look needs a
// viewer, to change anything an operator. basic asks a client without either for
// a name and a password, as a browser would not be for the page.
func (a *access) guard(h http.Handler, basic bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one, ok := a.accountOf(r)
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		switch {
		case !ok:
			if basic {
				w.Header().Set("WWW-Authenticate", `Basic realm="headgate"`)
			}
			refuse(w, http.StatusUnauthorized, auth.ErrAnonymous.Error())
		case reads:
			serveUntil(one.ctx, h, w, r)
		case one.Role != Operator:
			refuse(w, http.StatusForbidden, whyNot(one.visitor))
		default:
			a.log.Info("an operator asks for something", "user", one.Name, "remote", r.RemoteAddr, "path", r.URL.Path)
			h.ServeHTTP(w, r)
		}
	})
}

// serveUntil has h answer a request that reads, until end at the latest.
func serveUntil(end context.Context, h http.Handler, w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(end, cancel)()
	h.ServeHTTP(w, r.WithContext(ctx))
}

func whyNot(v visitor) string {
	if v.Name == "" {
		return "nobody can change anything here as long as no [[web.user]] is configured"
	}
	return "that is for an operator, and " + v.Name + " is a viewer"
}
