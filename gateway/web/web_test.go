package web

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/broker/auth"
	"headgate/gateway/point"
)

// fakeGateway is a Source of devices that the test sets.
type fakeGateway struct {
	mu      sync.Mutex
	devices []Device
	unready []string
	metrics []Family
	watched func(Message)
	wrote   int
}

func (f *fakeGateway) Status() any  { return map[string]int{"clients": 2} }
func (f *fakeGateway) Clients() any { return []string{} }
func (f *fakeGateway) Devices() []Device {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := append([]Device{}, f.devices...)
	for i := range list {
		list[i].Points = append([]Point{}, list[i].Points...)
	}
	return list
}
func (f *fakeGateway) Links() []Link     { return []Link{{Name: "rs485", Open: true, Devices: 1}} }
func (f *fakeGateway) Unready() []string { return f.unready }
func (f *fakeGateway) Metrics() []Family { return f.metrics }
func (f *fakeGateway) Watch(handle func(Message)) func() {
	f.watched = handle
	return func() { f.watched = nil }
}
func (f *fakeGateway) Routes() []Route {
	return []Route{{"POST /api/v1/write", func(w http.ResponseWriter, _ *http.Request) {
		f.wrote++
		answer(w, http.StatusOK, "written")
	}}}
}

// set gives a point of the only device a value.
func (f *fakeGateway) set(at int, v float64, t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := &f.devices[0]
	d.Samples++
	d.Points[at].Last = point.Sample{Point: d.Points[at].Name, Value: point.OfFloat(v), Time: t}
}

func oneDevice() *fakeGateway {
	return &fakeGateway{devices: []Device{{Name: "meter", Adapter: "rs485", Online: true, Points: []Point{{Name: "voltage", Unit: "V"}, {Name: "power", Unit: "W", Writable: true}}}}}
}

func newTestServer(t *testing.T, f *fakeGateway, users ...User) (*Server, *httptest.Server) {
	t.Helper()
	lines := NewLog(slog.NewTextHandler(io.Discard, nil))
	cfg := Config{User: users}
	cfg.SetDefaults()
	cfg.Check(func(key, format string, args ...any) { t.Fatalf("%s: %s", key, fmt.Sprintf(format, args...)) })
	s, err := New(cfg, f, lines, slog.New(lines))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s.answers)
	t.Cleanup(srv.Close)
	return s, srv
}

func user(name, password string, role Role) User {
	return User{UserConfig: auth.UserConfig{Name: name, Password: password}, Role: role}
}

// ask makes a request; change may set headers.
func ask(t *testing.T, method, url, body string, change ...func(*http.Request)) (status int, text string, header http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
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
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

func cookie(value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Cookie", value) }
}

func TestWhoHasNotLoggedInSeesNothing(t *testing.T) {
	_, srv := newTestServer(t, oneDevice(), user("anna", "secret1", Operator))
	for _, path := range []string{"/api/v1/devices", "/api/v1/status", "/api/v1/events?of=status", "/api/v1/log", "/metrics", "/api/v1/me"} {
		if status, _, _ := ask(t, "GET", srv.URL+path, ""); status != http.StatusUnauthorized {
			t.Errorf("%s answers %d", path, status)
		}
	}
	for _, path := range []string{"/", "/healthz", "/readyz"} {
		if status, _, _ := ask(t, "GET", srv.URL+path, ""); status != http.StatusOK {
			t.Errorf("%s answers %d", path, status)
		}
	}
}

func TestALoginLastsUntilTheLogout(t *testing.T) {
	f := oneDevice()
	_, srv := newTestServer(t, f, user("anna", "secret1", Operator), user("otto", "secret2", Viewer))
	login := func(name, password string) string {
		t.Helper()
		status, text, header := ask(t, "POST", srv.URL+"/api/v1/login", `{"user":"`+name+`","password":"`+password+`"}`)
		set := header.Get("Set-Cookie")
		if status != http.StatusOK || !strings.Contains(set, "HttpOnly") || !strings.Contains(set, "SameSite=Strict") {
			t.Fatalf("login as %s: %d %s %s", name, status, text, set)
		}
		value, _, _ := strings.Cut(set, ";")
		return value
	}
	anna, otto := login("anna", "secret1"), login("otto", "secret2")
	if status, text, _ := ask(t, "GET", srv.URL+"/api/v1/me", "", cookie(otto)); status != 200 || !strings.Contains(text, `"role":"viewer"`) {
		t.Errorf("otto is %d %s", status, text)
	}
	if status, text, _ := ask(t, "POST", srv.URL+"/api/v1/write", "{}", cookie(otto)); status != http.StatusForbidden {
		t.Errorf("a viewer who writes gets %d %s", status, text)
	}
	if status, text, _ := ask(t, "POST", srv.URL+"/api/v1/write", "{}", cookie(anna)); status != 200 || f.wrote != 1 {
		t.Errorf("an operator who writes gets %d %s", status, text)
	}
	ask(t, "POST", srv.URL+"/api/v1/logout", "", cookie(anna))
	if status, _, _ := ask(t, "GET", srv.URL+"/api/v1/devices", "", cookie(anna)); status != http.StatusUnauthorized {
		t.Errorf("after the logout the cookie still counts: %d", status)
	}
}

func TestAPasswordMayComeWithEachRequest(t *testing.T) {
	_, srv := newTestServer(t, oneDevice(), user("prometheus", "secret1", Viewer))
	basic := func(password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth("prometheus", password) }
	}
	if status, _, _ := ask(t, "GET", srv.URL+"/metrics", "", basic("secret1")); status != 200 {
		t.Errorf("got %d", status)
	}
	status, _, header := ask(t, "GET", srv.URL+"/metrics", "", basic("wrong"))
	if status != http.StatusUnauthorized || header.Get("WWW-Authenticate") == "" {
		t.Errorf("a wrong password gets %d, %q", status, header.Get("WWW-Authenticate"))
	}
}

func TestWhoGuessesPasswordsHasToWait(t *testing.T) {
	_, srv := newTestServer(t, oneDevice(), user("anna", "secret1", Operator))
	for range 3 {
		if status, _, _ := ask(t, "POST", srv.URL+"/api/v1/login", `{"user":"anna","password":"x"}`); status != http.StatusUnauthorized {
			t.Fatalf("got %d", status)
		}
	}
	status, text, header := ask(t, "POST", srv.URL+"/api/v1/login", `{"user":"anna","password":"secret1"}`)
	if status != http.StatusTooManyRequests || header.Get("Retry-After") == "" {
		t.Errorf("the fourth gets %d %s", status, text)
	}
}

func TestAnotherPagesRequestsAreRefused(t *testing.T) {
	f := oneDevice()
	_, srv := newTestServer(t, f, user("anna", "secret1", Operator))
	status, text, _ := ask(t, "POST", srv.URL+"/api/v1/write", "{}", func(r *http.Request) {
		r.SetBasicAuth("anna", "secret1")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
	})
	if status != http.StatusForbidden || f.wrote > 0 {
		t.Errorf("got %d %s", status, text)
	}
	_, srv = newTestServer(t, f)
	if status, text, _ := ask(t, "GET", srv.URL+"/api/v1/devices", "", func(r *http.Request) { r.Host = "evil.example" }); status != http.StatusMisdirectedRequest {
		t.Errorf("by a name that leads here, got %d %s", status, text)
	}
}

func TestWithoutAUserNobodyChangesAnything(t *testing.T) {
	f := oneDevice()
	_, srv := newTestServer(t, f)
	if status, _, _ := ask(t, "GET", srv.URL+"/api/v1/devices", ""); status != 200 {
		t.Errorf("got %d", status)
	}
	if status, text, _ := ask(t, "POST", srv.URL+"/api/v1/write", "{}"); status != http.StatusForbidden || f.wrote > 0 {
		t.Errorf("got %d %s", status, text)
	}
}

func TestTheFaultsOfAConfigAreSaidByTheirKeys(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Listen: "0.0.0.0:8080"}, "listen"},
		{Config{Listen: ":8080"}, "listen"},
		{Config{Listen: "8080"}, "listen"},
		{Config{CertFile: "x.pem"}, "cert_file"},
		{Config{KeyFile: "x.pem"}, "key_file"},
		{Config{User: []User{user("a", "b", "root")}}, "user[0].role"},
		{Config{User: []User{{}}}, "user[0].name"},
		{Config{Listen: "0.0.0.0:8080", User: []User{user("a", "b", Viewer)}}, ""},
		{Config{Listen: "[::1]:80"}, ""},
		{Config{Listen: "off"}, ""},
		{Config{}, ""},
	} {
		got := ""
		c.cfg.SetDefaults()
		c.cfg.Check(func(key, _ string, _ ...any) {
			if got == "" {
				got = key
			}
		})
		if got != c.want {
			t.Errorf("%+v: got a fault of %q, want %q", c.cfg, got, c.want)
		}
	}
}

func TestReadyzSaysWhyNot(t *testing.T) {
	f := oneDevice()
	_, srv := newTestServer(t, f)
	f.unready = []string{"the disk is full"}
	if status, text, _ := ask(t, "GET", srv.URL+"/readyz", ""); status != http.StatusServiceUnavailable || text != "the disk is full\n" {
		t.Errorf("got %d %q", status, text)
	}
}

func TestEventsSayWhatHasChanged(t *testing.T) {
	f := oneDevice()
	s, srv := newTestServer(t, f)
	resp, err := http.Get(srv.URL + "/api/v1/events?of=devices")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	now := time.Now()
	s.hub.tick(now)
	f.set(1, 230.5, now)
	s.hub.tick(now)
	var last string
	for i := 0; i < 2; {
		b := make([]byte, 4096)
		n, err := resp.Body.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(b[:n]), "\n") {
			if data, is := strings.CutPrefix(line, "data: "); is {
				last, i = data, i+1
			}
		}
	}
	var c struct{ Points [][]any }
	if err := json.Unmarshal([]byte(last), &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Points) != 1 || c.Points[0][1] != 1.0 || c.Points[0][2] != 230.5 || c.Points[0][3] != "good" {
		t.Errorf("got %s", last)
	}
}

func TestAViewerThatReadsNothingIsLetGo(t *testing.T) {
	s, _ := newTestServer(t, oneDevice())
	v := s.hub.add([]string{statusEvent})
	for range slowViewers {
		s.hub.tick(time.Now())
	}
	select {
	case <-v.lost:
		t.Fatal("it was let go too early")
	default:
	}
	s.hub.tick(time.Now())
	select {
	case <-v.lost:
	default:
		t.Fatal("it still holds up the events")
	}
	for range maxViewers {
		if s.hub.add([]string{statusEvent}) == nil {
			t.Fatal("refused below the limit")
		}
	}
	if s.hub.add([]string{statusEvent}) != nil {
		t.Error("more viewers than allowed")
	}
}

func TestTopicsAreWatchedWhileSomebodyLooks(t *testing.T) {
	f := oneDevice()
	s, srv := newTestServer(t, f)
	if f.watched != nil {
		t.Fatal("watched before anybody looked")
	}
	ask(t, "GET", srv.URL+"/api/v1/topics", "")
	f.watched(Message{Topic: "a/b", Payload: []byte("1"), Retain: true, Old: true})
	f.watched(Message{Topic: "a/c", Payload: []byte{0xff, 0xfe}, QoS: 1})
	f.watched(Message{Topic: "a/b", Payload: []byte("2"), Retain: true})
	_, text, _ := ask(t, "GET", srv.URL+"/api/v1/topics", "")
	var list topicList
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list.Topics) != 2 {
		t.Fatalf("got %s, %v", text, err)
	}
	if b := list.Topics[0]; b.Topic != "a/b" || b.Payload != "2" || !b.Retained || b.Count != 1 {
		t.Errorf("got %+v", b)
	}
	if c := list.Topics[1]; !c.Binary || c.Size != 2 || c.QoS != 1 {
		t.Errorf("got %+v", c)
	}
	s.topics.tick(time.Now().Add(unwatchedTime + time.Second))
	if f.watched != nil {
		t.Error("still watched long after the last look")
	}
}

func TestTopicsAreBounded(t *testing.T) {
	topics := newTopics(func(func(Message)) func() { return func() {} })
	topics.look(time.Now())
	for i := range 2 * maxTopics / (topicOverhead + shownPayload) {
		topics.take(Message{Topic: fmt.Sprintf("topic/%d", i), Payload: []byte("x")})
	}
	if list := topics.all(); topics.bytes > maxTopics || list.Left == 0 || len(list.Topics) == 0 {
		t.Errorf("%d bytes, %d topics, %d left", topics.bytes, len(list.Topics), list.Left)
	}
}

func TestTheServerGoesWhenItIsTold(t *testing.T) {
	lines := NewLog(slog.NewTextHandler(io.Discard, nil))
	s, err := New(Config{Listen: "127.0.0.1:0"}, oneDevice(), lines, slog.New(lines))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for s.Address() == "" {
		select {
		case err := <-done:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
	resp, err := http.Get(s.Address() + "/api/v1/events?of=status")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("got %v", err)
	}
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Errorf("the viewer got %v", err)
	}
}

func TestThePageIsSmall(t *testing.T) {
	const most = 130_000
	size := 0
	err := fs.WalkDir(pageFiles, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == "page/openapi.json" { // which no browser fetches for the page
			return err
		}
		fi, err := d.Info()
		size += int(fi.Size())
		return err
	})
	if err != nil || size > most || size == 0 {
		t.Errorf("the page has %d bytes, %d are allowed; %v", size, most, err)
	}
}

func TestThePageFetchesNothingFromElsewhere(t *testing.T) {
	_, srv := newTestServer(t, oneDevice())
	_, text, header := ask(t, "GET", srv.URL+"/", "")
	if strings.Contains(text, "//") && strings.Contains(text, "http") {
		t.Errorf("it has an address in it:\n%s", text)
	}
	if csp := header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("got the policy %q", csp)
	}
}

func TestOneConnectionTooManyIsClosed(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &limitedListener{inner, make(chan struct{}, 1), func() *tls.Config { return nil }}
	defer l.Close()
	accepted := make(chan net.Conn, 2)
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- nc
		}
	}()
	dial := func() net.Conn {
		t.Helper()
		nc, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		return nc
	}
	dial()
	first := <-accepted
	if _, err := dial().Read(make([]byte, 1)); err == nil {
		t.Error("the second one is served")
	}
	first.Close()
	first.Close() // gives its room back once
	dial()
	<-accepted
	if _, err := dial().Read(make([]byte, 1)); err == nil {
		t.Error("two have room for one")
	}
}

func TestABrowserThatHasThePageDoesNotFetchItAgain(t *testing.T) {
	_, srv := newTestServer(t, oneDevice())
	for _, path := range []string{"/", "/app.js", "/views/flow.js"} {
		_, _, header := ask(t, "GET", srv.URL+path, "")
		status, text, _ := ask(t, "GET", srv.URL+path, "", func(r *http.Request) { r.Header.Set("If-None-Match", header.Get("ETag")) })
		if status != http.StatusNotModified || text != "" {
			t.Errorf("%s: got %d and %d bytes", path, status, len(text))
		}
	}
}
