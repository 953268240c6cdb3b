package point

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// MaxNameBytes bounds a device's or a point's name, so that no topic that they
// make comes near the 65,535 bytes that MQTT allows. [MQTT-4.7.3-3]
const MaxNameBytes = 255

// CheckDeviceName says what keeps s from being a device's name, which is one
// level of its topics. The error continues a sentence: "has a '/' in it".
func CheckDeviceName(s string) error {
	switch {
	case s == "":
		return errors.New("is empty")
	case len(s) > MaxNameBytes:
		return fmt.Errorf("is longer than %d bytes", MaxNameBytes)
	case !utf8.ValidString(s):
		return errors.New("is not UTF-8")
	case s[0] == '$':
		// What begins with $ is the broker's own. [MQTT-4.7.2-1]
		return errors.New("begins with '$'")
	}
	for _, r := range s {
		switch {
		case r == '/' || r == '+' || r == '#':
			return fmt.Errorf("has a %q in it", r)
		case r < ' ' || r >= 0x7f && r <= 0x9f:
			return errors.New("has a control character in it")
		}
	}
	return nil
}

// CheckPointName is CheckDeviceName for a point's name, which must not be one
// of the levels that mean something else in its place.
func CheckPointName(s string) error {
	if s == "status" || s == "set" {
		return errors.New("is reserved")
	}
	return CheckDeviceName(s)
}
