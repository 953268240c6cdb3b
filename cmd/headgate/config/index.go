package config

import (
	"strconv"
	"strings"
)

// place is where a key stands in a file's text: byte offsets, the ends one past
// the last byte. A table has its header's last name as key, and the header as
// value.
type place struct {
	key, keyEnd     int
	value, valueEnd int
}

// index knows the place of every key of a TOML text by its path, such as
// modbus[0].device[1].unit. The TOML package gives no places, so the text is
// scanned a second time here; what is valid TOML is not judged.
type index struct {
	places map[string]place
	twice  []again // keys that stand there twice, in the order of the text
	deep   bool    // nested deeper than maxDepth; the rest was not scanned
}

type again struct {
	path          string
	first, second place
}

const maxDepth = 64 // arrays and inline tables within each other

// indexText scans text. It never fails: of a text that is not valid TOML it
// gives what it could make out.
func indexText(text string) index {
	s := scanner{
		text:    text,
		index:   index{places: map[string]place{}},
		arrays:  map[string]int{},
		written: map[string]bool{},
	}
	s.document()
	return s.index
}

// joinKey appends one name to a path; a name that is not a bare key is quoted.
func joinKey(path, name string) string {
	if !isBare(name) {
		name = strconv.Quote(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func joinIndex(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func isBare(name string) bool {
	for i := 0; i < len(name); i++ {
		if !isBareByte(name[i]) {
			return false
		}
	}
	return name != ""
}

func isBareByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

type scanner struct {
	index
	text    string
	at      int
	depth   int
	arrays  map[string]int  // elements so far of each array of tables
	written map[string]bool // paths that a header or a value has defined, not only passed through
}

// name is one part of a key: its text, unquoted, and where it stands.
type name struct {
	text     string
	from, to int
}

func (s *scanner) document() {
	table := ""
	for {
		s.skipBlank()
		if s.at >= len(s.text) || s.deep {
			return
		}
		before := s.at
		if s.text[s.at] == '[' {
			table = s.header()
		} else {
			s.keyValue(table)
		}
		if s.at == before {
			s.at++
		}
	}
}

// header reads [a.b] or [[a.b]] and gives the path of the table it opens.
func (s *scanner) header() string {
	from := s.at
	array := strings.HasPrefix(s.text[s.at:], "[[")
	s.at++
	if array {
		s.at++
	}
	names := s.key()
	for s.at < len(s.text) && s.text[s.at] == ']' {
		s.at++
	}
	if len(names) == 0 {
		s.skipLine()
		return ""
	}
	path := s.pass("", names[:len(names)-1])
	last := names[len(names)-1]
	path = joinKey(path, last.text)
	p := place{last.from, last.to, from, s.at}
	if array {
		n := s.arrays[path]
		s.arrays[path] = n + 1
		s.passBy(path, p)
		path = joinIndex(path, n)
	}
	s.define(path, p)
	return path
}

// keyValue reads a.b = value; the key stands in the table of that path.
func (s *scanner) keyValue(table string) {
	names := s.key()
	if len(names) == 0 {
		s.skipLine()
		return
	}
	s.skipSpace()
	if s.at >= len(s.text) || s.text[s.at] != '=' {
		s.skipLine()
		return
	}
	s.at++
	s.skipSpace()
	path := s.pass(table, names[:len(names)-1])
	last := names[len(names)-1]
	path = joinKey(path, last.text)
	from := s.at
	s.value(path)
	s.define(path, place{last.from, last.to, from, s.at})
}

// pass walks the tables that a key names before its last part, and notes the
// place of those that nothing has named before.
func (s *scanner) pass(path string, names []name) string {
	for _, n := range names {
		path = joinKey(path, n.text)
		s.passBy(path, place{n.from, n.to, n.from, n.to})
		if count := s.arrays[path]; count > 0 {
			path = joinIndex(path, count-1)
		}
	}
	return path
}

func (s *scanner) passBy(path string, p place) {
	if _, known := s.places[path]; !known {
		s.places[path] = p
	}
}

func (s *scanner) define(path string, p place) {
	if s.written[path] {
		s.twice = append(s.twice, again{path, s.places[path], p})
		return
	}
	s.written[path] = true
	s.places[path] = p
}

// key reads a dotted key.
func (s *scanner) key() []name {
	var names []name
	for {
		s.skipSpace()
		from := s.at
		if s.at >= len(s.text) {
			return names
		}
		var text string
		switch c := s.text[s.at]; {
		case c == '"':
			s.quoted('"')
			text = unescape(strings.TrimSuffix(s.text[from+1:s.at], `"`))
		case c == '\'':
			s.quoted('\'')
			text = strings.TrimSuffix(s.text[from+1:s.at], "'")
		default:
			for s.at < len(s.text) && !strings.ContainsRune(" \t\r\n.=[]{},#\"'", rune(s.text[s.at])) {
				s.at++
			}
			if s.at == from {
				return names
			}
			text = s.text[from:s.at]
		}
		names = append(names, name{text, from, s.at})
		s.skipSpace()
		if s.at >= len(s.text) || s.text[s.at] != '.' {
			return names
		}
		s.at++
	}
}

// value reads one value, and notes the places of what is in it.
func (s *scanner) value(path string) {
	if s.at >= len(s.text) {
		return
	}
	switch c := s.text[s.at]; c {
	case '"', '\'':
		if strings.HasPrefix(s.text[s.at:], strings.Repeat(string(c), 3)) {
			s.multiline(c)
		} else {
			s.quoted(c)
		}
	case '[', '{':
		if s.depth++; s.depth > maxDepth {
			s.deep = true
			s.at = len(s.text)
			return
		}
		if c == '[' {
			s.array(path)
		} else {
			s.inlineTable(path)
		}
		s.depth--
	default:
		from := s.at
		for s.at < len(s.text) && !strings.ContainsRune(",]}#\r\n", rune(s.text[s.at])) {
			s.at++
		}
		s.at = from + len(strings.TrimRight(s.text[from:s.at], " \t"))
	}
}

func (s *scanner) array(path string) {
	s.at++
	for n := 0; ; {
		s.skipBlank()
		if s.at >= len(s.text) {
			return
		}
		before := s.at
		switch s.text[s.at] {
		case ']':
			s.at++
			return
		case ',':
			s.at++
		default:
			element := joinIndex(path, n)
			s.value(element)
			s.define(element, place{before, s.at, before, s.at})
			n++
		}
		if s.at == before {
			return
		}
	}
}

func (s *scanner) inlineTable(path string) {
	s.at++
	for {
		s.skipBlank()
		if s.at >= len(s.text) {
			return
		}
		before := s.at
		switch s.text[s.at] {
		case '}':
			s.at++
			return
		case ',':
			s.at++
		default:
			s.keyValue(path)
		}
		if s.at == before {
			return
		}
	}
}
