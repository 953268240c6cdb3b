package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

// bridgeOf runs headgate bridge on a process's configuration.
func bridgeOf(config string, args ...string) (status int, said string) {
	var out bytes.Buffer
	status = dispatch(append(append([]string{"bridge"}, args...), "--config", config), &out, &out)
	return status, out.String()
}

func TestABridgeIsPausedDrainedAndPurgedWhileTheGatewayRuns(t *testing.T) {
	t.Parallel()
	dir, cloud := t.TempDir(), brokertest.Start(t)
	text := strings.NewReplacer("{DIR}", dir, "mqtt://127.0.0.1:1\"", "mqtt://"+cloud.Addr+"\"").Replace(queueConfig)
	headgate := runHeadgate(t, text)
	report := func() (r bridgeReport) {
		status, said := bridgeOf(headgate.config, "status", "cloud", "--json")
		var list []bridgeReport
		if err := json.Unmarshal([]byte(said), &list); status != 0 || err != nil || len(list) != 1 {
			return r // its socket is not there yet
		}
		return list[0]
	}
	eventually(t, "connected", func() bool { return report().State == "connected" })
	want := func(wantStatus int, wantSaid string, args ...string) {
		t.Helper()
		if status, said := bridgeOf(headgate.config, args...); status != wantStatus || !strings.Contains(said, wantSaid) {
			t.Errorf("bridge %s ends with %d: %s; want %d and %q", strings.Join(args, " "), status, said, wantStatus, wantSaid)
		}
	}
	want(0, "cloud is paused, 0 messages wait.\n", "pause")
	pub, _ := brokertest.Connect(t, headgate.address, packet.V5, "pub")
	for range 3 {
		pub.Publish("up/level", "21", 1)
	}
	if r := report(); r.Messages != 3 || r.Held != "paused" || r.State != "connected" {
		t.Errorf("paused: %+v", r)
	}
	var out bytes.Buffer
	if status := dispatch([]string{"reload", headgate.config}, &out, &out); status != 0 || report().Held != "paused" {
		t.Errorf("after a reload, which ends with %d, it is not paused any more", status)
	}
	want(0, "connected for ", "status")
	want(exitFailed, "cloud is paused: headgate bridge resume cloud", "drain", "cloud")
	want(exitFailed, `there is no bridge "other": there is cloud`, "pause", "other")
	want(0, "3 messages purged.\n", "purge", "--yes")
	pub.Publish("up/level", "22", 1)
	want(0, "cloud goes on, 1 messages wait.\n", "resume")
	want(0, "Nothing waits for cloud any more.\n", "drain")
	eventually(t, "it has gone up", func() bool { r := report(); return r.Messages == 0 && r.Forwarded == 1 && r.Held == "" })
}
