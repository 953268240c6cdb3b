package config

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"unicode/utf8"

	"headgate/adapters/derived"
	"headgate/adapters/modbus"
	"headgate/adapters/serial"
	"headgate/gateway/point"
)

// checkDerived finds what is wrong with expressions, which need points of others. A
// device that is itself at fault may have any point.
func (l *loader) checkDerived() {
	if len(l.file.Derived) == 0 {
		return
	}
	devices, ok := l.devices()
	if !ok {
		return
	}
	derived.Check(l.file.Derived, devices, func(table int, key, format string, args ...any) {
		path := joinIndex("derived", table) + "." + key
		if !l.faulty[path] {
			l.add(path, format, args...)
		}
	})
}

// devices gives the devices of the links; ok is false where a link is at fault, so that
// its points are not known.
func (l *loader) devices() (devices []point.Device, ok bool) {
	for path := range l.faulty {
		if strings.HasPrefix(path, "modbus") || strings.HasPrefix(path, "serial") {
			return nil, false
		}
	}
	quiet := slog.New(slog.DiscardHandler)
	for i := range l.file.Modbus {
		a, err := modbus.New(l.file.Modbus[i], quiet)
		if err != nil {
			return nil, false
		}
		devices = append(devices, a.Devices()...)
	}
	for i := range l.file.Serial {
		a, err := serial.New(l.file.Serial[i], quiet)
		if err != nil {
			return nil, false
		}
		devices = append(devices, a.Devices()...)
	}
	return devices, true
}

// pointAt moves a fault to the place in a text that an error among args names by a
// method Offset, if that text stands in the file as it is.
func (f *Fault) pointAt(n *node, args []any) {
	value, isText := n.value.(string)
	if !isText || n.expanded || f.Column == 0 {
		return
	}
	for _, arg := range args {
		err, isError := arg.(error)
		var placed interface{ Offset() int }
		if !isError || !errors.As(err, &placed) {
			continue
		}
		raw := n.from.text[n.at.value:max(n.at.value, min(n.at.valueEnd, len(n.from.text)))]
		start := strings.Index(raw, value)
		offset := placed.Offset()
		if start < 0 || value == "" || offset < 0 || offset > len(value) {
			return
		}
		at := n.at.value + start + offset
		width := 1
		if offset < len(value) {
			rest := value[offset:]
			if end := strings.IndexAny(rest, " +-*/()<>=!?:,.[]"); end > 0 {
				width = utf8.RuneCountInString(rest[:end])
			}
		}
		text := strings.TrimSuffix(f.Text, fmt.Sprintf(" (at character %d)", offset+1))
		there := n.from.fault(at, at+1, f.path, "%s", text)
		there.Width = width
		*f = there
		return
	}
}
