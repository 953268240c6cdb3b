package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Severity is how bad a Fault is.
type Severity string

// The severities; the zero one is an error's. A note is what cannot be told, or is
// only good to know.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Note    Severity = "note"
)

// Fault is one thing that is wrong with the configuration, at one place.
type Fault struct {
	Severity Severity
	File     string // as it was named to Load
	Line     int    // 1-based; 0: the fault is the file's as a whole
	Column   int    // 1-based, in characters; 0: the whole line
	Width    int    // characters from Column that the fault is about, at least 1
	Key      string // modbus.device.interval; "" for a fault of syntax
	Text     string // what is wrong, and what would be right
	Source   string // the line as it stands in the file, secrets masked; "" where there is none to show

	path string // Key with its indexes, modbus[0].device[1].interval
}

// Level is the severity by its name.
func (f Fault) Level() Severity { return cmp.Or(f.Severity, Error) }

// Error gives "FILE:LINE: KEY: TEXT", for a fault of syntax "FILE:LINE:COLUMN: TEXT".
func (f Fault) Error() string { return f.say(f.Key == "") }

// Message gives it with the column too, as editors take it, and a warning or note
// with that word before it: "warning: FILE:LINE:COLUMN: KEY: TEXT".
func (f Fault) Message() string {
	if f.Level() != Error {
		return string(f.Severity) + ": " + f.say(true)
	}
	return f.say(true)
}

func (f Fault) say(column bool) string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	if column && f.Column > 0 {
		fmt.Fprintf(&b, ":%d", f.Column)
	}
	if f.Key != "" {
		b.WriteString(": " + f.Key)
	}
	b.WriteString(": " + f.Text)
	return b.String()
}

const maxExcerpt = 120 // characters of a source line that are shown

// Excerpt gives the offending line with its number, and below it a caret line
// under what the fault is about; "" when there is no line to show. It ends
// without a newline.
func (f Fault) Excerpt() string {
	if f.Source == "" {
		return ""
	}
	line := []rune(f.Source)
	col, dots := f.Column, ""
	if len(line) > maxExcerpt {
		from := max(0, min(col-1-maxExcerpt/2, len(line)-maxExcerpt))
		if from > 0 {
			dots = "..."
			col -= from
		}
		line = line[from : from+maxExcerpt]
	}
	gutter := fmt.Sprintf("%6d | ", f.Line)
	out := gutter + dots + strings.TrimRight(string(line), " \t")
	if f.Column == 0 || col < 1 || col > len(line)+1 {
		return out
	}
	// Tabs stay tabs, so that the caret stands below its place at any tab width.
	pad := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string(line[:col-1]))
	width := max(1, min(f.Width, len(line)-col+1))
	return out + "\n" + strings.Repeat(" ", len(gutter)-2) + "| " + strings.Repeat(" ", len(dots)) + pad + strings.Repeat("^", width)
}

// Faults is all that is wrong with a configuration, in the order of the files
// and their lines. It is the error that Load returns.
type Faults []Fault

// Error gives one fault a line.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// sort orders by file (in the order they were read), line and column, and drops
// what is said twice.
func (fs Faults) sort(files []string) Faults {
	slices.SortStableFunc(fs, func(a, b Fault) int {
		if a.File != b.File {
			return slices.Index(files, a.File) - slices.Index(files, b.File)
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return slices.CompactFunc(fs, func(a, b Fault) bool { return a.Error() == b.Error() })
}

// printable replaces what would move the cursor or hide text on a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r != utf8.RuneError && unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
