package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// crowded is a view in which everything is as long as it may get.
func crowded() demoView {
	v := demoView{
		elapsed: time.Hour, uplink: "waiting", uplinkError: "dial: connect: connection refused, " + strings.Repeat("and more ", 20),
		backlog: 123456, sent: 1234567, arrived: 1111111, lost: 3,
	}
	for _, name := range []string{"meter", "inverter"} {
		d := deviceView{name: name, online: true}
		for i := range 3 {
			d.points = append(d.points, pointView{name: fmt.Sprintf("point%d", i), value: "123.456 kWh", cloud: "123.455 kWh", age: "12s"})
		}
		v.devices = append(v.devices, d)
	}
	v.devices = append(v.devices, deviceView{name: "scale", reason: strings.Repeat("no such port ", 20)})
	return v
}

func TestTheDemoFitsIntoTheTerminal(t *testing.T) {
	for _, size := range []struct{ width, height int }{
		{200, 60}, {120, 40}, {80, 24}, {79, 20}, {72, 18}, {60, 15}, {56, 12}, {40, 10}, {39, 24}, {80, 9}, {10, 3}, {1, 1},
	} {
		lines := layout(crowded(), "The uplink is cut: the backlog grows, the field goes on.", size.width, size.height)
		if len(lines) > size.height {
			t.Errorf("%dx%d: got %d lines", size.width, size.height, len(lines))
		}
		for _, line := range lines {
			if n := visible(line); n > size.width {
				t.Errorf("%dx%d: a line has %d characters: %q", size.width, size.height, n, line)
			}
		}
	}
}

func TestTheDemoShowsWhatMattersAtEverySize(t *testing.T) {
	for size, want := range map[[2]int][]string{
		{80, 24}: {"all in this process", "IN THE CLOUD", "point2", "123.455 kWh", "no such port", "waiting", "123456 messages", "lost       ", "in cloud   1111111", "the field goes on", "q ends"},
		{60, 15}: {"IN THE CLOUD", "inverter", "123.455 kWh", "12s", "123456 messages", "of 1234567 published", "the field goes on", "q ends"},
		{60, 12}: {"IN THE CLOUD", "... 3 more: make the terminal taller", "q ends"},
		{40, 24}: {"point2", "123.456 kWh", "12s", "q ends"},
		{30, 8}:  {"lost 3", "make the terminal 40x10", "q ends"},
	} {
		text := strings.Join(layout(crowded(), "The uplink is cut: the backlog grows, the field goes on.", size[0], size[1]), "\n")
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%v: %q is missing in\n%s", size, w, text)
			}
		}
	}
}

func TestANumberKeepsItsDecimals(t *testing.T) {
	d := &demo{decimals: map[string]int{}}
	for _, c := range []struct{ number, want string }{
		{"13", "13"}, {"13.051", "13.051"}, {"13.05", "13.050"}, {"13", "13.000"}, {"null", "null"}, {"no answer", "no answer"}, {"-1.5", "-1.500"},
	} {
		if got := d.steady("scale/weight", c.number); got != c.want {
			t.Errorf("%s: got %s, want %s", c.number, got, c.want)
		}
	}
}
