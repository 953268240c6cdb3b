package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"headgate/packaging/profiles"
)

// A profile is a TOML file with the keys of a [[modbus.device]], its points
// among them, and a [profile] table about itself: its title, and its version, a
// number or a text, which is another one whenever its points are others. A device that names one has
// its keys and points as if they stood in its own table, where what does stand
// there goes before: key by key, and point by point by their names.

// defaultProfileDir is that of gateway.Config, which is not there yet when the
// profiles are read.
const defaultProfileDir = "/etc/headgate/profiles"

// profileSet reads profiles, each once.
type profileSet struct {
	dir  string
	read map[string]*node
}

// applyProfiles puts the profiles' keys into the devices that name them.
func (l *loader) applyProfiles() {
	set := profileSet{dir: defaultProfileDir, read: map[string]*node{}}
	if g := l.root.table["gateway"]; g != nil && g.table != nil && g.table["profile_dir"] != nil {
		if dir, ok := g.table["profile_dir"].value.(string); ok && dir != "" {
			set.dir = dir
		}
	}
	for i, link := range l.root.tables("modbus") {
		for j, device := range link.tables("device") {
			path := joinIndex(joinIndex("modbus", i)+".device", j)
			named := device.table["profile"]
			if named == nil {
				continue
			}
			name, ok := named.value.(string)
			if !ok { // the decoder says so
				l.excused[joinKey(path, "point")] = true
				continue
			}
			profile, faults := set.get(name)
			if len(faults) == 1 && faults[0].File == "" {
				l.report(named, joinKey(path, "profile"), "%s", faults[0].Text)
				l.excused[joinKey(path, "point")] = true
			} else if len(faults) > 0 {
				l.faults = append(l.faults, faults...)
				l.excused[joinKey(path, "point")] = true
			} else {
				l.join(device, profile, path)
			}
		}
	}
}

// tables gives the tables of an array of tables; none where there is another
// thing, which the decoder reports.
func (n *node) tables(key string) []*node {
	if list := n.table[key]; list != nil && list.isTables() {
		return list.items
	}
	return nil
}

// join puts the profile's keys into the device.
func (l *loader) join(device, profile *node, path string) {
	own := map[string]*node{}
	for _, p := range device.tables("point") {
		if name := p.table["name"]; name != nil {
			if text, ok := name.value.(string); ok && own[text] == nil {
				own[text] = p
			}
		}
	}
	wanted, all := l.wantedPoints(device, profile, path)
	var points []*node
	for _, p := range profile.tables("point") {
		name := p.pointName()
		if !all && !slices.Contains(wanted, name) && own[name] == nil {
			continue
		}
		joined := &node{from: p.from, at: p.at, table: maps.Clone(p.table)}
		if mine := own[name]; mine != nil {
			joined.from, joined.at = mine.from, mine.at
			maps.Copy(joined.table, mine.table)
		}
		points = append(points, joined)
	}
	for _, p := range device.tables("point") {
		if name := p.pointName(); own[name] != p || !slices.ContainsFunc(profile.tables("point"), func(q *node) bool { return q.pointName() == name }) {
			points = append(points, p)
		}
	}
	if base := device.table["address_base"]; base != nil {
		l.report(base, joinKey(path, "address_base"), "the profile says how its registers are counted, and those of added points are counted so too")
	}
	for key, value := range profile.table {
		if device.table[key] == nil && key != "profile" {
			device.table[key] = value
		}
	}
	if list := device.table["point"]; list != nil && list.isTables() {
		device.table["point"] = &node{from: list.from, at: list.at, list: true, items: points}
	}
}

// wantedPoints gives the points that profile_points names; all is true where it
// is not there, or is at fault.
func (l *loader) wantedPoints(device, profile *node, path string) (wanted []string, all bool) {
	list := device.table["profile_points"]
	if list == nil || !list.list {
		return nil, true
	}
	var known []string
	for _, p := range profile.tables("point") {
		known = append(known, p.pointName())
	}
	for i, item := range list.items {
		name, ok := item.value.(string)
		switch {
		case !ok:
		case slices.Contains(known, name):
			wanted = append(wanted, name)
		default:
			near := nearest(name, known)
			if near != "" {
				near = "; did you mean " + near + "?"
			}
			l.report(item, joinIndex(joinKey(path, "profile_points"), i), "%q is no point of the profile%s", name, near)
			all = true
		}
	}
	return wanted, all
}

// pointName is the name of a point's table; "" where it has none.
func (n *node) pointName() string {
	if name := n.table["name"]; name != nil {
		text, _ := name.value.(string)
		return text
	}
	return ""
}

// get gives the profile of that name: a file of the directory, or else one that
// is built in. A single fault without a file is about the name.
func (s *profileSet) get(name string) (*node, Faults) {
	if profile := s.read[name]; profile != nil {
		return profile, nil
	}
	if name == "" || strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, ".") {
		return nil, Faults{{Text: `want the name of a profile, like "eastron-sdm630"`}}
	}
	path := filepath.Join(s.dir, name+".toml")
	src, err := readSource(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, notBuiltIn := profiles.Files.ReadFile(name + ".toml")
		if notBuiltIn != nil {
			return nil, Faults{{Text: s.unknown(name)}}
		}
		path = name + ".toml (built in)"
		src, err = newSource(path, string(text)), nil
	}
	if err != nil {
		return nil, Faults{unreadable(path, err)}
	}
	profile, faults := src.parse()
	if len(faults) > 0 {
		return nil, faults
	}
	for _, key := range []string{"name", "profile_points"} {
		if n := profile.table[key]; n != nil {
			return nil, Faults{src.fault(n.at.key, n.at.keyEnd, key, "a profile has none: it stands in the device that names the profile")}
		}
	}
	if fault := src.badVersion(profile); fault != nil {
		return nil, fault
	}
	if p := profile.table["point"]; p == nil || !p.isTables() {
		return nil, Faults{{File: path, Text: "has no [[point]]: a profile is a list of points"}}
	}
	s.read[name] = profile
	return profile, nil
}

// badVersion says what is wrong with the version of a profile, if it has one.
func (s *source) badVersion(profile *node) Faults {
	about := profile.table["profile"]
	if about == nil || about.table["version"] == nil {
		return nil
	}
	n := about.table["version"]
	switch v := n.value.(type) {
	case int64:
		return nil
	case string:
		if v != "" {
			return nil
		}
	}
	return Faults{s.fault(n.at.key, n.at.keyEnd, "profile.version", "want a number or a text, like 2 or \"2026-11\"")}
}

// ProfileVersion gives the version in a profile's text; "" where it has none, or is
// no TOML.
func ProfileVersion(text []byte) string {
	var p struct {
		Profile struct {
			Version any `toml:"version"`
		} `toml:"profile"`
	}
	if err := toml.Unmarshal(text, &p); err != nil || p.Profile.Version == nil {
		return ""
	}
	return fmt.Sprint(p.Profile.Version)
}

// unknown says what profiles there are.
func (s *profileSet) unknown(name string) string {
	known := ProfileNames(s.dir)
	near := nearest(name, known)
	if near != "" {
		near = "; did you mean " + near + "?"
	}
	return "there is no profile " + name + ", neither in " + s.dir + " nor built in" + near + "; known are " + strings.Join(known, ", ")
}

// ProfileNames lists the profiles in dir and those that are built in.
func ProfileNames(dir string) []string {
	var names []string
	add := func(entries []fs.DirEntry) {
		for _, e := range entries {
			if name, ok := strings.CutSuffix(e.Name(), ".toml"); ok && !strings.HasPrefix(name, ".") {
				names = append(names, name)
			}
		}
	}
	if entries, err := os.ReadDir(dir); err == nil {
		add(entries)
	}
	if entries, err := profiles.Files.ReadDir("."); err == nil {
		add(entries)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
