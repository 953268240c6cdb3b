package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"headgate/broker/auth"
)

// access is who may do what: it logs users in and knows them again by a cookie, or
// by a user name and password with each request (HTTP Basic), as Prometheus sends
// them.
type access struct {
	users   []User
	policy  *auth.Policy
	tls     bool
	log     *slog.Logger
	limiter auth.Limiter

	mu       sync.Mutex // guards what follows
	sessions map[[sha256.Size]byte]*login
}

// login is one user's, in one browser.
type login struct {
	user visitor
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
	maxPassword = 4 << 10 // bytes of a login request
)

// visitorOf says who makes a request; ok is false where he has to log in.
func (a *access) visitorOf(r *http.Request) (v visitor, ok bool) {
	if len(a.users) == 0 {
		return visitor{Role: Viewer}, true
	}
	if c, err := r.Cookie(cookieName); err == nil {
		if v, ok := a.known(c.Value, time.Now()); ok {
			return v, true
		}
	}
	if name, password, given := r.BasicAuth(); given {
		v, wait, err := a.check(r, name, password)
		return v, err == nil && wait == 0
	}
	return visitor{}, false
}

// known gives the user of a session. Of its token only a hash is kept.
func (a *access) known(token string, now time.Time) (visitor, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := sha256.Sum256([]byte(token))
	l := a.sessions[key]
	if l == nil {
		return visitor{}, false
	}
	if now.Sub(l.used) > loginTime {
		delete(a.sessions, key)
		return visitor{}, false
	}
	l.used = now
	return l.user, true
}

// check verifies a password, with wait how long the address has to wait before it
// may try again.
func (a *access) check(r *http.Request, name, password string) (v visitor, wait time.Duration, err error) {
	from := remoteOf(r)
	if wait := a.limiter.Blocked(from, time.Now()); wait > 0 {
		return v, wait, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), loginWait)
	defer cancel()
	user, err := a.policy.Authenticate(ctx, auth.Login{Named: true, Username: name, Password: []byte(password)}, false)
	if err != nil {
		a.limiter.Failed(from, time.Now())
		a.log.Warn("login refused", "remote", r.RemoteAddr, "err", err)
		return v, 0, err
	}
	a.limiter.Succeeded(from)
	for _, u := range a.users {
		if u.Name == user {
			return visitor{user, u.Role}, 0, nil
		}
	}
	return v, 0, auth.ErrBadCredentials
}

func remoteOf(r *http.Request) netip.Addr {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	addr, _ := netip.ParseAddr(host)
	return addr.Unmap()
}

// serveLogin takes {"user": ..., "password": ...} and answers with who that is, and
// a cookie.
func (a *access) serveLogin(w http.ResponseWriter, r *http.Request) {
	var asked struct{ User, Password string }
	if err := json.NewDecoder(io.LimitReader(r.Body, maxPassword)).Decode(&asked); err != nil {
		refuse(w, http.StatusBadRequest, `want {"user": ..., "password": ...}`)
		return
	}
	if len(a.users) == 0 {
		refuse(w, http.StatusNotFound, "there is no user: add a [[web.user]] to the configuration, with what headgate passwd says as its password_hash")
		return
	}
	v, wait, err := a.check(r, asked.User, asked.Password)
	switch {
	case wait > 0:
		seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
		w.Header().Set("Retry-After", seconds)
		refuse(w, http.StatusTooManyRequests, "too many wrong passwords came from there: try again in "+seconds+" s")
		return
	case err != nil:
		refuse(w, http.StatusUnauthorized, err.Error())
		return
	}
	http.SetCookie(w, a.cookie(a.begin(v, time.Now()), int(loginTime/time.Second)))
	a.log.Info("somebody has logged in", "user", v.Name, "remote", r.RemoteAddr)
	answer(w, http.StatusOK, v)
}

// begin makes a session and gives its token.
func (a *access) begin(v visitor, now time.Time) string {
	token := rand.Text() + rand.Text()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sessions == nil {
		a.sessions = make(map[[sha256.Size]byte]*login)
	}
	for len(a.sessions) >= maxLogins {
		var oldest [sha256.Size]byte
		before := now.Add(1)
		for key, l := range a.sessions {
			if l.used.Before(before) {
				oldest, before = key, l.used
			}
		}
		delete(a.sessions, oldest)
	}
	a.sessions[sha256.Sum256([]byte(token))] = &login{v, now}
	return token
}

func (a *access) cookie(token string, maxAge int) *http.Cookie {
	return &http.Cookie{Name: cookieName, Value: token, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: a.tls, SameSite: http.SameSiteStrictMode}
}

func (a *access) serveLogout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(cookieName); err == nil {
		a.mu.Lock()
		delete(a.sessions, sha256.Sum256([]byte(c.Value)))
		a.mu.Unlock()
	}
	http.SetCookie(w, a.cookie("", -1))
	w.WriteHeader(http.StatusNoContent)
}

// serveMe says who is logged in.
func (a *access) serveMe(w http.ResponseWriter, r *http.Request) {
	v, ok := a.visitorOf(r)
	if !ok {
		refuse(w, http.StatusUnauthorized, auth.ErrAnonymous.Error())
		return
	}
	answer(w, http.StatusOK, v)
}

// guard lets a request pass to h if its visitor may make it: to look needs a
// viewer, to change anything an operator. basic asks a client without either for
// a name and a password, as a browser would not be for the page.
func (a *access) guard(h http.Handler, basic bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, ok := a.visitorOf(r)
		switch {
		case !ok:
			if basic {
				w.Header().Set("WWW-Authenticate", `Basic realm="headgate"`)
			}
			refuse(w, http.StatusUnauthorized, auth.ErrAnonymous.Error())
		case r.Method != http.MethodGet && r.Method != http.MethodHead && v.Role != Operator:
			refuse(w, http.StatusForbidden, a.whyNot(v))
		default:
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				a.log.Info("an operator asks for something", "user", v.Name, "remote", r.RemoteAddr, "path", r.URL.Path)
			}
			h.ServeHTTP(w, r)
		}
	})
}

func (a *access) whyNot(v visitor) string {
	if v.Name == "" {
		return "nobody can change anything here as long as no [[web.user]] is configured"
	}
	return "that is for an operator, and " + v.Name + " is a viewer"
}
