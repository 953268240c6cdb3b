// Package modbus polls the devices of one Modbus link and writes to them. It
// owns the link (RTU over a serial port, or TCP), the plan of the reads, the
// schedule, and what is known of each unit; it knows nothing of topics, and
// leaves the serial port itself to adapters/port. cmd/headgate makes one
// Adapter for each [[modbus]] table, and the gateway runs it.
//
// How it fits together: Adapter.Run is the only goroutine that touches the
// link. It takes the read that is due first (schedule.go), sends it through a
// transporter of our own (rtu.go, tcp.go) below goburrow's packagers
// (client.go), and emits what came (point.go). What a unit's silence means
// stands in unit.go, what a failed link means in link.go.
package modbus

import "time"

// Config is one [[modbus]] table: one link, and all the devices on it.
type Config struct {
	// Name names the link in logs and in the reasons of bad values, like "rs485".
	Name string `toml:"name"`

	// URL is the link: "rtu:///dev/serial/by-id/...?baud=9600&parity=E" for
	// Modbus RTU on a serial port, or "tcp://host:502" for Modbus TCP.
	// A serial port is 9600 baud, 8 data bits, no parity and 1 stop bit where
	// the URL does not say otherwise (baud, data_bits, parity = N, E or O,
	// stop_bits): the even parity that the Modbus guide names as its default is
	// not assumed, for most devices are shipped without. The default port of
	// tcp:// is 502.
	URL string `toml:"url"`

	// Timeout is how long a unit may take to answer, the time that request and
	// answer need on the wire not counted. Default "1s".
	Timeout time.Duration `toml:"timeout"`

	// Delay is the least pause between an answer and the next request, for
	// devices that need more than the protocol's 3.5 characters. Default 0.
	Delay time.Duration `toml:"delay"`

	// Device lists the devices on the link.
	Device []Device `toml:"device"`
}

// Device is one [[modbus.device]] table.
type Device struct {
	// Name is the device's name, as it stands in topics.
	Name string `toml:"name"`

	// Unit is the device's unit id (its slave address): 1 to 247 on a serial
	// line, 0 to 255 over TCP. Two devices may share one. Default 1 over TCP;
	// on a serial line it must be given.
	Unit *uint8 `toml:"unit"`

	// Interval is how often the points are read. Default "1s".
	Interval time.Duration `toml:"interval"`

	// Order is the default order of bytes for the points of this device: see
	// the order of a point.
	Order string `toml:"order"`

	// Point lists what is read and written.
	Point []Point `toml:"point"`
}

// Point is one [[modbus.device.point]] table.
type Point struct {
	// Name is the point's name, as it stands in topics.
	Name string `toml:"name"`

	// Register is the table and the 0-based address: "holding:100",
	// "input:100", "coil:0" or "discrete:0". The address may be hexadecimal:
	// "holding:0x64".
	Register string `toml:"register"`

	// Type is what stands there: u16, i16, u32, i32, u64, i64, f32, f64 or
	// bool (in a register: not 0). Default "u16"; coils and discrete inputs are
	// always bool.
	Type string `toml:"type"`

	// Order says in which order the bytes of a value come over the wire, A
	// being the most significant one: for 32 bits "ABCD" (as Modbus sends its
	// registers), "CDAB" (low word first), "BADC" (bytes swapped in each
	// register) or "DCBA" (all reversed). For 64 bits the same four, or written
	// out "ABCDEFGH", "GHEFCDAB", "BADCFEHG", "HGFEDCBA"; for 16 bits "AB" or
	// "BA". Default: the device's, and "ABCD".
	Order string `toml:"order"`

	// Scale and Offset make the published value of the number in the device:
	// number * scale + offset; a write goes the other way. Defaults 1 and 0,
	// with which whole numbers stay exact to 64 bits.
	Scale  float64 `toml:"scale"`
	Offset float64 `toml:"offset"`

	// Unit is the unit of measure as published, like "kWh". Default none.
	Unit string `toml:"unit"`

	// Access is "r", or "rw" for a point that commands may write: a holding
	// register or a coil. Default "r".
	Access string `toml:"access"`

	// Interval is how often this point is read. Default: the device's.
	Interval time.Duration `toml:"interval"`
}

const (
	defaultTimeout  = time.Second
	defaultInterval = time.Second
	defaultOrder    = "ABCD"
	defaultTCPUnit  = 1
)

// SetDefaults fills what was left out. It may run more than once.
func (c *Config) SetDefaults() {
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	for i := range c.Device {
		d := &c.Device[i]
		if d.Unit == nil && c.overTCP() {
			d.Unit = new(uint8(defaultTCPUnit))
		}
		if d.Interval == 0 {
			d.Interval = defaultInterval
		}
		for j := range d.Point {
			d.Point[j].setDefaults(d)
		}
	}
}

func (p *Point) setDefaults(d *Device) {
	if p.Type == "" {
		p.Type = "u16"
		if r, err := parseRegister(p.Register); err == nil && r.table.isBits() {
			p.Type = "bool"
		}
	}
	if p.Scale == 0 {
		p.Scale = 1
	}
	if p.Access == "" {
		p.Access = "r"
	}
	if p.Interval == 0 {
		p.Interval = d.Interval
	}
}
