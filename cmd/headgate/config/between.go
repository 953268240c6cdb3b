package config

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"headgate/adapters/port"
	"headgate/gateway/format"
)

// reservedPoints are the point names that the gateway's own topics need.
var reservedPoints = map[string]string{
	"status": "where the gateway says whether the device answers",
	"set":    "where commands arrive",
}

// checkBetween finds what no part can find alone: what two of them claim.
func (l *loader) checkBetween() {
	names, devices, ports := l.unique(), l.unique(), l.unique()
	for i := range l.file.Modbus {
		m := &l.file.Modbus[i]
		link := joinIndex("modbus", i)
		names(m.Name, link+".name", "%[1]q is the name of another link, at %[2]s")
		ports(linkOf(m.URL), link+".url", "the link is taken at %[2]s: one [[modbus]] table holds all devices of a link")
		for j := range m.Device {
			d := &m.Device[j]
			device := joinIndex(link+".device", j)
			devices(d.Name, device+".name", "%[1]q is the name of another device, at %[2]s: its topics would mix with these")
			points := l.unique()
			for k := range d.Point {
				points(d.Point[k].Name, joinIndex(device+".point", k)+".name", "%[1]q is the name of another point of the device, at %[2]s")
				l.reserved(d.Point[k].Name, joinIndex(device+".point", k)+".name")
			}
		}
	}
	for i := range l.file.Serial {
		s := &l.file.Serial[i]
		line := joinIndex("serial", i)
		names(s.Name, line+".name", "%[1]q is the name of another link, at %[2]s")
		devices(s.Name, line+".name", "%[1]q is the name of another device, at %[2]s: its topics would mix with these")
		ports(linkOf(s.URL), line+".url", "the port is taken at %[2]s: only one can listen on it")
		if re, err := regexp.Compile(s.Parse.Regexp); err == nil {
			for _, group := range re.SubexpNames() {
				l.reserved(group, line+".parse.regexp")
			}
		}
	}
	for i := range l.file.Derived {
		devices(l.file.Derived[i].Name, joinIndex("derived", i)+".name", "%[1]q is the name of another device, at %[2]s: its topics would mix with these")
	}
	l.checkDerived()
	rules := l.unique()
	for i := range l.file.Rule {
		rules(l.file.Rule[i].Name, joinIndex("rule", i)+".name", "%[1]q is the name of another rule, at %[2]s")
	}
	bridges, clients := l.unique(), l.unique()
	for i := range l.file.Bridge {
		b := &l.file.Bridge[i]
		table := joinIndex("bridge", i)
		bridges(b.Name, table+".name", "%[1]q is the name of another bridge, at %[2]s")
		for _, upstream := range b.Addresses() {
			if b.ClientID == "" || upstream == "" {
				continue
			}
			clients(upstream+"\n"+b.ClientID, table+".client_id", "the bridge at %[2]s has this client identifier at the same upstream: each would throw the other out")
		}
	}
	l.checkFormats()
	l.checkListeners()
	l.checkWeb()
}

// checkFormats finds who has to read the gateway's JSON where there is none.
func (l *loader) checkFormats() {
	here := l.file.Gateway.Format
	for i := range l.file.Bridge {
		if l.file.Bridge[i].Sparkplug.On() && here != format.JSON {
			l.add(joinIndex("bridge", i)+".sparkplug", "it is made of the gateway's JSON, and gateway.format is %q: want %q there", here, format.JSON)
		}
	}
	if here == format.JSON {
		return
	}
	if l.file.HomeAssistant.Enabled {
		l.add("homeassistant.enabled", "Home Assistant is told to read the gateway's JSON, and gateway.format is %q: want %q there", here, format.JSON)
	}
	for i := range l.file.Bridge {
		for j := range l.file.Bridge[i].Up {
			if up := &l.file.Bridge[i].Up[j]; up.Format != format.JSON {
				path := fmt.Sprintf("bridge[%d].up[%d].format", i, j)
				l.add(path, "%q is made of the gateway's JSON, and gateway.format is %q: want format = %q there, or none here", up.Format, here, format.JSON)
			}
		}
	}
}

// checkListeners finds addresses that cannot be bound beside each other. A host
// that means every address takes its port from all the others.
func (l *loader) checkListeners() {
	type bound struct{ host, port, path string }
	var before []bound
	for i := range l.file.Broker.Listener {
		path := joinIndex("broker.listener", i) + ".url"
		host, port, err := net.SplitHostPort(l.file.Broker.Listener[i].Address())
		if err != nil || port == "0" {
			continue
		}
		for _, b := range before {
			if b.port == port && sameHost(b.host, host) {
				l.add(path, "port %s is taken by the listener at %s", port, l.where(b.path))
				break
			}
		}
		before = append(before, bound{host, port, path})
	}
}

// unique gives a function that reports a value which it has been given before;
// the format gets the value and where it stands first. A path that has a fault
// already is left at that.
func (l *loader) unique() func(value, path, format string) {
	first := map[string]string{}
	return func(value, path, format string) {
		if value == "" {
			return
		}
		at, taken := first[value]
		if !taken {
			first[value] = path
			return
		}
		if l.before(path, at) {
			first[value] = path
			at, path = path, at
		}
		if !l.faulty[path] {
			l.add(path, format, value, l.where(at))
		}
	}
}

// reserved reports a point of a name that the gateway keeps for itself.
func (l *loader) reserved(name, path string) {
	if use, ok := reservedPoints[name]; ok && !l.faulty[path] {
		l.add(path, "a point cannot be called %q: its topic is %s", name, use)
	}
}

// before says whether the key at path a stands before that at b.
func (l *loader) before(a, b string) bool {
	x, y := l.nearest(a), l.nearest(b)
	if x.from == y.from || x.from == nil || y.from == nil {
		return x.at.key < y.at.key
	}
	return slices.Index(l.file.Paths, x.from.path) < slices.Index(l.file.Paths, y.from.path)
}

// nearest gives the value at path; where there is none, the innermost table
// around it.
func (l *loader) nearest(path string) *node {
	for l.places[path] == nil && path != "" {
		path = parentPath(path)
	}
	return l.places[path]
}

// where gives the file and line of the key at path.
func (l *loader) where(path string) string {
	n := l.nearest(path)
	if n == l.root {
		return l.file.Paths[0]
	}
	return fmt.Sprintf("%s:%d", n.from.path, n.from.line(n.at.key))
}

// linkOf gives what two links cannot share: a serial port's path, with links
// resolved where it exists, or a network address with its transport. It is ""
// for a URL that is none.
func linkOf(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" {
		return ""
	}
	if u.Host == "" {
		path := cmp.Or(u.Path, u.Opaque)
		if path == "" {
			return ""
		}
		return port.Address{Path: path}.Link()
	}
	number := u.Port()
	switch {
	case number != "":
	case u.Scheme == "tls":
		number = "802"
	default:
		number = "502"
	}
	transport := "tcp"
	if strings.Contains(u.Scheme, "udp") {
		transport = "udp"
	}
	return transport + " " + net.JoinHostPort(strings.ToLower(u.Hostname()), number)
}
