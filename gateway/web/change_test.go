package web

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// runServer runs a server of cfg until the test ends.
func runServer(t *testing.T, cfg Config) *Server {
	t.Helper()
	cfg.SetDefaults()
	lines := NewLog(slog.NewTextHandler(io.Discard, nil))
	s, err := New(cfg, oneDevice(), lines, slog.New(lines))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for end := time.Now().Add(20 * time.Second); s.Address() == "" && cfg.Listen != Off; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the page has no port")
		}
	}
	return s
}

func (s *Server) changeTo(t *testing.T, cfg Config) {
	t.Helper()
	cfg.SetDefaults()
	c, err := s.Prepare(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Apply()
}

// stream opens the page's events as a user, and gives a reader of their lines.
func stream(t *testing.T, s *Server, change ...func(*http.Request)) *bufio.Reader {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.Address()+"/api/v1/events?of=status", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(r)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	return bufio.NewReader(resp.Body)
}

// event waits for the next one.
func event(lines *bufio.Reader) error {
	for {
		line, err := lines.ReadString('\n')
		if err != nil || strings.HasPrefix(line, "data: ") {
			return err
		}
	}
}

func basic(user, password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(user, password) }
}

func (s *Server) login(t *testing.T, user, password string) (status int, session func(*http.Request)) {
	t.Helper()
	status, _, header := ask(t, "POST", s.Address()+"/api/v1/login", fmt.Sprintf(`{"user":%q,"password":%q}`, user, password))
	value, _, _ := strings.Cut(header.Get("Set-Cookie"), ";")
	return status, cookie(value)
}

func TestAChangedPasswordEndsTheSessionsOfThatUserAlone(t *testing.T) {
	t.Parallel()
	cfg := Config{Listen: "127.0.0.1:0", User: []User{user("anna", "secret1", Operator), user("otto", "secret2", Viewer), user("zoe", "secret3", Viewer)}}
	s := runServer(t, cfg)
	at := s.Address()
	_, anna := s.login(t, "anna", "secret1")
	_, otto := s.login(t, "otto", "secret2")
	annas, ottos, zoes := stream(t, s, anna), stream(t, s, otto), stream(t, s, basic("zoe", "secret3"))

	cfg.User = []User{user("anna", "changed", Operator), user("otto", "secret2", Viewer)}
	s.changeTo(t, cfg)
	if s.Address() != at {
		t.Errorf("the page has gone from %s to %s", at, s.Address())
	}
	for name, lines := range map[string]*bufio.Reader{"anna": annas, "zoe": zoes} {
		for event(lines) == nil { // until it ends
		}
		t.Logf("the page of %s has ended", name)
	}
	for range 2 {
		if err := event(ottos); err != nil {
			t.Fatalf("the page of who is the same ends: %v", err)
		}
	}
	if status, _, _ := ask(t, "GET", at+"/api/v1/me", "", otto); status != http.StatusOK {
		t.Errorf("otto's session: %d", status)
	}
	if status, _, _ := ask(t, "GET", at+"/api/v1/me", "", anna); status != http.StatusUnauthorized {
		t.Errorf("anna's old session: %d", status)
	}
	if status, _ := s.login(t, "anna", "secret1"); status != http.StatusUnauthorized {
		t.Errorf("anna's old password: %d", status)
	}
	if status, _ := s.login(t, "anna", "changed"); status != http.StatusOK {
		t.Errorf("anna's new password: %d", status)
	}
	if status, _ := s.login(t, "zoe", "secret3"); status != http.StatusUnauthorized {
		t.Errorf("who is gone: %d", status)
	}
	// Another role is another user.
	_, anna = s.login(t, "anna", "changed")
	cfg.User[0].Role = Viewer
	s.changeTo(t, cfg)
	if status, _, _ := ask(t, "GET", at+"/api/v1/me", "", anna); status != http.StatusUnauthorized {
		t.Errorf("a session with the old role: %d", status)
	}
}

func TestThePageThatWasOpenToAllAsksForALogin(t *testing.T) {
	t.Parallel()
	s := runServer(t, Config{Listen: "127.0.0.1:0"})
	anybodys := stream(t, s)
	s.changeTo(t, Config{Listen: "127.0.0.1:0", User: []User{user("anna", "secret1", Operator)}})
	for event(anybodys) == nil {
	}
	if status, _, _ := ask(t, "GET", s.Address()+"/api/v1/devices", ""); status != http.StatusUnauthorized {
		t.Errorf("got %d", status)
	}
}

// freePort gives an address that nobody listens at.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestThePageGoesToAnotherAddress(t *testing.T) {
	t.Parallel()
	s := runServer(t, Config{Listen: "127.0.0.1:0"})
	before, old := s.Address(), stream(t, s)
	next := freePort(t)
	s.changeTo(t, Config{Listen: next})
	if s.Address() != "http://"+next {
		t.Errorf("the page is at %s", s.Address())
	}
	if status, _, _ := ask(t, "GET", "http://"+next+"/api/v1/status", ""); status != http.StatusOK {
		t.Errorf("there it answers %d", status)
	}
	if nc, err := net.Dial("tcp", strings.TrimPrefix(before, "http://")); err == nil {
		nc.Close()
		t.Error("it still listens where it was")
	}
	for event(old) == nil {
	}
	// Off and on again.
	s.changeTo(t, Config{Listen: Off})
	if nc, err := net.Dial("tcp", next); err == nil || s.Address() != "" {
		nc.Close()
		t.Errorf("it is at %q although it is off", s.Address())
	}
	s.changeTo(t, Config{Listen: "127.0.0.1:0"})
	if status, _, _ := ask(t, "GET", s.Address()+"/healthz", ""); status != http.StatusOK {
		t.Errorf("on again it answers %d", status)
	}
}

// From 127.0.0.1:N to :N the page itself is what stands in the way.
func TestThePageOpensToOtherMachinesAtItsOwnPort(t *testing.T) {
	t.Parallel()
	users := []User{user("anna", "secret1", Operator)}
	s := runServer(t, Config{Listen: "127.0.0.1:0", User: users})
	_, number, _ := net.SplitHostPort(strings.TrimPrefix(s.Address(), "http://"))
	next := Config{Listen: "0.0.0.0:" + number, User: users}
	// One that comes to nothing leaves the page as it is, with who looks at it.
	lines := stream(t, s, basic("anna", "secret1"))
	c, err := s.Prepare(next)
	if err != nil {
		t.Fatal(err)
	}
	c.Cancel()
	if status, _, _ := ask(t, "GET", "http://127.0.0.1:"+number+"/healthz", ""); status != http.StatusOK {
		t.Errorf("after a change that was cancelled it answers %d", status)
	}
	if err := event(lines); err != nil {
		t.Errorf("an open page ended: %v", err)
	}
	s.changeTo(t, next)
	if status, _, _ := ask(t, "GET", "http://127.0.0.1:"+number+"/healthz", ""); status != http.StatusOK || strings.Contains(s.Address(), "127.0.0.1") {
		t.Errorf("%s answers %d", s.Address(), status)
	}
}

func TestAChangeToATakenPortIsRefusedAndNothingIsChanged(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := runServer(t, Config{Listen: "127.0.0.1:0", User: []User{user("anna", "secret1", Operator)}})
	before, lines := s.Address(), stream(t, s, basic("anna", "secret1"))
	_, err = s.Prepare(Config{Listen: taken.Addr().String(), User: []User{user("bob", "secret2", Operator)}})
	if err == nil || !strings.HasPrefix(err.Error(), "web.listen: ") || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Prepare(Config{Listen: "127.0.0.1:0", CertFile: "nowhere.pem", KeyFile: "nowhere.key"}); err == nil || !strings.Contains(err.Error(), "web.cert_file nowhere.pem") {
		t.Errorf("got %v", err)
	}
	if status, _, _ := ask(t, "GET", before+"/api/v1/me", "", basic("anna", "secret1")); status != http.StatusOK || s.Address() != before {
		t.Errorf("%s, now %s, answers %d", before, s.Address(), status)
	}
	if err := event(lines); err != nil {
		t.Errorf("an open page ended: %v", err)
	}
}

func TestTheCertificateChangesAndHTTPBecomesHTTPS(t *testing.T) {
	t.Parallel()
	at := freePort(t)
	s := runServer(t, Config{Listen: at})
	secure := Config{Listen: at}
	secure.CertFile, secure.KeyFile = certificateFiles(t)
	s.changeTo(t, secure)
	if s.Address() != "https://"+at {
		t.Fatalf("the page is at %s", s.Address())
	}
	serial := func() string {
		t.Helper()
		nc, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		fmt.Fprintf(nc, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		if text, err := io.ReadAll(nc); err != nil || !strings.HasSuffix(string(text), "ok\n") {
			t.Fatalf("got %q, %v", text, err)
		}
		return nc.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	before := serial()
	secure.CertFile, secure.KeyFile = otherCertificate(t)
	s.changeTo(t, secure)
	if after := serial(); after == before {
		t.Error("the certificate is the old one")
	}
}

// What a reload that is asked for by the page itself answers reaches it, though the
// page goes elsewhere by that.
func TestARequestThatMovesThePageIsAnswered(t *testing.T) {
	t.Parallel()
	lines := NewLog(slog.NewTextHandler(io.Discard, nil))
	f := &movingGateway{fakeGateway: oneDevice()}
	cfg := Config{Listen: "127.0.0.1:0", User: []User{user("anna", "secret1", Operator)}}
	s, err := New(cfg, f, lines, slog.New(lines))
	if err != nil {
		t.Fatal(err)
	}
	f.move = func() error {
		c, err := s.Prepare(Config{Listen: freePort(t), User: cfg.User})
		if err == nil {
			c.Apply()
		}
		return err
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	for end := time.Now().Add(20 * time.Second); s.Address() == ""; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the page has no port")
		}
	}
	status, text, _ := ask(t, "POST", s.Address()+"/api/v1/move", "", basic("anna", "secret1"))
	if status != http.StatusOK || !strings.Contains(text, "moved") {
		t.Errorf("got %d %s", status, text)
	}
}

// movingGateway is a gateway with a request that changes the page.
type movingGateway struct {
	*fakeGateway
	move func() error
}

func (f *movingGateway) Routes() []Route {
	return []Route{{"POST /api/v1/move", func(w http.ResponseWriter, _ *http.Request) {
		if err := f.move(); err != nil {
			refuse(w, http.StatusInternalServerError, errors.Unwrap(err).Error())
			return
		}
		answer(w, http.StatusOK, "moved")
	}}}
}
