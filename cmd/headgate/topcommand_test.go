package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestTopSaysTheRatesToo(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	headgate := runHeadgate(t, p.config(p.cloud.Addr))
	var out bytes.Buffer
	if status := dispatch([]string{"top", "--every", "300ms", "-n", "3", headgate.config}, &out, &out); status != 0 {
		t.Fatalf("got %d: %s", status, out.String())
	}
	pages := strings.Count(out.String(), "headgate  ")
	rates := strings.Count(out.String(), "\nnow       ")
	if pages != 3 || rates != 2 || strings.Contains(out.String(), "\x1b") {
		t.Errorf("got %d pages, %d with rates:\n%s", pages, rates, out.String())
	}
}

func TestTheNewestLinesOfTheLogArePrinted(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	headgate := runHeadgate(t, p.config(p.cloud.Addr))
	print := func(args ...string) string {
		var out bytes.Buffer
		if status := dispatch(append([]string{"log", headgate.config}, args...), &out, &out); status != 0 {
			t.Fatalf("got %d: %s", status, out.String())
		}
		return out.String()
	}
	eventually(t, "a device is in it", func() bool {
		return strings.Contains(print(), " INFO  device is online  device=inverter\n")
	})
	if lines := strings.Count(print("-n", "2"), "\n"); lines != 2 {
		t.Errorf("got %d lines, want 2", lines)
	}
	if text := print("--level", "error"); strings.Contains(text, " INFO ") {
		t.Errorf("got\n%s", text)
	}
}

func TestTheExitStatusOfStatusSaysWhetherSomethingStandsStill(t *testing.T) {
	for _, c := range []struct {
		about string
		r     statusReport
		want  bool
	}{
		{"nothing", statusReport{}, false},
		{"all is well", statusReport{Devices: []deviceReport{{Online: true}}, Bridges: []bridgeReport{{State: "connected"}}}, false},
		{"a silent device", statusReport{Devices: []deviceReport{{Online: true}, {}}}, true},
		{"no upstream", statusReport{Bridges: []bridgeReport{{State: "waiting"}}}, true},
		{"an alarm", statusReport{Alarms: []alarmReport{{Name: "disk"}}}, true},
	} {
		if got := c.r.inTrouble(); got != c.want {
			t.Errorf("%s: got %v", c.about, got)
		}
	}
}
