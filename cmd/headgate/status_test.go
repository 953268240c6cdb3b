package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

func ptr[T any](v T) *T { return &v }

func TestTheStatusPage(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { return ptr(now.Add(-d)) }
	r := statusReport{
		Version: "v1.0.0", Gateway: "plant", Time: now, Uptime: 276_000,
		Alarms:  []alarmReport{{"disk", "the disk does not take what is written: input/output error", ago(75 * time.Second)}, {"write_budget", "too much", nil}},
		Clients: clientsReport{Connected: 12, Maximum: 20, Away: 3},
		Flow:    messagesReport{In: 1234567, Out: 8, Dropped: 1, Retained: 40},
		Store: storeReport{Messages: 1200, Bytes: 3_400_000, Used: 45_200_000, Limit: 1e9, Free: 12_345_678_901, Lost: 2, CommitP50: 0.0021, CommitP99: 1.234, Spared: 84_000, SparedBytes: 17_300_000,
			Today: wearReport{Payload: 120e6, Files: ptr(int64(240e6)), Disk: ptr(int64(340e6)), Device: "mmcblk0", Amplification: ptr(2.83), PerDay: ptr(int64(2e9)),
				Endurance: ptr(int64(30e12)), LifeDays: ptr(int64(15000)), EMMCUsed: ptr(int64(20)), EMMCSpare: "normal", Budget: ptr(int64(300e6))}},
		Bridges: []bridgeReport{{Name: "cloud", Remote: "cloud.example:8883", State: "waiting", Since: ago(2 * time.Hour), Messages: 1200, Bytes: 3_400_000,
			LastError: "connection refused", LastErrorAt: ago(5 * time.Second)}},
		Devices: []deviceReport{{Name: "meter", Adapter: "rs485", Online: true, Since: ago(50 * time.Hour), Updated: ago(time.Second), Points: 4},
			{Name: "scale", Adapter: "scale", Online: true, Since: ago(50 * time.Hour), Updated: ago(time.Second), Points: 1},
			{Name: "pump", Adapter: "rs485", Reason: "no answer", Since: ago(90 * time.Second)}},
		Page: pageReport{Address: "http://127.0.0.1:8080"},
	}
	want := `headgate  v1.0.0, gateway plant, up 3d4h
ALARM     disk for 1m15s: the disk does not take what is written: input/output error
ALARM     write_budget: too much
clients   12 connected (20 at most), 3 sessions away
messages  1234567 in, 8 out, 1 dropped, 40 retained
store     1200 messages wait (3.4 MB); 45.2 MB of 1 GB on disk, 12.3 GB free
          2 messages were lost to damage
commits   half within 2.1ms, 99 of 100 within 1.23s
spared    84000 messages (17.3 MB) were acknowledged by all before they were written, and never were
written   today (UTC) 240 MB by headgate, 340 MB by all on mmcblk0; 2.8 bytes for each of payload (120 MB); budget 300 MB
card      2 GB a day, of 30 TB in all: a new one lasts 41 years, 20 % of the eMMC's life used, its spare blocks: normal
bridge    cloud to cloud.example:8883: waiting for 2h0m, 1200 messages wait (3.4 MB)
          last error 5s ago: connection refused
device    meter on rs485: online for 2d2h, 4 points, heard 1s ago
device    scale on scale: online for 2d2h, 1 point, heard 1s ago
device    pump on rs485: offline for 1m30s: no answer
page      http://127.0.0.1:8080
`
	if got := r.page(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	r = statusReport{Version: "v1", Gateway: "x", Time: now}
	if got := r.page(); !strings.Contains(got, "written   today (UTC) unknown\n") || strings.Contains(got, "card") || strings.Contains(got, "commits") {
		t.Errorf("of what is not known:\n%s", got)
	}
}

func TestSizesHaveThreeDigits(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1 kB", 1234: "1.23 kB", 999_499: "999 kB", 999_500: "1 MB", 64e6: "64 MB", 30e12: "30 TB"} {
		if got := size(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

// runStatus runs headgate status.
func runStatus(headgate *process, args ...string) (status int, said string) {
	var out bytes.Buffer
	status = dispatch(append([]string{"status", headgate.config}, args...), &out, &out)
	return status, out.String()
}

// reportOf gives what headgate status --json says.
func reportOf(t *testing.T, headgate *process) (r statusReport) {
	t.Helper()
	status, said := runStatus(headgate, "--json")
	if err := json.Unmarshal([]byte(said), &r); err != nil || status != 0 && status != exitTrouble {
		t.Fatalf("status %d: %v: %s", status, err, said)
	}
	return r
}

func TestARunningGatewaySaysHowItIs(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	headgate := runHeadgate(t, p.config(p.cloud.Addr))
	client := dial(t, headgate.addr(), "client")
	client.subscribe("plant/meter/voltage", 1)
	client.wait(t, "plant/meter/voltage", nil)
	var r statusReport
	eventually(t, "the bridge is connected and the meter online", func() bool {
		if status, _ := runStatus(headgate); status != 0 {
			return false // its socket is not there yet
		}
		r = reportOf(t, headgate)
		return len(r.Bridges) > 0 && r.Bridges[0].State == "connected" && len(r.Devices) > 0 && r.Devices[0].Online
	})
	if r.Gateway != "plant" || r.Uptime <= 0 || r.Clients.Connected < 1 || r.Flow.In == 0 || r.Store.Limit == 0 || r.Store.Commits == 0 || len(r.Alarms) != 0 {
		t.Errorf("got %+v", r)
	}
	_, page := runStatus(headgate)
	for _, want := range []string{"gateway plant", "clients ", "of 1 GB on disk", "written   today (UTC)", r.Bridges[0].Name + " to ", "device    meter on "} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing in\n%s", want, page)
		}
	}
	headgate.terminate()
	if status, said := runStatus(headgate); status != exitFailed || !hasAll(said, []string{"no gateway runs here", "headgate run"}) {
		t.Errorf("without it: status %d: %s", status, said)
	}
}

func TestTheStatusNamesTheAddressesThatItCannotHave(t *testing.T) {
	t.Parallel()
	var taken [2]string
	for i := range taken {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		taken[i] = l.Addr().String()
	}
	headgate := runHeadgate(t, fmt.Sprintf("[gateway]\ndata_dir = %q\n[[broker.listener]]\nurl = \"mqtt://127.0.0.1:0\"\n[[broker.listener]]\nurl = \"mqtt://%s\"\n[web]\nlisten = %q\n", t.TempDir(), taken[0], taken[1]))
	var said string
	eventually(t, "the status has both", func() bool {
		var status int
		status, said = runStatus(headgate)
		return status == exitTrouble && strings.Contains(said, "page      nowhere: ")
	})
	for _, want := range []string{"ALARM     listener mqtt://" + taken[0] + ": nobody can connect there: ", "address already in use; does another program have it", `[web] listen takes another address, or "off"`} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is missing in\n%s", want, said)
		}
	}
}

func TestALongLineOfTheStatusGoesOnBelowItsText(t *testing.T) {
	t.Parallel()
	page := "device    meter on rs485: offline for 3s: grün\nshort\ndevice    /a/path/that/is/longer/than/it\n"
	want := "device    meter on rs485:\n          offline for 3s:\n          grün\nshort\ndevice    /a/path/that/is/longer/than/it\n"
	if got := wrapped(page, 26); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
