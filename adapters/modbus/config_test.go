package modbus

import (
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// faults gives what Check finds in a table that is right but for what change does.
func faults(change func(c *Config, d *Device, p *Point)) (found []string) {
	c := Config{
		Name: "rs485", URL: "rtu:///dev/ttyUSB0?baud=19200",
		Device: []Device{{Name: "meter1", Unit: new(uint8(1)), Point: []Point{{Name: "power", Register: "holding:100"}}}},
	}
	change(&c, &c.Device[0], &c.Device[0].Point[0])
	c.SetDefaults()
	c.Check(func(key, format string, args ...any) { found = append(found, key+": "+fmt.Sprintf(format, args...)) })
	return found
}

func TestATableThatIsRightHasNoFault(t *testing.T) {
	for name, change := range map[string]func(*Config, *Device, *Point){
		"the least":          func(*Config, *Device, *Point) {},
		"tcp without a port": func(c *Config, d *Device, p *Point) { c.URL, d.Unit = "tcp://10.0.0.7", nil },
		"unit 0 over tcp":    func(c *Config, d *Device, p *Point) { c.URL, d.Unit = "tcp://host:1502", new(uint8(0)) },
		"a 64-bit order":     func(c *Config, d *Device, p *Point) { p.Type, p.Order = "f64", "GHEFCDAB" },
		"a coil for writing": func(c *Config, d *Device, p *Point) { p.Register, p.Access = "coil:0", "rw" },
		"a device's order":   func(c *Config, d *Device, p *Point) { d.Order, p.Type = "CDAB", "f32" },
	} {
		if got := faults(change); len(got) > 0 {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestAFaultSaysItsKeyAndWhatWouldBeRight(t *testing.T) {
	for _, c := range []struct {
		change func(c *Config, d *Device, p *Point)
		want   string
	}{
		{func(c *Config, d *Device, p *Point) { c.Name = "" }, "name: is missing"},
		{func(c *Config, d *Device, p *Point) { c.URL = "" }, "url: is missing"},
		{func(c *Config, d *Device, p *Point) { c.URL = "ascii:///dev/ttyS0" }, "url: \"ascii:///dev/ttyS0\": this version speaks tcp:// and rtu://, not ascii://"},
		{func(c *Config, d *Device, p *Point) { c.URL = "rtu+tcp://h:502" }, "not rtu+tcp://"},
		{func(c *Config, d *Device, p *Point) { c.URL = "tls://h" }, "not tls://"},
		{func(c *Config, d *Device, p *Point) { c.URL = "tcpp://h" }, "did you mean \"tcp\"?"},
		{func(c *Config, d *Device, p *Point) { c.URL = "tcp://h:99999" }, "url: "},
		{func(c *Config, d *Device, p *Point) { c.URL = "rtu:///dev/ttyS0?bauds=1" }, "bauds"},
		{func(c *Config, d *Device, p *Point) { c.URL = "rtu:///dev/ttyS0?data_bits=7" }, "8 data bits"},
		{func(c *Config, d *Device, p *Point) { c.Timeout = time.Hour }, "timeout: "},
		{func(c *Config, d *Device, p *Point) { c.Device = nil }, "device: is missing"},
		{func(c *Config, d *Device, p *Point) { d.Name = "a/b" }, "device[0].name: \"a/b\" has a '/' in it"},
		{func(c *Config, d *Device, p *Point) { d.Unit = nil }, "device[0].unit: is missing"},
		{func(c *Config, d *Device, p *Point) { d.Unit = new(uint8(0)) }, "device[0].unit: "},
		{func(c *Config, d *Device, p *Point) { d.Unit = new(uint8(248)) }, "device[0].unit: "},
		{func(c *Config, d *Device, p *Point) { d.Interval = time.Microsecond }, "device[0].interval: "},
		{func(c *Config, d *Device, p *Point) { d.Order = "ACBD" }, "device[0].order: "},
		{func(c *Config, d *Device, p *Point) { d.Point = nil }, "device[0].point: is missing"},
		{func(c *Config, d *Device, p *Point) { p.Name = "set" }, "device[0].point[0].name: \"set\" is reserved"},
		{func(c *Config, d *Device, p *Point) { p.Register = "" }, "device[0].point[0].register: is missing"},
		{func(c *Config, d *Device, p *Point) { p.Register = "40101" }, "the number 40101 of a manual is \"holding:100\""},
		{func(c *Config, d *Device, p *Point) { p.Register = "holdign:1" }, "did you mean \"holding\"?"},
		{func(c *Config, d *Device, p *Point) { p.Register = "holding:65536" }, "0 to 65535"},
		{func(c *Config, d *Device, p *Point) { p.Register, p.Type = "holding:65535", "u32" }, "register: "},
		{func(c *Config, d *Device, p *Point) { p.Type = "float32" }, "did you mean \"f32\"?"},
		{func(c *Config, d *Device, p *Point) { p.Type = "u23" }, "did you mean \"u"},
		{func(c *Config, d *Device, p *Point) { p.Register, p.Type = "coil:1", "u16" }, "type: "},
		{func(c *Config, d *Device, p *Point) { p.Type, p.Order = "u32", "BA" }, "order: "},
		{func(c *Config, d *Device, p *Point) { p.Scale = math.Inf(1) }, "scale: "},
		{func(c *Config, d *Device, p *Point) { p.Type, p.Scale = "bool", 2 }, "scale: "},
		{func(c *Config, d *Device, p *Point) { p.Access = "w" }, "access: \"w\": want \"r\""},
		{func(c *Config, d *Device, p *Point) { p.Register, p.Access = "input:1", "rw" }, "access: \"rw\": "},
		{func(c *Config, d *Device, p *Point) { p.Interval = -time.Second }, "point[0].interval: "},
	} {
		got := faults(c.change)
		if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, c.want) }) {
			t.Errorf("got %q, want one with %q", got, c.want)
		}
	}
}

func TestAnIntervalThatPointsInheritIsOneFault(t *testing.T) {
	got := faults(func(c *Config, d *Device, p *Point) {
		d.Interval = time.Millisecond
		for i := range d.Point {
			d.Point[i].Interval = 0
		}
		d.Point = append(d.Point, Point{Name: "second", Register: "holding:7"})
	})
	if len(got) != 1 || !strings.HasPrefix(got[0], "device[0].interval: 1ms") {
		t.Errorf("got %q, want one of device[0].interval", got)
	}
}

func TestNewOpensNothing(t *testing.T) {
	c := Config{Name: "x", URL: "rtu:///dev/nothing", Device: []Device{{Name: "m", Unit: new(uint8(1)), Point: []Point{{Name: "p", Register: "coil:1", Access: "rw", Unit: "on"}}}}}
	c.SetDefaults()
	a, err := New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	d := a.Devices()
	if a.Name() != "x" || len(d) != 1 || d[0].Name != "m" || len(d[0].Points) != 1 || !d[0].Points[0].Writable || d[0].Points[0].Unit != "on" {
		t.Errorf("got %+v", d)
	}
}
