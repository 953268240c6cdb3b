package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"headgate/adapters/modbus/modbussim"
)

// usage is what a process has taken so far.
type usage struct {
	cpu time.Duration
	rss int64 // bytes, now
}

func (p *process) usage() usage {
	p.t.Helper()
	dir := "/proc/" + strconv.Itoa(p.cmd.Process.Pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		p.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(after) // from the state on [proc(5)]
	var ticks int64
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		ticks += n
	}
	pages, err := strconv.ParseInt(fields[21], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return usage{time.Duration(ticks) * time.Second / 100, pages * int64(os.Getpagesize())}
}

// bigPlant serves 10 devices of 100 registers, and gives the gateway's configuration
// for them.
func bigPlant(t testing.TB) (config string) {
	t.Helper()
	sim := modbussim.New()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { sim.ServeTCP(context.Background(), ln) })
	t.Cleanup(func() { sim.Close(); running.Wait() })
	var b strings.Builder
	fmt.Fprintf(&b, "[[broker.listener]]\nurl = \"mqtt://127.0.0.1:0\"\n[[modbus]]\nname = \"roof\"\nurl = \"tcp://%s\"\n", ln.Addr())
	var units []*modbussim.Unit
	for d := range 10 {
		fmt.Fprintf(&b, "[[modbus.device]]\nname = \"d%d\"\nunit = %d\ninterval = \"1s\"\n", d, d+1)
		units = append(units, sim.Unit(uint8(d+1)))
		units[d].SetHolding(0, make([]uint16, 100)...)
		for p := range 100 {
			fmt.Fprintf(&b, "[[modbus.device.point]]\nname = \"p%d\"\nregister = \"holding:%d\"\nunit = \"V\"\n", p, p)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	running.Go(func() {
		for n := uint16(0); ctx.Err() == nil; n++ {
			for _, u := range units {
				for p := range uint16(100) {
					u.SetHolding(p, n*7+p)
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	})
	t.Cleanup(stop)
	return b.String()
}

// What the page costs at 1,000 points a second: without it, with it there, and with
// 1 and 50 who look at the devices.
func TestWhatThePageCosts(t *testing.T) {
	if os.Getenv("HEADGATE_PROOF") == "" {
		t.Skip("HEADGATE_PROOF is not set: it takes four minutes")
	}
	const settle, measured = 20 * time.Second, 30 * time.Second
	plant := bigPlant(t)
	run := func(listen string, viewers int) (cpu float64, rss int64) {
		headgate := runHeadgate(t, fmt.Sprintf("[gateway]\nid = \"big\"\ndata_dir = %q\n[web]\nlisten = %q\n%s", t.TempDir(), listen, plant))
		leave := headgate.viewers(viewers)
		defer leave()
		time.Sleep(settle)
		before := headgate.usage()
		time.Sleep(measured)
		after := headgate.usage()
		if came := leave(); viewers > 0 && came < int64(viewers)*1e6 {
			t.Errorf("%d viewers got only %d bytes", viewers, came)
		}
		headgate.terminate()
		return 100 * (after.cpu - before.cpu).Seconds() / measured.Seconds(), after.rss
	}
	cpuOff, rssOff := run("off", 0)
	t.Logf("without the page: %.1f %% of a core, %d MB", cpuOff, rssOff/1e6)
	for _, viewers := range []int{0, 1, 50} {
		cpu, rss := run("127.0.0.1:0", viewers)
		t.Logf("%d viewers: %.1f %% of a core more, %d MB more", viewers, cpu-cpuOff, (rss-rssOff)/1e6)
		if viewers == 1 && (cpu-cpuOff > 3 || rss-rssOff > 15e6) {
			t.Errorf("one viewer takes %.1f %% of a core and %d MB", cpu-cpuOff, (rss-rssOff)/1e6)
		}
	}
}

// viewers has so many look at the devices, from when it returns until leave is called,
// which gives how many bytes they got.
func (p *process) viewers(n int) (leave func() int64) {
	if n == 0 { // of a gateway that has no page, perhaps
		return func() int64 { return 0 }
	}
	ctx, stop := context.WithCancel(p.t.Context())
	var looking, connecting sync.WaitGroup
	var came atomic.Int64
	page := p.page()
	client := &http.Client{Transport: &http.Transport{}}
	for range n {
		connecting.Add(1)
		connected := sync.OnceFunc(connecting.Done)
		looking.Go(func() {
			defer connected()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, page+"/api/v1/events?of=status,devices", nil)
			if err != nil {
				p.t.Error(err)
				return
			}
			resp, err := client.Do(r)
			if err != nil {
				p.t.Error(err)
				return
			}
			defer resp.Body.Close()
			connected()
			n, _ := io.Copy(io.Discard, resp.Body)
			came.Add(n)
		})
	}
	connecting.Wait()
	return sync.OnceValue(func() int64 {
		stop()
		looking.Wait()
		client.CloseIdleConnections()
		return came.Load()
	})
}

// page is where its page is.
func (p *process) page() string {
	line := p.says("page is there")
	_, address, _ := strings.Cut(line, "listener=")
	return strings.TrimSpace(address)
}
