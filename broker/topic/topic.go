// Package topic knows MQTT's topic names and topic filters: what is valid, what
// matches, who subscribed (Index), what is retained (Tree). It knows no session
// and no message: those are its type parameters. The broker, the bridge and the
// gateway use it.
package topic

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxBytes is the longest a name or filter can be on the wire. [MQTT-4.7.3-3]
const MaxBytes = 65535

// CheckName says what is wrong with a topic name, nil if nothing.
func CheckName(s string) error {
	if err := check(s); err != nil {
		return fmt.Errorf("topic name %w", err)
	}
	if i := strings.IndexAny(s, "+#"); i >= 0 {
		return fmt.Errorf("topic name has the wildcard %q in it", s[i]) // [MQTT-3.3.2-2]
	}
	return nil
}

// CheckFilter says what is wrong with a topic filter, nil if nothing. A shared
// subscription's filter is checked with its group. [MQTT-4.7.1-1] [MQTT-4.7.1-2]
func CheckFilter(s string) error {
	if err := check(s); err != nil {
		return fmt.Errorf("topic filter %w", err)
	}
	_, inner, _, err := SplitShared(s)
	if err != nil {
		return err
	}
	for level, rest, more := strings.Cut(inner, "/"); ; level, rest, more = strings.Cut(rest, "/") {
		switch {
		case level == "#" && more:
			return errors.New("topic filter has levels after #: it must be the last")
		case level != "#" && strings.Contains(level, "#"):
			return fmt.Errorf("topic filter has # within the level %q: it must stand alone", level)
		case level != "+" && strings.Contains(level, "+"):
			return fmt.Errorf("topic filter has + within the level %q: it must stand alone", level)
		}
		if !more {
			return nil
		}
	}
}

func check(s string) error {
	switch {
	case s == "":
		return errors.New("is empty") // [MQTT-4.7.3-1]
	case len(s) > MaxBytes:
		return fmt.Errorf("has %d bytes: at most %d are allowed", len(s), MaxBytes)
	case strings.IndexByte(s, 0) >= 0:
		return errors.New("has the character U+0000 in it") // [MQTT-4.7.3-2]
	case !utf8.ValidString(s):
		return errors.New("is not UTF-8") // [MQTT-1.5.4-1]
	}
	return nil
}

// SplitShared takes "$share/GROUP/FILTER" apart; shared is false, and inner the
// whole, for any other filter. [MQTT-4.8.2-1] [MQTT-4.8.2-2]
func SplitShared(filter string) (group, inner string, shared bool, err error) {
	rest, ok := strings.CutPrefix(filter, "$share/")
	if !ok {
		return "", filter, false, nil
	}
	group, inner, ok = strings.Cut(rest, "/")
	if !ok || group == "" || inner == "" || strings.ContainsAny(group, "+#") {
		return "", "", true, fmt.Errorf("shared topic filter %q: want $share/GROUP/FILTER, no wildcard in GROUP", filter)
	}
	return group, inner, true, nil
}

// Match says whether a valid filter matches a valid name. A wildcard does not
// match a first level that begins with $. [MQTT-4.7.2-1]
func Match(filter, name string) bool {
	if filter == "" || name == "" {
		return false
	}
	if name[0] == '$' && (filter[0] == '#' || filter[0] == '+') {
		return false
	}
	for {
		f, filterRest, filterMore := strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		n, nameRest, nameMore := strings.Cut(name, "/")
		if f != "+" && f != n {
			return false
		}
		if !nameMore {
			// "a/#" matches "a" as well. [MQTT 4.7.1.2]
			return !filterMore || filterRest == "#"
		}
		if !filterMore {
			return false
		}
		filter, name = filterRest, nameRest
	}
}
