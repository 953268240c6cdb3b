package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"headgate/adapters/modbus/modbussim"
	"headgate/broker"
)

// linksConfig has a derived point that needs the link that stays, and announces
// devices to Home Assistant.
const linksConfig = `
[gateway]
id = "plant"
data_dir = "{DIR}"
[[broker.listener]]
url = "mqtt://127.0.0.1:0"
[web]
listen = "off"
[homeassistant]
enabled = true
[[derived]]
name = "sum"
point = [ { name = "twice", expr = "steady.v * 2" } ]
`

// linkTo is a link with one device, which has its name and is asked every 20 ms.
func linkTo(name, address, more string) string {
	return fmt.Sprintf("[[modbus]]\nname = \"%s-link\"\nurl = \"tcp://%s\"\n%s[[modbus.device]]\nname = %q\nunit = 1\ninterval = \"20ms\"\npoint = [ { name = \"v\", register = \"holding:0\", access = \"rw\" } ]\n",
		name, address, more, name)
}

// slave is a Modbus TCP server with a unit 1.
func slave(t *testing.T) (u *modbussim.Unit, address string) {
	t.Helper()
	sim := modbussim.New()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- sim.ServeTCP(context.Background(), ln) }()
	t.Cleanup(func() { sim.Close(); <-done })
	sim.Unit(1).SetHolding(0, 21)
	return sim.Unit(1), ln.Addr().String()
}

func TestAReloadStartsOnlyThoseLinksAgainThatHaveChanged(t *testing.T) {
	steady, steadyAddress := slave(t)
	other, otherAddress := slave(t)
	base := strings.ReplaceAll(linksConfig, "{DIR}", t.TempDir()) + linkTo("steady", steadyAddress, "")
	h := runInside(t, base)
	r := h.newReloader(h.config.Paths[0])
	eventually(t, "it listens", func() bool { return h.broker.Addresses()[0] != "" })
	c := dial(t, h.broker.Addresses()[0], "watch")
	c.subscribe("plant/+/+", 1)
	adapter := h.pump.Load().modbus[0].adapter
	online := func(device string) {
		t.Helper()
		c.wait(t, "plant/"+device+"/v", isGood)
		if d, _ := h.pump.Load().gateway.Device(device); !d.Online {
			t.Errorf("%s is offline", device)
		}
	}
	online("steady")
	c.wait(t, "plant/sum/twice", func(m received) bool { return m.fields(t)["value"] == 42.0 })
	routines := runtime.NumGoroutine()
	seen := c.count()

	reload := func(more string) {
		t.Helper()
		requests := adapter.Stats().Requests
		if err := os.WriteFile(r.path, []byte(base+more), 0o600); err != nil {
			t.Fatal(err)
		}
		if res, err := r.reload(); err != nil || !res.Links || len(res.Restart) > 0 {
			t.Fatalf("got %+v, %v", res, err)
		}
		eventually(t, "the link that stays is asked further", func() bool { return adapter.Stats().Requests > requests })
		want, parts := "[_gateway steady sum]", []string{"modbus link steady-link"}
		if more != "" {
			want, parts = "[_gateway other steady sum]", []string{"modbus link other-link", "modbus link steady-link"}
		}
		eventually(t, "Home Assistant knows "+want, func() bool {
			var announced []string
			h.broker.Retained("homeassistant/device/plant/+/config", func(m broker.Message) {
				announced = append(announced, strings.Split(m.Topic, "/")[3])
			})
			slices.Sort(announced)
			return fmt.Sprint(announced) == want
		})
		var watched []string
		for _, m := range h.movements() {
			if strings.HasPrefix(m.part, "modbus link ") {
				watched = append(watched, m.part)
			}
		}
		slices.Sort(watched)
		if !slices.Equal(watched, parts) {
			t.Errorf("the watchdog looks at %v, want %v", watched, parts)
		}
		if n := len((edgeField{h}).Devices()); n != len(parts)+1 {
			t.Errorf("an edge node has %d devices, want %d", n, len(parts)+1)
		}
	}
	set := func(device string, value int) {
		t.Helper()
		c.publish("plant/"+device+"/v/set", fmt.Sprint(value), 1)
		c.wait(t, "plant/"+device+"/v", func(m received) bool { return m.fields(t)["value"] == float64(value) })
	}
	reload(linkTo("other", otherAddress, "")) // added
	online("other")
	set("other", 1)
	reload(linkTo("other", otherAddress, "timeout = \"2s\"\n")) // changed
	set("other", 2)
	set("steady", 3)
	if v, _ := other.Get(modbussim.HoldingRegisters, 0); v != 2 {
		t.Errorf("got %d", v)
	}
	reload("") // taken out
	set("steady", 4)
	c.wait(t, "plant/sum/twice", func(m received) bool { return m.fields(t)["value"] == 8.0 })

	if now := h.pump.Load(); now.modbus[0].adapter != adapter || now.derived.adapter == nil {
		t.Error("the link that stays is another one")
	}
	if s := adapter.Stats(); s.Opened != 1 || s.Timeouts != 0 {
		t.Errorf("the link that stays was opened %d times, and has %d timeouts", s.Opened, s.Timeouts)
	}
	for _, m := range c.all()[seen:] {
		if (m.topic == "plant/steady/status" || m.topic == "plant/sum/status") || strings.HasPrefix(m.topic, "plant/s") && !isGood(m) {
			t.Errorf("said of what stays: %s %s", m.topic, m.payload)
		}
	}
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= routines })

	// What [gateway] says is of all of them.
	base = strings.Replace(base, `id = "plant"`, "id = \"plant\"\nmax_age = \"29s\"", 1)
	if err := os.WriteFile(r.path, []byte(base), 0o600); err != nil {
		t.Fatal(err)
	}
	if res, err := r.reload(); err != nil || !res.Links || h.pump.Load().modbus[0].adapter == adapter {
		t.Errorf("after a change of [gateway]: %+v, %v", res, err)
	}
	eventually(t, "the link that began again takes commands", func() bool {
		c.publish("plant/steady/v/set", "5", 1)
		v, _ := steady.Get(modbussim.HoldingRegisters, 0)
		return v == 5
	})
}
