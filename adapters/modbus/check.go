package modbus

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"headgate/adapters/port"
	"headgate/gateway/point"
)

const (
	schemeRTU  = "rtu"
	schemeTCP  = "tcp"
	defaultTCP = "502"
)

// laterSchemes are links that Modbus has and this version does not.
var laterSchemes = []string{"ascii", "ascii+tcp", "rtu+tcp", "udp", "rtu+udp", "tls"}

const (
	minTimeout  = 10 * time.Millisecond
	maxTimeout  = time.Minute
	maxDelay    = 10 * time.Second
	minInterval = 10 * time.Millisecond
	maxInterval = 24 * time.Hour
	maxUnit     = 247 // of a serial line [MB-RTU 2.2]
)

// link is a URL, understood.
type link struct {
	scheme string
	serial port.Address // of rtu
	host   string       // of tcp, with its port
}

// parseURL reads the url of a [[modbus]] table.
func parseURL(text string) (link, error) {
	const want = "want \"tcp://host:502\" or \"rtu:///dev/serial/by-id/...?baud=9600\""
	if text == "" {
		return link{}, fmt.Errorf("is missing: %s", want)
	}
	scheme, _, found := strings.Cut(text, "://")
	if !found && !strings.HasPrefix(text, schemeRTU+":/") {
		return link{}, fmt.Errorf("%q has no scheme: %s", text, want)
	}
	switch {
	case strings.HasPrefix(text, schemeRTU+":"):
		a, err := port.ParseURL(text, schemeRTU)
		if err == nil && a.Mode.DataBits != 8 {
			err = fmt.Errorf("%q: Modbus RTU needs 8 data bits", text)
		}
		return link{scheme: schemeRTU, serial: a}, err
	case scheme == schemeTCP:
		return parseTCP(text)
	case slices.Contains(laterSchemes, scheme):
		return link{}, fmt.Errorf("%q: this version speaks tcp:// and rtu://, not %s://", text, scheme)
	}
	return link{}, fmt.Errorf("%q: there is no scheme %q%s; %s", text, scheme, didYouMean(scheme, []string{schemeRTU, schemeTCP}), want)
}

func parseTCP(text string) (link, error) {
	const want = "want \"tcp://host:502\""
	u, err := url.Parse(text)
	if err != nil {
		return link{}, fmt.Errorf("%q is no URL: %s", text, want)
	}
	switch {
	case u.Hostname() == "":
		return link{}, fmt.Errorf("%q names no host: %s", text, want)
	case u.User != nil:
		return link{}, fmt.Errorf("%q: Modbus TCP knows no user: %s", u.Redacted(), want)
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		return link{}, fmt.Errorf("%q: nothing may follow host and port: %s", text, want)
	}
	number := u.Port()
	if number == "" {
		number = defaultTCP
	}
	if n, err := strconv.Atoi(number); err != nil || n < 1 || n > 65535 {
		return link{}, fmt.Errorf("%q: the port must be 1 to 65535: %s", text, want)
	}
	return link{scheme: schemeTCP, host: net.JoinHostPort(strings.ToLower(u.Hostname()), number)}, nil
}

func (c *Config) overTCP() bool {
	l, err := parseURL(c.URL)
	return err == nil && l.scheme == schemeTCP
}

// Link is what tells whether two tables are about the same link, which must be
// one table: the serial port's path with its symbolic links resolved, or
// "tcp host:port". It is "" for a URL that is at fault.
func (c *Config) Link() string {
	l, err := parseURL(c.URL)
	switch {
	case err != nil:
		return ""
	case l.scheme == schemeRTU:
		return l.serial.Link()
	}
	return l.scheme + " " + l.host
}

type faultFunc func(key, format string, args ...any)

// Check reports each fault by its key, as it stands in the [[modbus]] table.
// Names that are given twice are the caller's to find: it knows where they stand.
func (c *Config) Check(fault func(key, format string, args ...any)) {
	checkName(c.Name, "link", "rs485", point.CheckDeviceName, func(format string, args ...any) { fault("name", format, args...) })
	l, err := parseURL(c.URL)
	if err != nil {
		fault("url", "%v", err)
	}
	checkDuration(fault, "timeout", c.Timeout, minTimeout, maxTimeout)
	checkDuration(fault, "delay", c.Delay, 0, maxDelay)
	if len(c.Device) == 0 {
		fault("device", "is missing: want a [[modbus.device]] for each device on the link")
	}
	for i := range c.Device {
		d := &c.Device[i]
		inDevice := func(key, format string, args ...any) {
			fault(fmt.Sprintf("device[%d].%s", i, key), format, args...)
		}
		d.check(inDevice, l.scheme)
	}
}

// check checks one device; scheme is "" when the url is at fault.
func (d *Device) check(fault faultFunc, scheme string) {
	checkName(d.Name, "device", "meter1", point.CheckDeviceName, func(format string, args ...any) { fault("name", format, args...) })
	switch {
	case scheme == schemeRTU && d.Unit == nil:
		fault("unit", "is missing: want the device's unit id, 1 to %d", maxUnit)
	case scheme == schemeRTU && *d.Unit == 0:
		fault("unit", "0 is for messages to every device at once, which none answers: want 1 to %d", maxUnit)
	case scheme == schemeRTU && *d.Unit > maxUnit:
		fault("unit", "%d: want 1 to %d, for 248 to 255 are reserved on a serial line", *d.Unit, maxUnit)
	}
	checkDuration(fault, "interval", d.Interval, minInterval, maxInterval)
	if d.Order != "" {
		if _, err := parseOrder(d.Order, 0); err != nil {
			fault("order", "%v", err)
		}
	}
	if len(d.Point) == 0 {
		fault("point", "is missing: want a [[modbus.device.point]] for each value of the device")
	}
	for i := range d.Point {
		p := &d.Point[i]
		inPoint := func(key, format string, args ...any) {
			fault(fmt.Sprintf("point[%d].%s", i, key), format, args...)
		}
		if p.Interval != d.Interval { // the device's own is checked above
			checkDuration(inPoint, "interval", p.Interval, minInterval, maxInterval)
		}
		d.checkPoint(p, inPoint)
	}
}

// checkName checks what names a link, a device or a point.
func checkName(name, what, example string, check func(string) error, fault func(format string, args ...any)) {
	if name == "" {
		fault("is missing: want the %s's name, like %q", what, example)
	} else if err := check(name); err != nil {
		fault("%q %v: want a name that can stand as one level of a topic, like %q", name, err, example)
	}
}

func checkDuration(fault faultFunc, key string, d, least, most time.Duration) {
	if d < least || d > most {
		fault(key, "%v: want a time from %v to %v, like \"1s\"", d, least, most)
	}
}
