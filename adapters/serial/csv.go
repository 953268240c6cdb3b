package serial

import (
	"strconv"
	"strings"
	"time"

	"headgate/gateway/point"
)

// csvFormat takes values out of the columns of a line.
type csvFormat struct {
	separator byte
	columns   []int // of each field, from 0
	need      int   // columns that a message has at least
	cells     []string
}

func newCSVFormat(points []placed, separator byte) (*csvFormat, error) {
	c := &csvFormat{separator: separator}
	for _, p := range points {
		n, err := strconv.Atoi(string(p.From))
		if err != nil || n < 1 || n > defaultMaxFrame {
			return nil, p.wrong("from", "%q: want the number of the column; the first is 1", string(p.From))
		}
		c.columns = append(c.columns, n-1)
		c.need = max(c.need, n)
	}
	return c, nil
}

func (c *csvFormat) samples(dst []point.Sample, message []byte, fields []field, at time.Time) ([]point.Sample, bool) {
	c.cells = split(c.cells[:0], string(message), c.separator)
	if len(c.cells) < c.need {
		return dst, false
	}
	for i := range fields {
		dst = append(dst, fields[i].cell(c.cells[c.columns[i]], at))
	}
	return dst, true
}

// cell makes the sample of a text that is there even where it is empty.
func (f *field) cell(text string, at time.Time) point.Sample {
	if text = strings.TrimSpace(text); text == "" && f.Type != "text" {
		return f.none(at)
	}
	return f.sample(text, at)
}

// split appends the columns of a line. One in double quotes may have separators
// in it, and two double quotes for one. [RFC 4180 2]
func split(dst []string, line string, separator byte) []string {
	for {
		rest := strings.TrimLeft(line, " ")
		if !strings.HasPrefix(rest, `"`) || separator == '"' {
			cell, after, more := strings.Cut(line, string(separator))
			dst = append(dst, cell)
			if !more {
				return dst
			}
			line = after
			continue
		}
		var cell strings.Builder
		rest = rest[1:]
		for {
			text, after, closed := strings.Cut(rest, `"`)
			cell.WriteString(text)
			rest = after
			if !closed || !strings.HasPrefix(rest, `"`) {
				break
			}
			cell.WriteByte('"')
			rest = rest[1:]
		}
		dst = append(dst, cell.String())
		_, after, more := strings.Cut(rest, string(separator))
		if !more {
			return dst
		}
		line = after
	}
}
