package config

import (
	"math"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"headgate/adapters/modbus"
)

// assumedTurnaround is how long a unit takes to begin an answer that nobody has
// measured.
const assumedTurnaround = 5 * time.Millisecond

// warn adds what is no fault, but hardly what was meant, of the key at path.
func (l *loader) warn(severity Severity, path, format string, args ...any) {
	before, faulty := len(l.faults), l.faulty[path]
	l.add(path, format, args...)
	for _, f := range l.faults[before:] {
		f.Severity = severity
		l.notes = append(l.notes, f)
	}
	l.faults, l.faulty[path] = l.faults[:before], faulty
}

// checkWise finds what can be run but will hardly do what is wanted.
func (l *loader) checkWise() {
	f := &l.file
	for i := range f.Broker.Listener {
		for _, late := range f.Broker.Listener[i].Late() {
			l.warn(Warning, joinIndex("broker.listener", i)+".url", "%s", late)
		}
	}
	l.checkStrangers()
	for i := range f.Modbus {
		l.checkUnits(&f.Modbus[i], joinIndex("modbus", i))
		if len(l.faults) == 0 {
			l.checkBusy(&f.Modbus[i], joinIndex("modbus", i))
		}
	}
	l.checkHome()
	for i := range f.Rule {
		if r := &f.Rule[i]; r.TakesItsOwn() {
			l.warn(Warning, joinIndex("rule", i)+".to", "%q is among what %q takes: what it publishes is not taken by a rule again, but another program that copies it back makes a loop", r.To, r.From)
		}
	}
	if len(f.Modbus)+len(f.Serial)+len(f.Broker.Listener) == 0 {
		l.notes = append(l.notes, Fault{Severity: Note, File: f.Paths[0],
			Text: "there is nothing to do: add a [[modbus]] or [[serial]] table for a device; headgate demo --dir DIR leaves an example in DIR"})
	}
}

// checkStrangers finds listeners for other machines, of which none may connect.
func (l *loader) checkStrangers() {
	b := &l.file.Broker
	if len(b.User) > 0 || b.PasswordFile != "" {
		return
	}
	for i := range b.Listener {
		c := &b.Listener[i]
		u, err := url.Parse(c.URL)
		if err != nil || u.Scheme == "unix" || c.Anonymous || c.ClientCAFile != "" || u.Hostname() == "localhost" {
			continue
		}
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil && addr.Unmap().IsLoopback() {
			continue
		}
		l.warn(Note, joinIndex("broker.listener", i)+".url", "other machines reach %q, but only this one may connect: there is no [[broker.user]] and no password_file; anonymous = true lets all in", c.URL)
	}
}

// checkUnits finds devices of one unit: it may be meant, for a box that is two.
func (l *loader) checkUnits(m *modbus.Config, path string) {
	first := map[uint8]string{}
	for i := range m.Device {
		d, at := &m.Device[i], joinIndex(path+".device", i)+".unit"
		if d.Unit == nil {
			continue
		}
		if before, ok := first[*d.Unit]; ok {
			l.warn(Warning, at, "unit %d is that of %s too: two boxes of one unit id answer at once, and neither is understood", *d.Unit, before)
			continue
		}
		first[*d.Unit] = d.Name
	}
}

// checkBusy finds a link that cannot carry what is to be read on it.
func (l *loader) checkBusy(m *modbus.Config, path string) {
	p, err := modbus.NewPlan(*m, func(uint8) time.Duration { return assumedTurnaround })
	if err != nil || p.Load <= 1 {
		return
	}
	var names []string
	shortest := time.Duration(math.MaxInt64)
	for _, d := range m.Device {
		names = append(names, d.Name)
		for _, point := range d.Point {
			shortest = min(shortest, point.Interval)
		}
	}
	would := time.Duration(math.Ceil(shortest.Seconds()*p.Load*10)/10*1e3) * time.Millisecond
	l.warn(Warning, path+".url", "%s need %.0f %% of the link's time, each unit answering after %v: values will come late; with %v in place of %v it would do, or with fewer points, or a faster link (headgate modbus plan shows each request)",
		strings.Join(names, ", "), 100*p.Load, assumedTurnaround, would, shortest)
}

// checkWeb finds a page on a listener's port.
func (l *loader) checkWeb() {
	host, port, err := net.SplitHostPort(l.file.Web.Listen)
	if err != nil || port == "0" {
		return
	}
	for i := range l.file.Broker.Listener {
		otherHost, otherPort, err := net.SplitHostPort(l.file.Broker.Listener[i].Address())
		if err == nil && otherPort == port && sameHost(host, otherHost) {
			l.add("web.listen", "port %s is taken by the listener at %s", port, l.where(joinIndex("broker.listener", i)+".url"))
			return
		}
	}
}

// plainHost gives a host with one name for all that mean the same; "" is every
// address.
func plainHost(host string) string {
	switch host {
	case "localhost":
		return "127.0.0.1"
	case "0.0.0.0", "::":
		return ""
	}
	return host
}

// sameHost says whether two addresses of one port cannot be bound beside each other.
func sameHost(a, b string) bool {
	a, b = plainHost(a), plainHost(b)
	return a == b || a == "" || b == ""
}
