package config

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

const sampleWidth = 100 // characters of a comment's line

// schemaPath is where the Debian package has the JSON Schema for editors.
const schemaPath = "file:///usr/share/headgate/headgate.schema.json"

// WriteDefault writes the configuration that the package comes with: a broker for
// this machine alone, and all else as comments, from which only the # has to go.
func WriteDefault(w io.Writer) {
	fmt.Fprintf(w, `#:schema %s
# The configuration of headgate. It starts as it is: a broker for this machine
# alone, no device, a page at http://127.0.0.1:8080.
#
#     headgate check                           finds mistakes before they run
#     systemctl reload headgate                puts changes into force
#     headgate config explain KEY              says more of a key
#
# A line that begins with # and a key shows the default, or where there is none
# what kind of value belongs there. Times are texts like "500ms" or "1h30m", sizes
# "64MB"; ${NAME} in a text is the environment's. Files in conf.d beside this one
# are read too: tables are joined, lists of tables ([[...]]) continued.

`, schemaPath)
	keys := Reference()
	for _, k := range keys {
		if k.Table && k.Parent() == "" {
			sampleTable(w, keys, k, k.List)
		}
	}
}

// WriteSample writes one table with all its keys as comments, to put into a file.
// The error is that there is no such table.
func WriteSample(w io.Writer, table string) error {
	keys := Reference()
	k, err := find(keys, table)
	if err == nil && !k.Table {
		err = fmt.Errorf("%s is a key, not a table: headgate config explain %[1]s", table)
	}
	if err != nil {
		return err
	}
	sampleTable(w, keys, k, false)
	return nil
}

// sampleTable writes a table and all in it; what is dead is a comment altogether.
func sampleTable(w io.Writer, keys []Key, table Key, dead bool) {
	active := table.Path == "broker.listener" // all that the default has
	dead = dead && !active
	lead := ""
	if dead {
		lead = "#"
	}
	indent := strings.Repeat("  ", strings.Count(table.Path, "."))
	sampleComment(w, indent, firstSentence(table.Doc))
	fmt.Fprintf(w, "%s%s%s\n", indent, lead, table.Header())
	sampleKeys(w, keys, table, indent, active)
	fmt.Fprintln(w)
	for _, k := range keys {
		if k.Table && k.List && strings.HasPrefix(k.Path, table.Path+".") && nearestList(keys, k.Parent()) == table.Path {
			sampleTable(w, keys, k, true)
		}
	}
}

// sampleKeys writes a table's keys; those of a table in it with a dot, which can
// stand beside them.
func sampleKeys(w io.Writer, keys []Key, table Key, indent string, active bool) {
	said := ""
	for _, k := range keys {
		name, in := strings.CutPrefix(k.Path, table.Path+".")
		if !in || k.Table || nearestList(keys, k.Parent()) != table.Path && k.Parent() != table.Path {
			continue
		}
		if text := firstSentence(k.Doc); text != said { // one comment may be that of several
			sampleComment(w, indent, text)
			said = text
		}
		if active && k.Path == "broker.listener.url" {
			fmt.Fprintf(w, "%surl = \"mqtt://127.0.0.1:1883\"\n", indent)
			continue
		}
		fmt.Fprintf(w, "%s#%s = %s\n", indent, name, k.example())
	}
}

// nearestList gives the table around path that has a header of its own: a list, or
// one at the top.
func nearestList(keys []Key, path string) string {
	for strings.Contains(path, ".") {
		if i := slices.IndexFunc(keys, func(k Key) bool { return k.Path == path }); i >= 0 && keys[i].List {
			return path
		}
		path = parentPath(path)
	}
	return path
}

// example is a value of the kind, where there is no default.
func (k Key) example() string {
	switch {
	case k.Default != "":
		return k.Default
	case strings.HasPrefix(k.Kind, "list"):
		return "[]"
	case strings.HasPrefix(k.Kind, "table"):
		return "{}"
	case k.Kind == "true or false":
		return "false"
	case k.Kind == "number", k.Kind == "whole number", k.Kind == "value":
		return "0"
	case k.Kind == "time":
		return `"0s"`
	}
	return `""`
}

func sampleComment(w io.Writer, indent, text string) {
	for _, line := range wrap(text, sampleWidth-len(indent)) {
		fmt.Fprintf(w, "%s# %s\n", indent, line)
	}
}

// wrap breaks a text into lines of at most so many characters.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// firstSentence gives the text up to its first full stop or colon before an empty
// line.
func firstSentence(text string) string {
	text, _, _ = strings.Cut(text, "\n\n")
	text = strings.Join(strings.Fields(text), " ")
	for i := range len(text) {
		if text[i] == '.' && (i+1 == len(text) || i+2 < len(text) && text[i+1] == ' ' && text[i+2] >= 'A' && text[i+2] <= 'Z') {
			return text[:i+1]
		}
	}
	return text
}

// Explain says all about one key or table: its kind, its default, what it means;
// of a table also what may stand in it. A last name alone will do where there is
// one key of it only.
func Explain(w io.Writer, name string) error {
	keys := Reference()
	k, err := find(keys, name)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: %s", k.Path, k.Kind)
	if k.Table {
		fmt.Fprintf(w, ", written %s", k.Header())
	}
	if k.Default != "" {
		fmt.Fprintf(w, ", by default %s", k.Default)
	}
	fmt.Fprintln(w)
	if k.Doc != "" {
		fmt.Fprintf(w, "\n%s\n", k.Doc)
	}
	if !k.Table {
		return nil
	}
	fmt.Fprintln(w)
	for _, in := range keys {
		if in.Parent() == k.Path {
			fmt.Fprintf(w, "  %-24s %s\n", in.Name(), firstSentence(in.Doc))
		}
	}
	return nil
}

// find looks for a key by its path, or by the end of it.
func find(keys []Key, name string) (Key, error) {
	name = strings.Trim(name, "[] ")
	var ends []Key
	var known, paths []string
	for _, k := range keys {
		if k.Path == name {
			return k, nil
		}
		if strings.HasSuffix(k.Path, "."+name) {
			ends = append(ends, k)
			paths = append(paths, k.Path)
		}
		known = append(known, k.Path, k.Name())
	}
	switch len(ends) {
	case 1:
		return ends[0], nil
	case 0:
		if near := cmp.Or(nearest(name, known), nearest(Key{Path: name}.Name(), known)); near != "" {
			return Key{}, fmt.Errorf("there is no key %s; did you mean %s?", name, near)
		}
		return Key{}, fmt.Errorf("there is no key %s: headgate config list has all", name)
	}
	return Key{}, fmt.Errorf("there are several of that name: %s", strings.Join(paths, ", "))
}
