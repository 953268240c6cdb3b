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
		"bits with texts": func(c *Config, d *Device, p *Point) {
			p.Bits, p.Access, p.Enum = "4:3", "rw", map[string]string{"0": "off", "7": "auto"}
		},
		"a text":      func(c *Config, d *Device, p *Point) { p.Type, p.Length, p.Order = "string", 250, "BA" },
		"a range":     func(c *Config, d *Device, p *Point) { p.Min, p.Max, p.OutOfRange = new(-1.5), new(4.0), "clamp" },
		"no value":    func(c *Config, d *Device, p *Point) { p.Type, p.Invalid = "i16", []any{int64(-32768), "0x7fff"} },
		"an exponent": func(c *Config, d *Device, p *Point) { p.Exponent = "holding:90" },
		"a function":  func(c *Config, d *Device, p *Point) { p.Access, p.WriteFunction = "rw", 16 },
		"a manual's numbers": func(c *Config, d *Device, p *Point) {
			d.AddressBase, p.Register, p.Exponent, d.NoRead = 1, "40101", "40102", []string{"40001-40100", "holding:110-40200"}
		},
		"only written":           func(c *Config, d *Device, p *Point) { p.Access, d.NoRead = "w", []string{p.Register} },
		"only some bits written": func(c *Config, d *Device, p *Point) { p.Access, p.Bits, p.WriteFunction = "w", "3", 22 },
		"half a text":            func(c *Config, d *Device, p *Point) { p.Type, p.Length = "string8", 125 },
		"a coil's text": func(c *Config, d *Device, p *Point) {
			p.Register, p.Enum = "coil:3", map[string]string{"0": "shut", "1": "open"}
		},
		"blocks": func(c *Config, d *Device, p *Point) {
			d.ReadBlocks, d.OfflineMisses, d.OfflineAfter = []string{"holding:0-101", "holding:100-224"}, 5, time.Minute
		},
		"a manual's block": func(c *Config, d *Device, p *Point) {
			d.AddressBase, p.Register, d.ReadBlocks = 1, "40101", []string{"40101-40110"}
		},
		"a profile's block that is not used": func(c *Config, d *Device, p *Point) {
			d.ProfilePoints, d.ReadBlocks = []string{"power"}, []string{"holding:90-100", "holding:0-9"}
		},
		"idle":             func(c *Config, d *Device, p *Point) { c.URL, c.IdleClose = "rtu+tcp://h:4001", time.Second },
		"a device's order": func(c *Config, d *Device, p *Point) { d.Order, p.Type = "CDAB", "f32" },
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
		{func(c *Config, d *Device, p *Point) { c.URL = "rtu+tcp://h" }, "names no port"},
		{func(c *Config, d *Device, p *Point) { c.URL = "rtu+tcp://h:1?data_bits=7" }, "8 data bits"},
		{func(c *Config, d *Device, p *Point) { c.URL = "ascii:///dev/ttyS0?data_bits=6" }, "7 or 8 data bits"},
		{func(c *Config, d *Device, p *Point) { c.URL = "tcp://h?baud=9600" }, "nothing may follow"},
		{func(c *Config, d *Device, p *Point) { c.URL = "tls://h" }, "tls.cert_file: is missing"},
		{func(c *Config, d *Device, p *Point) { c.TLS.CAFile = "x" }, "tls: is for tls://"},
		{func(c *Config, d *Device, p *Point) { c.URL, c.LocalEcho = "tcp://h", true }, "local_echo: "},
		{func(c *Config, d *Device, p *Point) { c.URL = "tcpp://h" }, "did you mean \"tcp\"?"},
		{func(c *Config, d *Device, p *Point) { c.URL = "tcp://h:99999" }, "url: "},
		{func(c *Config, d *Device, p *Point) { c.URL = "rtu:///dev/ttyS0?bauds=1" }, "bauds"},
		{func(c *Config, d *Device, p *Point) { c.URL = "rtu:///dev/ttyS0?data_bits=7" }, "8 data bits"},
		{func(c *Config, d *Device, p *Point) { c.Timeout = time.Hour }, "timeout: "},
		{func(c *Config, d *Device, p *Point) { c.Device = nil }, "device: is missing"},
		{func(c *Config, d *Device, p *Point) { d.Name = "a/b" }, "device[0].name: \"a/b\" has a '/' in it"},
		{func(c *Config, d *Device, p *Point) { d.Unit = nil }, "device[0].unit: is missing"},
		{func(c *Config, d *Device, p *Point) { d.Unit = new(uint8(0)) }, "device[0].unit: "},
		{func(c *Config, d *Device, p *Point) { c.SwitchDelay = -1 }, "switch_delay: "},
		{func(c *Config, d *Device, p *Point) { c.IdleClose = time.Second }, "idle_close: is for links with a connection that another may want: rtu:// has none"},
		{func(c *Config, d *Device, p *Point) { c.URL, c.IdleClose = "udp://h", time.Second }, "idle_close: is for links with a connection"},
		{func(c *Config, d *Device, p *Point) { c.URL, c.IdleClose = "tcp://h", -1 }, "idle_close: -1ns: want a time from 10ms to 1h"},
		{func(c *Config, d *Device, p *Point) { d.ConnectDelay = time.Hour }, "device[0].connect_delay: "},
		{func(c *Config, d *Device, p *Point) { d.Timeout = time.Hour }, "device[0].timeout: "},
		{func(c *Config, d *Device, p *Point) { d.Delay = time.Hour }, "device[0].delay: "},
		{func(c *Config, d *Device, p *Point) { d.Unit = new(uint8(248)) }, "device[0].unit: "},
		{func(c *Config, d *Device, p *Point) { d.Interval = time.Microsecond }, "device[0].interval: "},
		{func(c *Config, d *Device, p *Point) { d.Order = "ACBD" }, "device[0].order: "},
		{func(c *Config, d *Device, p *Point) { d.MaxRegisters = 126 }, "device[0].max_registers: 126: want 1 to 125"},
		{func(c *Config, d *Device, p *Point) { d.MaxBits = -1 }, "device[0].max_bits: -1: want 1 to 2000"},
		{func(c *Config, d *Device, p *Point) { d.MaxRegisters, p.Type = 3, "f64" }, "point[0].type: 4 registers are more than the device lets one request read"},
		{func(c *Config, d *Device, p *Point) { d.NoRead = []string{"holding:1", "holding:9-7"} }, "device[0].no_read[1]: \"holding:9-7\": want the first and the last address"},
		{func(c *Config, d *Device, p *Point) { d.NoRead = []string{"holding:90-100"} }, "point[0].register: it is among those that no_read forbids"},
		{func(c *Config, d *Device, p *Point) { d.ReadBlocks = []string{"holding:100-9"} }, "device[0].read_blocks[0]: \"holding:100-9\": want the first and the last address"},
		{func(c *Config, d *Device, p *Point) { d.ReadBlocks = []string{"holding:100-225"} }, "read_blocks[0]: \"holding:100-225\" is 126: the device lets one request read 125"},
		{func(c *Config, d *Device, p *Point) { d.ReadBlocks = []string{"holding:90-100", "holding:0-9"} }, "read_blocks[1]: \"holding:0-9\" has no point in it"},
		{func(c *Config, d *Device, p *Point) { p.Type, d.ReadBlocks = "u32", []string{"holding:90-100"} }, "read_blocks[0]: \"holding:90-100\" has a part of point power in it, which is holding registers 100-101"},
		{func(c *Config, d *Device, p *Point) {
			d.NoRead, d.ReadBlocks = []string{"holding:95"}, []string{"holding:90-100"}
		}, "read_blocks[0]: \"holding:90-100\" has registers in it that must not be read"},
		{func(c *Config, d *Device, p *Point) { d.OfflineMisses = -1 }, "device[0].offline_misses: -1: want 1 to 1000"},
		{func(c *Config, d *Device, p *Point) { d.OfflineAfter = -time.Second }, "device[0].offline_after: -1s: want a time from 0s to 24h"},
		{func(c *Config, d *Device, p *Point) { d.Point = nil }, "device[0].point: is missing"},
		{func(c *Config, d *Device, p *Point) { p.Name = "set" }, "device[0].point[0].name: \"set\" is reserved"},
		{func(c *Config, d *Device, p *Point) { p.Register = "" }, "device[0].point[0].register: is missing"},
		{func(c *Config, d *Device, p *Point) { p.Register = "40101" }, "the number 40101 of a manual is \"holding:100\", or give the device address_base = 1"},
		{func(c *Config, d *Device, p *Point) { d.Setup = make([]Setup, 17) }, "device[0].setup: 17: a device may have 16"},
		{func(c *Config, d *Device, p *Point) { d.Setup = []Setup{{Register: "holding:1"}} }, "setup[0].value: is missing"},
		{func(c *Config, d *Device, p *Point) { d.Setup = []Setup{{Register: "input:1", Value: int64(1)}} }, "setup[0].access: "},
		{func(c *Config, d *Device, p *Point) { d.Setup = []Setup{{Register: "holding:1", Value: int64(70000)}} }, "setup[0].value: 70000 does not fit"},
		{func(c *Config, d *Device, p *Point) { d.Setup = []Setup{{Register: "holding:1", Value: []any{}}} }, "setup[0].value: []: want a number"},
		{func(c *Config, d *Device, p *Point) {
			d.NoRead, d.Setup = []string{"holding:7"}, []Setup{{Register: "holding:7", Bits: "3", Value: int64(1)}}
		}, "setup[0].bits: to leave its other bits"},
		{func(c *Config, d *Device, p *Point) { d.AddressBase = 2 }, "device[0].address_base: 2: want 0 or 1"},
		{func(c *Config, d *Device, p *Point) { d.AddressBase, p.Register = 1, "holding:0" }, "with address_base = 1 the first one is 1"},
		{func(c *Config, d *Device, p *Point) {
			d.AddressBase, p.Register, d.NoRead = 1, "40101", []string{"holding:101"}
		}, "point[0].register: it is among those"},
		{func(c *Config, d *Device, p *Point) { d.AddressBase, d.NoRead = 1, []string{"40101-30102"} }, "no_read[0]: "},
		{func(c *Config, d *Device, p *Point) { p.Register = "holdign:1" }, "did you mean \"holding\"?"},
		{func(c *Config, d *Device, p *Point) { p.Register = "holding:65536" }, "0 to 65535"},
		{func(c *Config, d *Device, p *Point) { p.Register, p.Type = "holding:65535", "u32" }, "register: "},
		{func(c *Config, d *Device, p *Point) { p.Type = "float32" }, "did you mean \"f32\"?"},
		{func(c *Config, d *Device, p *Point) { p.Type = "u23" }, "did you mean \"u"},
		{func(c *Config, d *Device, p *Point) { p.Register, p.Type = "coil:1", "u16" }, "type: "},
		{func(c *Config, d *Device, p *Point) { p.Type, p.Order = "u32", "BA" }, "order: "},
		{func(c *Config, d *Device, p *Point) { p.Scale = math.Inf(1) }, "scale: "},
		{func(c *Config, d *Device, p *Point) { p.Type, p.Scale = "bool", 2 }, "scale: "},
		{func(c *Config, d *Device, p *Point) { p.Access = "x" }, "access: \"x\": want \"r\""},
		{func(c *Config, d *Device, p *Point) { p.Register, p.Access = "input:1", "rw" }, "access: \"rw\": "},
		{func(c *Config, d *Device, p *Point) { p.Interval = -time.Second }, "point[0].interval: "},
		{func(c *Config, d *Device, p *Point) { p.Type = "uint8" }, "did you mean \"u8l\"?"},
		{func(c *Config, d *Device, p *Point) { p.Type = "string" }, "point[0].length: 0: a string has a length of 1 to 250"},
		{func(c *Config, d *Device, p *Point) { p.Length = 3 }, "length: 3: only a string"},
		{func(c *Config, d *Device, p *Point) { p.Bits = "x" }, "bits: \"x\": want the lowest bit"},
		{func(c *Config, d *Device, p *Point) { p.Bits = "10:7" }, "u16 has the bits 0 to 15"},
		{func(c *Config, d *Device, p *Point) { p.Type, p.Bits = "f32", "1" }, "bits are taken out of whole numbers"},
		{func(c *Config, d *Device, p *Point) { p.Register, p.Bits = "coil:1", "1" }, "a coil is one bit and has no bits"},
		{func(c *Config, d *Device, p *Point) { p.Exponent = "input:1" }, "exponent: \"input:1\" is not in the point's own table"},
		{func(c *Config, d *Device, p *Point) { p.Exponent = "holding:225" }, "too far from the value"},
		{func(c *Config, d *Device, p *Point) { p.Register, p.Access = "discrete:1", "w" }, "access: \"w\": a discrete input can only be read"},
		{func(c *Config, d *Device, p *Point) { p.Access, p.Bits = "w", "3" }, "the register must be read; want write_function = 22"},
		{func(c *Config, d *Device, p *Point) { p.Access, p.WriteFunction = "w", 23 }, "write_function: 23 reads too"},
		{func(c *Config, d *Device, p *Point) {
			d.Point = append(d.Point, Point{Name: "command", Register: p.Register, Access: "w"})
		}, "point[0].register: it is that of point command too"},
		{func(c *Config, d *Device, p *Point) { p.Exponent, p.Access = "holding:99", "rw" }, "access: \"rw\": a point with an exponent"},
		{func(c *Config, d *Device, p *Point) { p.Type, p.Exponent = "bool", "holding:99" }, "exponent: \"holding:99\": a bool is no number"},
		{func(c *Config, d *Device, p *Point) { p.Decimals = new(16) }, "decimals: 16: want 0 to 15"},
		{func(c *Config, d *Device, p *Point) { p.Min, p.Max = new(2.0), new(1.0) }, "min: 2 is greater than max, 1"},
		{func(c *Config, d *Device, p *Point) { p.Max = new(math.NaN()) }, "max: NaN: want a finite number"},
		{func(c *Config, d *Device, p *Point) { p.OutOfRange = "clamp" }, "out of which range"},
		{func(c *Config, d *Device, p *Point) { p.OutOfRange = "wrap" }, "out_of_range: \"wrap\": want"},
		{func(c *Config, d *Device, p *Point) { p.Invalid = []any{int64(65536)} }, "invalid: 65536 does not fit the 16 bits"},
		{func(c *Config, d *Device, p *Point) { p.Invalid = []any{1.5} }, "invalid: 1.5: want numbers"},
		{func(c *Config, d *Device, p *Point) { p.Invalid = []any{"nan"} }, "invalid: nan: want numbers"},
		{func(c *Config, d *Device, p *Point) { p.Register, p.Invalid = "coil:1", []any{int64(1)} }, "invalid: a coil"},
		{func(c *Config, d *Device, p *Point) { p.Enum = map[string]string{"on": "on"} }, "enum: \"on\": want a whole number"},
		{func(c *Config, d *Device, p *Point) { p.Type, p.Enum = "f32", map[string]string{"1": "on"} }, "enum: a f32 has none"},
		{func(c *Config, d *Device, p *Point) { p.Type, p.Enum = "bool", map[string]string{"2": "on"} }, "a bool is 0 or 1"},
		{func(c *Config, d *Device, p *Point) { p.Access, p.Enum = "rw", map[string]string{"1": "on", "2": "on"} }, "which should a command write?"},
		{func(c *Config, d *Device, p *Point) { p.WriteFunction = 6 }, "write_function: 6: nothing is written"},
		{func(c *Config, d *Device, p *Point) { p.WriteFunction, p.Access = 5, "rw" }, "write_function: 5 does not write a holding"},
		{func(c *Config, d *Device, p *Point) { p.WriteFunction, p.Access = 22, "rw" }, "22 writes bits of one register, which the point is not"},
		{func(c *Config, d *Device, p *Point) { p.WriteFunction, p.Access, p.Type = 6, "rw", "u32" }, "6 writes one register"},
		{func(c *Config, d *Device, p *Point) { p.WriteFunction, p.Access = 3, "rw" }, "want 5 or 15 for a coil"},
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

func TestTheReportOfAPointIsChecked(t *testing.T) {
	got := faults(func(c *Config, d *Device, p *Point) { p.Heartbeat = time.Minute })
	if len(got) != 1 || !strings.HasPrefix(got[0], "device[0].point[0].heartbeat: 1m0s") {
		t.Errorf("got %q", got)
	}
}

func TestRegistersAreCountedFromWhereTheDeviceSays(t *testing.T) {
	for _, c := range []struct {
		text  string
		from0 string // "" for none
		from1 string
	}{
		{text: "holding:100", from0: "holding:100", from1: "holding:99"},
		{text: "coil:0x10", from0: "coil:16", from1: "coil:15"},
		{text: "holding:40101", from0: "holding:40101", from1: "holding:40100"},
		{text: "40101", from1: "holding:100"},
		{text: "465536", from1: "holding:65535"},
		{text: "465537"},
		{text: "30001", from1: "input:0"},
		{text: "10008", from1: "discrete:7"},
		{text: "00003", from1: "coil:2"},
		{text: "20001"},
		{text: "40000"},
	} {
		for base, want := range []string{c.from0, c.from1} {
			d := Device{AddressBase: base}
			r, err := d.parseRegister(c.text)
			got := ""
			if err == nil {
				got = fmt.Sprintf("%s:%d", tableNames[r.table], r.address)
			}
			if got != want {
				t.Errorf("%q counted from %d: got %q, %v; want %q", c.text, base, got, err, want)
			}
		}
	}
	d := Device{AddressBase: 1}
	if s, err := d.parseSpan("holding:10-40020"); err != nil || s != (span{holdingRegisters, 9, 40020}) {
		t.Errorf("a span: %+v, %v", s, err)
	}
	if s, err := d.parseSpan("40010-40020"); err != nil || s != (span{holdingRegisters, 9, 20}) {
		t.Errorf("a manual's: %+v, %v", s, err)
	}
}
