package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// maxFileBytes bounds one file: some 40,000 points written out.
const maxFileBytes = 4 << 20

// source is one file's text and where its keys stand.
type source struct {
	path   string
	text   string
	lines  []int // the offset at which each line starts
	index  index
	hidden map[int]bool // lines that continue the value of a secret key
}

func newSource(path, text string) *source {
	for _, bom := range []string{"\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"} {
		if rest, ok := strings.CutPrefix(text, bom); ok {
			text = rest
			break
		}
	}
	s := &source{path: path, text: text, lines: []int{0}, index: indexText(text), hidden: map[int]bool{}}
	for i := range len(text) {
		if text[i] == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	for key, p := range s.index.places {
		if isSecret(lastName(key)) {
			for line := s.line(p.value) + 1; line <= s.line(max(p.value, p.valueEnd-1)); line++ {
				s.hidden[line] = true
			}
		}
	}
	return s
}

// line gives the 1-based line of an offset.
func (s *source) line(offset int) int {
	i, found := slices.BinarySearch(s.lines, offset)
	if found {
		return i + 1
	}
	return i
}

// fault makes a fault of the bytes from..to, which are marked in its line as
// far as they stand there.
func (s *source) fault(from, to int, key, format string, args ...any) Fault {
	from = min(from, len(s.text))
	line := s.line(from)
	start, end := s.lines[line-1], len(s.text)
	if line < len(s.lines) {
		end = s.lines[line] - 1
	}
	f := Fault{
		File: s.path, Line: line,
		Column: utf8.RuneCountInString(s.text[start:from]) + 1,
		Width:  1,
		Key:    displayKey(key), Text: fmt.Sprintf(format, args...),
		path: key,
	}
	if to = min(to, end); to > from {
		f.Width = utf8.RuneCountInString(s.text[from:to])
	}
	if s.hidden[line] {
		return f
	}
	text := strings.TrimRight(s.text[start:end], "\r")
	f.Source = maskLine(text)
	if f.Source != text {
		f.Column = caretAfterMask(text, f.Source, f.Column)
	}
	f.Source = printable(f.Source)
	return f
}

// caretAfterMask gives the column again when what was masked stands behind it,
// 0 when the masking may have moved it.
func caretAfterMask(text, masked string, column int) int {
	a, b := []rune(text), []rune(masked)
	if column <= len(a) && column <= len(b) && string(a[:column]) == string(b[:column]) {
		return column
	}
	return 0
}

// readSource reads one file.
func readSource(path string) (*source, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("is larger than %d MB: no configuration of ours is", maxFileBytes>>20)
	}
	return newSource(path, string(text)), nil
}

// unreadable is the fault of a file or directory that cannot be read.
func unreadable(path string, err error) Fault {
	text := err.Error()
	var pathErr *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		text = "there is no such file"
	case errors.Is(err, fs.ErrPermission):
		text = "may not be read by this user: run as the user headgate, or let it be read with chmod"
	case errors.As(err, &pathErr):
		text = "cannot be read: " + pathErr.Err.Error()
	}
	return Fault{File: path, Text: text}
}

// readAll reads the file at path and the .toml files in conf.d beside it, these
// in the order of their names. Hidden files are not ours: editors leave them.
func readAll(path string) ([]*source, Faults) {
	var sources []*source
	var faults Faults
	read := func(path string) {
		s, err := readSource(path)
		if err != nil {
			faults = append(faults, unreadable(path, err))
			return
		}
		sources = append(sources, s)
	}
	if read(path); len(faults) > 0 {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			faults[0].Text += ": name yours (" + example(path) + "), or have headgate init make one"
		}
		return nil, faults
	}
	dir := filepath.Join(filepath.Dir(path), "conf.d")
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		faults = append(faults, unreadable(dir, err))
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".toml") && !strings.HasPrefix(e.Name(), ".") {
			read(filepath.Join(dir, e.Name()))
		}
	}
	return sources, faults
}

// example says how a command is told its configuration: with the file that whoever
// followed the README has in this directory, if it is there.
func example(path string) string {
	const here = "headgate.toml"
	if info, err := os.Stat(here); err == nil && info.Mode().IsRegular() && filepath.Clean(path) != here {
		return "there is a " + here + " in this directory: --config " + here
	}
	return "--config FILE"
}

// parse gives the file's tables as a tree, or its fault of syntax.
func (s *source) parse() (*node, Faults) {
	if s.index.deep {
		return nil, Faults{{File: s.path, Text: fmt.Sprintf("arrays or tables are nested more than %d deep", maxDepth)}}
	}
	var tables map[string]any
	if _, err := toml.Decode(s.text, &tables); err != nil {
		return nil, Faults{s.syntaxFault(err)}
	}
	return s.tree(tables, ""), nil
}

func (s *source) syntaxFault(err error) Fault {
	var parse toml.ParseError
	if !errors.As(err, &parse) {
		return Fault{File: s.path, Text: strings.TrimPrefix(err.Error(), "toml: ")}
	}
	from := min(max(parse.Position.Start, 0), len(s.text))
	text := parse.Message
	if strings.Contains(text, "already") {
		if f, ok := s.twiceFault(from); ok {
			return f
		}
	}
	// Where a line ends too early, the place given is the newline or beyond.
	for from > 0 && from == len(s.text) && s.text[from-1] == '\n' {
		from--
	}
	f := s.fault(from, from+max(1, parse.Position.Len), "", "%s", text)
	if f.Source == "" || strings.Contains(f.Source, mask) {
		f.Text = quoted.ReplaceAllString(f.Text, mask)
	}
	return f
}

// twiceFault is the fault of a key that stands in the file twice, the second
// time on the line of offset at.
func (s *source) twiceFault(at int) (f Fault, ok bool) {
	best := ""
	for _, t := range s.index.twice {
		if s.line(t.second.key) == s.line(at) && (best == "" || len(t.path) < len(best)) {
			best = t.path
			f = s.fault(t.second.key, t.second.keyEnd, t.path, "stands here a second time: first on line %d", s.line(t.first.key))
			ok = true
		}
	}
	return f, ok
}
