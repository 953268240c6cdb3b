// Package config reads the configuration: the TOML file, the files in conf.d
// beside it, and the environment variables that their texts name. Each part of
// the program owns its table, as its Config struct with SetDefaults and Check;
// this package gathers them, finds what is wrong between them, and reports
// every fault with its file and line. It starts nothing and opens no device;
// the subcommands call Load.
package config

import (
	"cmp"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"

	"headgate/adapters/derived"
	"headgate/adapters/modbus"
	"headgate/adapters/serial"
	"headgate/broker"
	"headgate/broker/store"
	"headgate/gateway"
	"headgate/gateway/homeassistant"
	"headgate/gateway/rule"
	"headgate/gateway/web"
)

// File is the whole configuration, as the files give it or, where they say
// nothing, by the parts' defaults.
type File struct {
	Gateway gateway.Config   `toml:"gateway"`
	Broker  broker.Config    `toml:"broker"`
	Store   Store            `toml:"store"`
	Web     web.Config       `toml:"web"`
	Modbus  []modbus.Config  `toml:"modbus"`
	Serial  []serial.Config  `toml:"serial"`
	Derived []derived.Config `toml:"derived"`
	Rule    []rule.Config    `toml:"rule"`
	Bridge  []Bridge         `toml:"bridge"`

	HomeAssistant homeassistant.Config `toml:"homeassistant"`

	// Paths are the files that were read: the one that was asked for, then
	// those in conf.d.
	Paths []string `toml:"-"`
}

// Store is the [store] table: the store itself knows no topics.
type Store struct {
	store.Config
	Class []broker.Class `toml:"class"`
}

// Check reports each fault by its key, relative to the [store] table.
func (s *Store) Check(fault func(key, format string, args ...any)) {
	s.Config.Check(fault)
	for i := range s.Class {
		s.Class[i].Check(func(key, format string, args ...any) {
			fault(joinKey(joinIndex("class", i), key), format, args...)
		})
	}
}

// Load reads the file at path and conf.d/*.toml beside it, in the order of
// their names: tables are joined, lists of tables continued; a value may be
// given once. Then texts are expanded (${NAME} from the environment, $${ for a
// plain ${), defaults filled in and everything checked. The error is a Faults:
// all that is wrong at once, so that one round of editing mends it.
func Load(path string) (*File, error) {
	sources, faults := readAll(path)
	return load(sources, faults)
}

// load makes a File of the sources; faults are those of their reading.
func load(sources []*source, faults Faults) (*File, error) { return newLoader(faults).load(sources) }

func newLoader(faults Faults) *loader {
	return &loader{root: &node{table: map[string]*node{}}, excused: map[string]bool{}, faulty: map[string]bool{}, faults: faults}
}

func (l *loader) load(sources []*source) (*File, error) {
	var trees []*node
	for _, s := range sources {
		l.file.Paths = append(l.file.Paths, s.path)
		tree, faults := s.parse()
		l.faults = append(l.faults, faults...)
		trees = append(trees, tree)
	}
	// Where a file cannot be read at all, what the others lack means nothing.
	if len(l.faults) == 0 {
		for _, tree := range trees {
			l.root.merge(tree, "", l.report)
		}
		l.decode()
		l.check()
	}
	if len(l.faults) > 0 {
		for i, f := range l.faults {
			l.faults[i].Text = printable(l.secrets.hide(f.Text, l.secretAt(f.path)))
		}
		return nil, l.faults.sort(l.file.Paths)
	}
	file := l.file // the files' texts and trees are let go
	return &file, nil
}

// loader is one Load under way.
type loader struct {
	file    File
	root    *node
	places  map[string]*node // root and all below it, by path
	excused map[string]bool  // paths that Check need not complain about: see decoder
	faulty  map[string]bool  // paths with a fault already
	faults  Faults
	secrets secrets

	wantFiles bool    // look for the files that the configuration names
	reads     bool    // and is who is going to read them
	notes     []Fault // what that could not tell
	gatewayID string  // for bridges; "": as the configuration has it
}

// report adds a fault of the value n.
func (l *loader) report(n *node, path, format string, args ...any) {
	from, to := n.at.value, n.at.valueEnd
	if n.table != nil || from == to || l.isUnknown(path) {
		from, to = n.at.key, n.at.keyEnd
	}
	l.faulty[path] = true
	l.faults = append(l.faults, n.from.fault(from, to, path, format, args...))
}

// isUnknown says whether path is no key of ours: then the key itself is at fault,
// not its value.
func (l *loader) isUnknown(path string) bool {
	t := reflect.TypeFor[File]()
	for _, name := range strings.Split(displayKey(path), ".") {
		for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return false
		}
		name, _, _ = strings.Cut(name, "[")
		known := false
		for _, f := range fieldsOf(t) {
			if f.name == name {
				t, known = f.typ, true
				break
			}
		}
		if !known {
			return true
		}
	}
	return false
}

func (l *loader) decode() {
	l.root.walk("", l.keepSecret)
	l.root.expand("", l.report)
	l.applyProfiles()
	l.places = map[string]*node{}
	l.root.walk("", func(path string, n *node) {
		l.places[path] = n
		l.keepSecret(path, n)
	})
	d := decoder{report: l.report, excused: l.excused}
	d.decode(reflect.ValueOf(&l.file).Elem(), l.root, "")
}

// keepSecret notes what no fault may print.
func (l *loader) keepSecret(path string, n *node) {
	if text, ok := n.value.(string); ok && text != "" && isSecret(lastName(path)) {
		l.secrets = append(l.secrets, text)
	}
}

// secretAt gives the secret at path; "" when there is none.
func (l *loader) secretAt(path string) string {
	n := l.places[path]
	if n == nil || n.value == nil || !isSecret(lastName(path)) {
		return ""
	}
	return fmt.Sprint(n.value)
}

// part is what every part's Config can do.
type part interface {
	SetDefaults()
	Check(fault func(key, format string, args ...any))
}

// check fills the defaults and collects what the parts find, and what is wrong
// between them.
func (l *loader) check() {
	f := &l.file
	l.checkPart(&f.Gateway, "gateway")
	l.checkPart(&f.Broker, "broker")
	l.checkPart(&f.Store, "store")
	f.Web.HistoryDir = filepath.Join(f.Gateway.DataDir, "history")
	l.checkPart(&f.Web, "web")
	l.checkPart(&f.HomeAssistant, "homeassistant")
	for i := range f.Modbus {
		l.checkPart(&f.Modbus[i], joinIndex("modbus", i))
	}
	for i := range f.Serial {
		l.checkPart(&f.Serial[i], joinIndex("serial", i))
	}
	for i := range f.Derived {
		l.checkPart(&f.Derived[i], joinIndex("derived", i))
	}
	for i := range f.Rule {
		l.checkPart(&f.Rule[i], joinIndex("rule", i))
	}
	for i := range f.Bridge {
		f.Bridge[i].GatewayID = cmp.Or(l.gatewayID, f.Gateway.ID)
		l.checkPart(&f.Bridge[i], joinIndex("bridge", i))
	}
	f.Broker.Classes = f.Store.Class
	l.checkBetween()
	if l.wantFiles {
		l.checkFiles()
		l.checkWise()
	}
}

func (l *loader) checkPart(p part, table string) {
	p.SetDefaults()
	p.Check(func(key, format string, args ...any) {
		path := table
		if key != "" {
			path += "." + key
		}
		l.add(path, format, args...)
	})
}

// add reports a fault of the key at path. A key that is not in the files is
// reported at the table that should have it.
func (l *loader) add(path, format string, args ...any) {
	if l.excused[path] {
		return
	}
	if n := l.places[path]; n != nil {
		l.report(n, path, format, args...)
		l.faults[len(l.faults)-1].pointAt(n, args)
		return
	}
	l.faulty[path] = true
	n := l.nearest(path)
	if n == l.root {
		l.faults = append(l.faults, Fault{File: l.file.Paths[0], Key: displayKey(path), Text: fmt.Sprintf(format, args...), path: path})
		return
	}
	l.faults = append(l.faults, n.from.fault(n.at.key, n.at.keyEnd, path, format, args...))
}

// Summary says in one line what the configuration holds, such as
// "1 listener, 2 modbus links with 5 devices and 40 points, 1 bridge".
func (f *File) Summary() string {
	var said []string
	say := func(n int, what string) {
		if n > 0 {
			said = append(said, count(n, what))
		}
	}
	say(len(f.Broker.Listener), "listener")
	if n := len(f.Modbus); n > 0 {
		devices, points := 0, 0
		for _, m := range f.Modbus {
			devices += len(m.Device)
			for _, d := range m.Device {
				points += len(d.Point)
			}
		}
		said = append(said, count(n, "modbus link")+" with "+count(devices, "device")+" and "+count(points, "point"))
	}
	say(len(f.Serial), "serial line")
	say(len(f.Derived), "derived device")
	say(len(f.Rule), "rule")
	say(len(f.Bridge), "bridge")
	say(len(f.Web.User), "page user")
	if len(said) == 0 {
		return "nothing but defaults: no listener, no device, no bridge"
	}
	return strings.Join(said, ", ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
