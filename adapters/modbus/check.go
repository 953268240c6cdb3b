package modbus

import (
	"fmt"
	"time"

	"headgate/adapters/datatype"
	"headgate/gateway/point"
)

const (
	minTimeout   = 10 * time.Millisecond
	maxTimeout   = time.Minute
	maxDelay     = 10 * time.Second
	minIdleClose = 10 * time.Millisecond
	maxIdleClose = time.Hour
	minInterval  = 10 * time.Millisecond
	maxInterval  = 24 * time.Hour
	maxMisses    = 1000
	maxAway      = 24 * time.Hour
	maxUnit      = 247 // of a serial line [MB-RTU 2.2]
)

type faultFunc func(key, format string, args ...any)

// Check reports each fault by its key, as it stands in the [[modbus]] table.
// Names that are given twice are the caller's to find: it knows where they stand.
func (c *Config) Check(fault func(key, format string, args ...any)) {
	checkName(c.Name, "link", "rs485", point.CheckDeviceName, func(format string, args ...any) { fault("name", format, args...) })
	l, err := parseURL(c.URL)
	if err != nil {
		fault("url", "%v", err)
	}
	if err == nil {
		c.checkLink(fault, l)
	}
	checkDuration(fault, "timeout", c.Timeout, minTimeout, maxTimeout)
	checkDuration(fault, "delay", c.Delay, 0, maxDelay)
	checkDuration(fault, "switch_delay", c.SwitchDelay, 0, maxDelay)
	checkDuration(fault, "connect_delay", c.ConnectDelay, 0, maxDelay)
	if c.IdleClose != 0 {
		checkDuration(fault, "idle_close", c.IdleClose, minIdleClose, maxIdleClose)
	}
	if len(c.Device) == 0 {
		fault("device", "is missing: want a [[modbus.device]] for each device on the link")
	}
	for i := range c.Device {
		d := &c.Device[i]
		inDevice := func(key, format string, args ...any) {
			fault(fmt.Sprintf("device[%d].%s", i, key), format, args...)
		}
		d.check(inDevice, err == nil && l.onSerialLine())
		if d.Timeout != c.Timeout { // the link's own is checked above
			checkDuration(inDevice, "timeout", d.Timeout, minTimeout, maxTimeout)
		}
	}
}

// checkLink checks what does not go with every link.
func (c *Config) checkLink(fault faultFunc, l link) {
	if c.LocalEcho && !l.onSerialLine() {
		fault("local_echo", "is for serial lines: nothing is echoed over %s://", l.name)
	}
	if c.IdleClose != 0 && (l.carrier == serialLine || l.carrier == viaUDP) {
		fault("idle_close", "is for links with a connection that another may want: %s:// has none", l.name)
	}
	t := c.TLS
	switch {
	case l.carrier != viaTLS && t != TLS{}:
		fault("tls", "is for tls://: over %s:// nothing is encrypted", l.name)
	case t.CertFile != "" && t.KeyFile == "":
		fault("tls.key_file", "is missing: want the private key of %s", t.CertFile)
	case t.KeyFile != "" && t.CertFile == "":
		fault("tls.cert_file", "is missing: want the certificate of %s", t.KeyFile)
	case l.carrier == viaTLS && t.CertFile == "":
		fault("tls.cert_file", "is missing: Modbus/TCP Security wants a certificate of the client too")
	}
}

// check checks one device; onSerialLine is false, too, when the url is at fault.
func (d *Device) check(fault faultFunc, onSerialLine bool) {
	checkName(d.Name, "device", "meter1", point.CheckDeviceName, func(format string, args ...any) { fault("name", format, args...) })
	switch {
	case onSerialLine && d.Unit == nil:
		fault("unit", "is missing: want the device's unit id, 1 to %d", maxUnit)
	case onSerialLine && *d.Unit == 0:
		fault("unit", "0 is for messages to every device at once, which none answers: want 1 to %d", maxUnit)
	case onSerialLine && *d.Unit > maxUnit:
		fault("unit", "%d: want 1 to %d, for 248 to 255 are reserved on a serial line", *d.Unit, maxUnit)
	}
	checkDuration(fault, "interval", d.Interval, minInterval, maxInterval)
	checkDuration(fault, "delay", d.Delay, 0, maxDelay)
	checkDuration(fault, "connect_delay", d.ConnectDelay, 0, maxDelay)
	if n := d.OfflineMisses; n < 1 || n > maxMisses {
		fault("offline_misses", "%d: want 1 to %d requests without an answer", n, maxMisses)
	}
	checkDuration(fault, "offline_after", d.OfflineAfter, 0, maxAway)
	if d.Order != "" {
		if _, err := datatype.ParseOrder(d.Order, 0); err != nil {
			fault("order", "%v", err)
		}
	}
	if d.AddressBase != 0 && d.AddressBase != 1 {
		fault("address_base", "%d: want 0 or 1", d.AddressBase)
	}
	d.checkLimits(fault)
	d.checkBlocks(fault)
	d.checkSetup(fault)
	if len(d.Point) == 0 {
		fault("point", "is missing: want a [[modbus.device.point]] for each value of the device")
	}
	for i := range d.Point {
		p := &d.Point[i]
		sound := true
		inPoint := func(key, format string, args ...any) {
			sound = false
			fault(fmt.Sprintf("point[%d].%s", i, key), format, args...)
		}
		if p.Interval != d.Interval { // the device's own is checked above
			checkDuration(inPoint, "interval", p.Interval, minInterval, maxInterval)
		}
		d.checkPoint(p, inPoint)
		if !sound {
			continue
		}
		if f, err := newField(*d, *p); err == nil {
			d.checkReadable(inPoint, &f)
		}
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
