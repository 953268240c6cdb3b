package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"headgate/adapters/modbus/modbussim"
)

// quietAddress gives an address of this machine on which nobody listens, and
// which is not given to those who ask for any free port.
func quietAddress(t testing.TB) string {
	t.Helper()
	l := listenQuietly(t)
	l.Close()
	return l.Addr().String()
}

// listenQuietly listens on such an address. Where other programs choose theirs
// is at 32768 and above.
func listenQuietly(t testing.TB) net.Listener {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000)))
		if err == nil {
			t.Cleanup(func() { l.Close() })
			return l
		}
	}
	t.Fatal("no free port")
	return nil
}

func TestWhatIsMissingIsNamedAndEverythingElseGoesOn(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	taken := listenQuietly(t)
	closed, noCloud := quietAddress(t), quietAddress(t)
	faults := fill(t, "faults.toml", "{TAKEN}", taken.Addr().String(), "{CLOSED}", closed, "{NOCLOUD}", noCloud)
	headgate := runHeadgate(t, p.config(p.cloud.Addr)+faults)
	cloud := p.inCloud("watcher")

	for _, want := range [][]string{
		{"level=ERROR", "listener=mqtt://" + taken.Addr().String(), "address already in use"},
		{"level=WARN", closed, "connection refused"},
		{"level=WARN", "no-such-host.invalid", "lookup"},
		{"level=WARN", "/dev/no-such-port", "no such file"},
		{"level=WARN", "/dev/no-such-printer", "no such file"},
		{"level=WARN", "bridge=lost", noCloud, "connection refused"},
	} {
		headgate.says(want...)
	}
	for device, words := range map[string][]string{
		"pump":    {closed, "refused"},
		"fan":     {"no-such-host.invalid"},
		"valve":   {"/dev/no-such-port"},
		"printer": {"/dev/no-such-printer"},
	} {
		m := cloud.wait(t, "plant/"+device+"/status", func(m received) bool {
			return m.fields(t)["status"] == "offline" && m.fields(t)["reason"] != "starting"
		})
		if reason, _ := m.fields(t)["reason"].(string); !hasAll(reason, words) {
			t.Errorf("%s: %s: want a reason with %q", m.topic, m.payload, words)
		}
	}
	// The others are read on, and written.
	p.meter.SetInput(0, float32Words(228.5)...)
	cloud.wait(t, "plant/meter/voltage", func(m received) bool { return m.fields(t)["value"] == 228.5 })
	weights := len(cloud.on("plant/scale/weight"))
	eventually(t, "the scale is heard on", func() bool { return len(cloud.on("plant/scale/weight")) > weights+2 })
	operator := dial(t, headgate.addr(), "operator")
	operator.subscribe("reply", 1)
	operator.publish("plant/inverter/limit/set", "77", 1, answeredOn("reply", "1"))
	if got := operator.wait(t, "reply", nil).fields(t); got["status"] != "ok" {
		t.Errorf("a command to a good device: %v", got)
	}
	operator.publish("plant/pump/speed/set", "1", 1, answeredOn("reply", "2"))
	answer := operator.wait(t, "reply", func(m received) bool { return m.correlation == "2" }).fields(t)
	if answer["status"] != "refused" || !hasAll(answer["reason"].(string), []string{"speed", "pump"}) {
		t.Errorf("a command to a point that cannot be written: %v", answer)
	}

	// What comes back is taken up again.
	pump := modbussim.New()
	pump.Unit(1).SetHolding(0, 1450)
	ln, err := net.Listen("tcp", closed)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := pump.ServeTCP(context.Background(), ln); err != nil {
			t.Errorf("pump: %v", err)
		}
	})
	defer serving.Wait()
	defer pump.Close()
	cloud.wait(t, "plant/pump/speed", func(m received) bool { return m.fields(t)["value"] == 1450.0 })
	taken.Close()
	headgate.says("msg=listening", "listener=mqtt://"+taken.Addr().String())
	dial(t, taken.Addr().String(), "late").leave()
	for _, line := range headgate.lines() {
		if strings.Contains(line, "panic") || strings.Contains(line, "the adapter ended") {
			t.Errorf("logged: %s", line)
		}
	}
	headgate.terminate()
}

func TestAnUnknownKeyIsNamedWithItsLineAndNothingStarts(t *testing.T) {
	t.Parallel()
	config := writeConfig(t, "[gateway]\nid = \"plant\"\ndata_dir = \""+t.TempDir()+"\"\n\n[[broker.listener]]\nurll = \"mqtt://127.0.0.1:0\"\n")
	headgate := launch(t, config)
	if status := headgate.exitStatus(); status != exitUsage {
		t.Errorf("exit status %d, want %d", status, exitUsage)
	}
	log := strings.Join(headgate.lines(), "\n")
	if !hasAll(log, []string{config + ":6:", `urll`, `did you mean url?`}) || strings.Contains(log, "gateway starts") {
		t.Errorf("got %s\nwant the file with line 6, the key, and the nearest known one", log)
	}
}

func TestAMissingConfigurationIsNamed(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "headgate.toml")
	headgate := launch(t, config)
	if status := headgate.exitStatus(); status != exitUsage {
		t.Errorf("exit status %d, want %d", status, exitUsage)
	}
	if log := strings.Join(headgate.lines(), "\n"); !hasAll(log, []string{config, "no such file"}) {
		t.Errorf("got %s\nwant the path, and that there is no such file", log)
	}
}

func TestASecondGatewayOnTheSameDataIsTurnedAway(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	config := fill(t, "load.toml", "{DATA}", data, "{CLOUD}", quietAddress(t), "{QOS}", "1")
	first := runHeadgate(t, config)
	before := dial(t, first.addr(), "before")
	before.subscribe("a", 1)

	second := launch(t, writeConfig(t, config))
	if status := second.exitStatus(); status != exitFailed {
		t.Errorf("exit status %d, want %d", status, exitFailed)
	}
	if log := strings.Join(second.lines(), "\n"); !hasAll(log, []string{data, "another"}) {
		t.Errorf("got %s\nwant the directory, and that another process has it", log)
	}

	before.publish("a", "1", 1)
	before.wait(t, "a", nil)
	// A gateway that was killed leaves nothing behind that keeps the next one out.
	first.kill()
	first.start()
	first.terminate()
}

func TestSIGTERMDoesNotWaitForWhatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	deaf := listenQuietly(t) // takes connections, and says nothing
	text := p.config(deaf.Addr().String()) + fill(t, "faults.toml", "{TAKEN}", deaf.Addr().String(), "{CLOSED}", deaf.Addr().String(), "{NOCLOUD}", deaf.Addr().String())
	headgate := runHeadgate(t, text)
	client := dial(t, headgate.addr(), "client")
	client.subscribe("plant/meter/voltage", 1)
	client.wait(t, "plant/meter/voltage", nil)
	headgate.terminate()
	headgate.kill() // it has ended
	if lines := headgate.lines(); !strings.Contains(lines[len(lines)-1], "gateway stopped") {
		t.Errorf("the last line is %s", lines[len(lines)-1])
	}
}
