// Package modbus polls the devices of one Modbus link and writes to them. It
// owns the link (RTU, ASCII or TCP frames over a serial port or a network), the
// plan of the reads, the schedule, and what is known of each unit; it knows
// nothing of topics, and leaves the serial port itself to adapters/port.
// cmd/headgate makes one Adapter for each [[modbus]] table, and the gateway runs
// it.
//
// How it fits together: Adapter.Run is the only goroutine that makes requests.
// It takes the read that is due first (schedule.go), sends it through a
// transporter of our own (transport.go) below goburrow's packagers (client.go):
// any framing (framer.go) over any carrier (url.go, dial.go), one goroutine of
// which hears what comes (wire.go). It emits what came (poll.go). What is read
// together stands in plan.go, what a device has been found not to have in learn.go,
// what a unit's silence means in unit.go, what a failed link means in link.go.
package modbus

import (
	"time"

	"headgate/adapters/datatype"
	"headgate/gateway/point"
)

// Config is one [[modbus]] table: one link, and all the devices on it.
type Config struct {
	// Name names the link in logs and in the reasons of bad values, like "rs485".
	Name string `toml:"name"`

	// URL is the link:
	//
	//	rtu:///dev/serial/by-id/...?baud=9600&parity=E   Modbus RTU on a serial port
	//	ascii:///dev/ttyS0?baud=9600&data_bits=7         Modbus ASCII on a serial port
	//	tcp://host:502        Modbus TCP
	//	rtu+tcp://host:4001   RTU frames over TCP, as gateways of serial lines carry them
	//	ascii+tcp://host:4001 ASCII frames over TCP
	//	udp://host:502        Modbus TCP's frames, each in a datagram
	//	rtu+udp://host:4001   RTU frames in datagrams
	//	tls://host:802        Modbus/TCP Security
	//
	// A serial port is 9600 baud, 8 data bits, no parity and 1 stop bit where
	// the URL does not say otherwise (baud, data_bits, parity = N, E or O,
	// stop_bits): the even parity that the Modbus guide names as its default is
	// not assumed, for most devices are shipped without. rs485=rts (or
	// rts-inverted) has the kernel switch an RS485 transceiver, with rts_before
	// and rts_after (like 1ms) around what is sent. Behind rtu+tcp://,
	// ascii+tcp:// and rtu+udp:// the same settings describe the gateway's serial
	// line; nothing is set by them, but how long an answer may take follows from
	// them, and what is worth reading together.
	URL string `toml:"url"`

	// LocalEcho says that all that is sent comes back before the answer, as
	// some RS485 adapters have it: it is taken off and compared. Default false.
	LocalEcho bool `toml:"local_echo"`

	// TLS says whom to trust, and who we are; only for tls://.
	TLS TLS `toml:"tls"`

	// Timeout is how long a unit may take to answer, the time that request and
	// answer need on the wire not counted. Default "1s".
	Timeout time.Duration `toml:"timeout"`

	// Delay is the least pause between an answer and the next request, for
	// devices that need more than the protocol's 3.5 characters. Default 0.
	Delay time.Duration `toml:"delay"`

	// SwitchDelay is the least pause before a request to another unit than the one
	// before, for lines on which one unit still listens to what is said to the
	// next. Default 0.
	SwitchDelay time.Duration `toml:"switch_delay"`

	// ConnectDelay is the pause between opening the link and the first request,
	// for devices that start when they are connected to. Default 0.
	ConnectDelay time.Duration `toml:"connect_delay"`

	// IdleClose is how long after the last request the link is closed, until the
	// next one, for gateways and loggers that have room for one connection only and
	// must have it for others, too. No device is offline by that. One that cannot be
	// reached meanwhile, because another has the connection, is: offline_after bears
	// it for a while. For tcp, rtu+tcp, ascii+tcp and tls. Default: it stays open.
	IdleClose time.Duration `toml:"idle_close"`

	// Device lists the devices on the link.
	Device []Device `toml:"device"`
}

// TLS is the table tls = { ... }. The files are PEM and read at every attempt to
// connect, so that a renewed one counts; a reload has a connection made anew that was
// made with others.
type TLS struct {
	// CAFile holds the certificates to trust in place of the system's.
	CAFile string `toml:"ca_file"`

	// CertFile is our certificate with its chain. What we may do is for the
	// server to say, by the role in it.
	CertFile string `toml:"cert_file"`

	// KeyFile is the private key of cert_file.
	KeyFile string `toml:"key_file"`

	// ServerName is the name that the server's certificate must have. Default:
	// the host of the url.
	ServerName string `toml:"server_name"`
}

// Device is one [[modbus.device]] table.
type Device struct {
	// Name is the device's name, as it stands in topics.
	Name string `toml:"name"`

	// Unit is the device's unit id (its slave address): 1 to 247 on a serial
	// line, 0 to 255 over TCP. Two devices may share one. Default 1 over TCP;
	// on a serial line it must be given.
	Unit *uint8 `toml:"unit"`

	// Profile is the name of a device profile, like "eastron-sdm630": its points,
	// and what else it says, as if it stood in this table. What does stand here
	// goes before: keys, and keys of a point of the same name. A point of another
	// name is added. Profiles are files in the gateway's profile_dir, or built in:
	// "headgate modbus profiles" lists them with their versions. Default none.
	Profile string `toml:"profile"`

	// ProfilePoints names the points of the profile that are wanted. Default: all.
	ProfilePoints []string `toml:"profile_points"`

	// Manufacturer and Model say what the device is, where it is announced: in Home
	// Assistant's list of devices. Defaults: those of its profile.
	Manufacturer string `toml:"manufacturer"`
	Model        string `toml:"model"`

	// Interval is how often the points are read. Default "1s".
	Interval time.Duration `toml:"interval"`

	// Timeout is how long this device may take to answer, as that of the link.
	// Default: the link's.
	Timeout time.Duration `toml:"timeout"`

	// Delay is the least pause before a request to this device, where that of the
	// link is less. Default 0.
	Delay time.Duration `toml:"delay"`

	// ConnectDelay is the least pause between opening the link and the first
	// request on it, where that of the link is less; of all its devices the greatest
	// goes. Default 0.
	ConnectDelay time.Duration `toml:"connect_delay"`

	// Order is the default order of bytes for the points of this device: see
	// the order of a point.
	Order string `toml:"order"`

	// AddressBase is 0 where registers are counted from 0, as they are on the wire,
	// or 1 where they are written down as a manual counts them: "holding:1" is the
	// first one then, as is "40001" (or "400001"; 3: input, 1: discrete, 0: coil).
	// It goes for all registers of the device; a profile has its own. The tools
	// count from 0. Default 0.
	AddressBase int `toml:"address_base"`

	// MaxRegisters and MaxBits are how many registers, and how many coils or
	// discrete inputs, the device lets one request read. Defaults 125 and 2000,
	// which is what the protocol allows.
	MaxRegisters int `toml:"max_registers"`
	MaxBits      int `toml:"max_bits"`

	// MaxGap is how many registers, or bits, that no point is in may be read
	// between two points to save a request: 0 for none, "unlimited" for as many
	// as pay. A hole that the device refuses to read is found out and left alone
	// anyway. Default "unlimited".
	MaxGap Gap `toml:"max_gap"`

	// OneRequestPerPoint has no point read together with another, unless they share
	// a register, for devices that answer only just the registers of one value.
	// Default false.
	OneRequestPerPoint bool `toml:"one_request_per_point"`

	// NoRead lists what must never be read, not even in a hole between two
	// points, because reading does something: "holding:100-110", "coil:7".
	NoRead []string `toml:"no_read"`

	// ReadBlocks lists what is to be read as it stands here, each in one request
	// whenever a point in it is due: "holding:0-59", "input:100-139". It is for
	// devices that answer only such blocks, or measure all of one at once; "coil:0-15"
	// is for those that read coils only from the first on. Points in none of them
	// are read as without. A block that the device refuses is cut up like any other
	// read, and tried again an hour later. Default: none.
	ReadBlocks []string `toml:"read_blocks"`

	// OfflineMisses and OfflineAfter are how many requests in a row a unit has to
	// leave without an answer, and since the first of them for how long at least,
	// until the device is said to be offline and all its points are bad. Until
	// then only what was asked for is. From so many misses on it is asked less and
	// less often, so that it costs its neighbours little; a great number costs them
	// more. A link that is down has to be so for OfflineAfter, too. Of devices that
	// share a unit the greater goes. Defaults 2 and 0.
	OfflineMisses int           `toml:"offline_misses"`
	OfflineAfter  time.Duration `toml:"offline_after"`

	// Setup lists what is written each time the device comes online: after the
	// start, and after it was away, for it may be another one then, or have lost
	// its settings: setup = [ { register = "holding:0x1101", value = 7 } ].
	Setup []Setup `toml:"setup"`

	// Point lists what is read and written.
	Point []Point `toml:"point"`
}

// Point is one [[modbus.device.point]] table.
type Point struct {
	// Name is the point's name, as it stands in topics.
	Name string `toml:"name"`

	// Register is the table and the address, 0-based unless address_base says
	// otherwise: "holding:100", "input:100", "coil:0" or "discrete:0". The address
	// may be hexadecimal: "holding:0x64".
	Register string `toml:"register"`

	// Type is what stands there. Whole numbers: u16, i16, u24, i24, u32, i32, u48,
	// i48, u64, i64 (i: with a sign, in two's complement; 24 bits are the low ones
	// of two registers); u8h, u8l, i8h and i8l are the high and the low byte of
	// one. Floating point (IEEE 754): f16, f32, f64. Decimal digits, four bits
	// each: bcd16, bcd32, bcd64. Times, published as text like
	// "2026-11-23T18:04:05Z": epoch32 and epoch64 (seconds since 1970), epochms64
	// (milliseconds). Text: string (two characters a register), string8 (one, in
	// the low byte; with order = "BA" in the high one). bool: not 0. Default "u16";
	// coils and discrete inputs are always bool.
	Type string `toml:"type"`

	// Length is how many characters a string has. A text is published up to its
	// first NUL and without blanks around it.
	Length int `toml:"length"`

	// Bits takes a part out of a whole number: "shift:width", like "4:3" for the
	// three bits from bit 4 on, bit 0 being the least significant; or one bit,
	// like "7". A write leaves the other bits as they are: by function 22, or,
	// where the device does not know it, by reading and writing the register.
	// Default: all of them.
	Bits string `toml:"bits"`

	// Order says in which order the bytes of a value come over the wire, A
	// being the most significant one: for 32 bits "ABCD" (as Modbus sends its
	// registers), "CDAB" (low word first), "BADC" (bytes swapped in each
	// register) or "DCBA" (all reversed). For 64 bits the same four, or written
	// out "ABCDEFGH", "GHEFCDAB", "BADCFEHG", "HGFEDCBA", and with only the halves
	// exchanged "EFGHABCD", "CDABGHEF", "FEHGBADC", "DCBAHGFE"; for 16 bits and for
	// the two characters of a register "AB" or "BA". Default: the device's, and
	// "ABCD".
	Order string `toml:"order"`

	// Number says what becomes of a number: scale, offset, decimals, min, max and
	// out_of_range. A command to write a value beyond min and max is refused.
	datatype.Number

	// Exponent is the register, of the same table, that says which power of ten
	// the number is to be multiplied by, as a signed number from -10 to 10
	// (SunSpec calls it sunssf). It is read together with the value. Such a point
	// cannot be written. Default: none.
	Exponent string `toml:"exponent"`

	// Invalid lists what the device says when it has no value, as it stands in
	// its registers, before scale and offset: numbers like 65535 or -32768, or
	// bits like "0x7fff". The quality is bad then. A float that is not a number
	// never is a value.
	Invalid []any `toml:"invalid"`

	// Enum gives texts to numbers, as they stand in the registers:
	// { 0 = "off", 1 = "heating" }. The text is published; a number that has none
	// is published as a number. A command may have the text or the number, and
	// is refused for any other.
	Enum map[string]string `toml:"enum"`

	// Unit is the unit of measure as published, like "kWh". Default none.
	Unit string `toml:"unit"`

	// WriteFunction is the function code that writes the point, for devices that
	// do not have them all: 5 or 15 for a coil; 6, 16, 22 (mask write) or 23
	// (read/write) for holding registers. Default: 5 for a coil, 6 for one
	// register, 16 for several, 22 for bits of one.
	WriteFunction uint8 `toml:"write_function"`

	// Access is "r", "rw" for a point that commands may write too: a holding
	// register or a coil; or "w" for one that is only written. That one is never
	// read, not even in a hole between others or after a write, and has no value.
	// Default "r".
	Access string `toml:"access"`

	// Interval is how often this point is read. Default: the device's.
	Interval time.Duration `toml:"interval"`

	// Report says which readings are published: deadband, min_interval and
	// heartbeat.
	point.Report
}

const (
	defaultTimeout  = time.Second
	defaultInterval = time.Second
	defaultOrder    = "ABCD"
	defaultTCPUnit  = 1
	defaultMisses   = 2
)

// SetDefaults fills what was left out. It may run more than once.
func (c *Config) SetDefaults() {
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	for i := range c.Device {
		d := &c.Device[i]
		if d.Unit == nil && c.overNetwork() {
			d.Unit = new(uint8(defaultTCPUnit))
		}
		if d.Interval == 0 {
			d.Interval = defaultInterval
		}
		if d.Timeout == 0 {
			d.Timeout = c.Timeout
		}
		if d.MaxRegisters == 0 {
			d.MaxRegisters = holdingRegisters.maxRead()
		}
		if d.MaxBits == 0 {
			d.MaxBits = coils.maxRead()
		}
		if d.OfflineMisses == 0 {
			d.OfflineMisses = defaultMisses
		}
		for j := range d.Point {
			d.Point[j].setDefaults(d)
		}
	}
}

func (p *Point) setDefaults(d *Device) {
	if p.Type == "" {
		p.Type = "u16"
		if r, err := d.parseRegister(p.Register); err == nil && r.table.isBits() {
			p.Type = "bool"
		}
	}
	p.Number.SetDefaults()
	if p.Access == "" {
		p.Access = "r"
	}
	if p.Interval == 0 {
		p.Interval = d.Interval
	}
	p.Report.SetDefaults()
}
