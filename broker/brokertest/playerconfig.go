package brokertest

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"headgate/broker"
)

// setConfig sets a key of the [broker] table; user=NAME:PASSWORD adds a user.
func setConfig(cfg *broker.Config, key, value string) error {
	if key == "user" {
		name, password, ok := strings.Cut(value, ":")
		if !ok {
			return fmt.Errorf("want NAME:PASSWORD")
		}
		cfg.User = append(cfg.User, broker.UserConfig{Name: name, Password: password})
		return nil
	}
	at := reflect.ValueOf(cfg).Elem()
	for part := range strings.SplitSeq(key, ".") {
		next := reflect.Value{}
		for i := range at.NumField() {
			if tag, _, _ := strings.Cut(at.Type().Field(i).Tag.Get("toml"), ","); tag == part {
				next = at.Field(i)
			}
		}
		if !next.IsValid() {
			return fmt.Errorf("there is no such key")
		}
		at = next
	}
	return setValue(at, value)
}

func setValue(at reflect.Value, value string) error {
	if u, ok := at.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(value))
	}
	if d, ok := at.Addr().Interface().(*time.Duration); ok {
		v, err := time.ParseDuration(value)
		*d = v
		return err
	}
	switch at.Kind() {
	case reflect.String:
		at.SetString(value)
	case reflect.Bool:
		v, err := strconv.ParseBool(value)
		if err != nil {
			return err
		}
		at.SetBool(v)
	case reflect.Int, reflect.Int64, reflect.Int32:
		v, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return err
		}
		at.SetInt(v)
	case reflect.Uint, reflect.Uint64, reflect.Uint32, reflect.Uint16, reflect.Uint8:
		v, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return err
		}
		at.SetUint(v)
	default:
		return fmt.Errorf("a script cannot set a %v", at.Type())
	}
	return nil
}
