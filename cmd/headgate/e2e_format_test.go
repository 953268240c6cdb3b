package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// The bridge knows whose samples they are only by the wiring.
func TestTheFieldsValuesReachTheCloudInBatchesOfAnotherFormat(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	cloud := p.inCloud("watcher")
	text := p.config(p.cloud.Addr)
	const up = "  filter = \"plant/#\"\n"
	if strings.Count(text, up) != 1 {
		t.Fatalf("plant.toml has no %q", up)
	}
	for format, arrived := range map[string]func(payload string) bool{
		"influx": func(payload string) bool {
			payload = strings.ReplaceAll(payload, `,voltage_clock="unsynced"`, "") // where nobody keeps this machine's clock
			return strings.Count(payload, "\n") >= 3 && strings.Contains(payload, "meter,device=meter,gateway=plant,unit=V voltage=231.5 1")
		},
		"json_device": func(payload string) bool {
			var batch []struct {
				Topic   string
				Payload struct {
					Values map[string]any
				}
			}
			if err := json.Unmarshal([]byte(payload), &batch); err != nil {
				t.Errorf("%s: %v", payload, err)
			}
			for _, m := range batch {
				if m.Topic == "plant/inverter" && len(m.Payload.Values) > 1 {
					return true
				}
			}
			return false
		},
	} {
		t.Run(format, func(t *testing.T) {
			h := runInside(t, strings.Replace(text, up, up+"  format = \""+format+"\"\n  batch = { messages = 20, interval = \"2s\", topic = \"in/"+format+"\" }\n", 1))
			cloud.wait(t, "in/"+format, func(m received) bool { return arrived(m.payload) })
			if st := h.bridges()[0].Stats(); st.Batches == 0 || len(st.GivenUp) > 0 {
				t.Errorf("stats: %+v", st)
			}
		})
	}
}
