package main

import (
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
)

const pageConfig = `
[gateway]
id = "plant"
data_dir = "{DIR}"
[[broker.listener]]
url = "mqtt://127.0.0.1:0"
`

// The page follows a reload, and a reload that it cannot follow changes nothing at all.
func TestAReloadChangesThePage(t *testing.T) {
	t.Parallel()
	base := strings.ReplaceAll(pageConfig, "{DIR}", t.TempDir())
	page := func(listen, password string) string {
		return "[web]\nlisten = \"" + listen + "\"\n[[web.user]]\nname = \"anna\"\npassword = \"" + password + "\"\n"
	}
	h := runInside(t, base+page("127.0.0.1:0", "first secret"))
	eventually(t, "the page is there", func() bool { return h.web.Address() != "" })
	h.reloader = h.newReloader(h.config.Paths[0])
	reload := func(text string) (reloadResult, error) {
		t.Helper()
		if err := os.WriteFile(h.reloader.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return h.reloader.reload()
	}
	status := func(at, password string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", at+"/api/v1/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("anna", password)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	at := h.web.Address()
	res, err := reload(base + page("127.0.0.1:0", "second secret"))
	if err != nil || len(res.Restart) > 0 || res.Page != "" || strings.Contains(res.String(), "restart") {
		t.Fatalf("another password: %v: %v", err, res)
	}
	if first, second := status(at, "first secret"), status(at, "second secret"); first != 401 || second != 200 {
		t.Errorf("the old password gets %d, the new one %d", first, second)
	}

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	before := h.broker.Addresses()
	_, err = reload(base + "[[broker.listener]]\nurl = \"ws://127.0.0.1:0\"\n" + page(taken.Addr().String(), "third secret"))
	if err == nil || !strings.Contains(err.Error(), "web.listen") || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("a port that is taken: %v", err)
	}
	if got := status(at, "second secret"); got != 200 || len(h.broker.Addresses()) != len(before) {
		t.Errorf("after that the page answers %d, and there are %d listeners", got, len(h.broker.Addresses()))
	}

	// One that the broker has no port for is named by its own URL.
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := closed.Addr().String()
	closed.Close()
	res, err = reload(base + "[[broker.listener]]\nurl = \"mqtt://" + taken.Addr().String() + "\"\n" + page(free, "second secret") + "[store]\n")
	if len(res.Unbound) != 1 || !strings.Contains(res.String(), "Nobody can connect there, and it is tried again: listener mqtt://"+taken.Addr().String()) || !strings.Contains(res.String(), "address already in use") {
		t.Errorf("of a listener whose port is taken it says %s", res)
	}
	if alarms := h.status().Alarms; len(alarms) != 1 || !strings.Contains(alarms[0].Text, taken.Addr().String()) {
		t.Errorf("the alarms are %v", alarms)
	}
	if err != nil || res.Page != "http://"+free || !strings.Contains(res.String(), "the page is at http://"+free+" now") {
		t.Fatalf("another address: %v: %v", err, res)
	}
	if old, now := status(at, "second secret"), status("http://"+free, "second secret"); old != 0 || now != 200 {
		t.Errorf("the old address answers %d, the new one %d", old, now)
	}
	if reasons := strings.Join(h.Unready(), "\n"); !strings.Contains(reasons, taken.Addr().String()) {
		t.Errorf("what is not bound is not said: %q", reasons)
	}
	res, err = reload(base + strings.Replace(page("off", "second secret"), "[web]\n", "[web]\nhistory_bytes = \"2MB\"\n", 1))
	if err != nil || res.Page != "off" || !strings.Contains(res.String(), "no page any more") || len(res.Restart) > 0 {
		t.Errorf("off: %v: %v", err, res)
	}
	if text := h.reloader.started.Text(); !strings.Contains(text, `"2MB"`) || !strings.Contains(text, `listen = "off"`) {
		t.Errorf("what runs is shown as\n%s", text)
	}
}
