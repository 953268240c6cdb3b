package broker_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

// What an exporter or a dashboard made for mosquitto reads there, it reads here: all
// that a mosquitto publishes under $SYS, in the same form.
func TestWhatMosquittoSaysUnderSYSIsSaidHereToo(t *testing.T) {
	needProgram(t, "mosquitto", "mosquitto")
	addr := quietAddress(t)
	_, port, _ := net.SplitHostPort(addr)
	conf := filepath.Join(t.TempDir(), "mosquitto.conf")
	if err := os.WriteFile(conf, []byte("user root\nlistener "+port+" 127.0.0.1\nallow_anonymous true\nsys_interval 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mosquitto := exec.Command("mosquitto", "-c", conf)
	mosquitto.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := mosquitto.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		mosquitto.Process.Kill()
		mosquitto.Wait()
	})
	waitUntil(t, "mosquitto listens", func() bool {
		nc, err := net.Dial("tcp", addr)
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
	theirs := map[string]string{}
	c, _ := brokertest.Connect(t, addr, packet.V311, "sys")
	c.SubscribeTo("$SYS/#", 0)
	// Its subscriptions are among the last that it says.
	for theirs["$SYS/broker/shared_subscriptions/count"] == "" || theirs["$SYS/broker/load/sockets/15min"] == "" || theirs["$SYS/broker/heap/maximum"] == "" {
		p := c.Receive()
		theirs[string(p.Topic)] = string(p.Payload)
	}
	ours := sysTopics(t, brokertest.Start(t))
	for name, value := range theirs {
		got, is := ours[name]
		switch {
		case !is:
			t.Errorf("%s is missing; mosquitto says %q", name, value)
		case isNumber(value) != isNumber(got):
			t.Errorf("%s is %q here and %q there", name, got, value)
		case strings.HasSuffix(value, " seconds") && !strings.HasSuffix(got, " seconds"):
			t.Errorf("%s is %q here and %q there", name, got, value)
		}
	}
	if len(theirs) < 40 {
		t.Errorf("mosquitto says only %d things", len(theirs))
	}
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}
