package brokertest

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// setConfig sets a key of a table: cfg points to its struct. user=NAME:PASSWORD
// adds a user.
func setConfig(cfg any, key, value string) error {
	at, ok := fieldOf(reflect.ValueOf(cfg).Elem(), key)
	switch {
	case !ok:
		return errors.New("there is no such key")
	case key == "user":
		name, password, ok := strings.Cut(value, ":")
		if !ok {
			return errors.New("want NAME:PASSWORD")
		}
		user := reflect.New(at.Type().Elem()).Elem()
		user.FieldByName("Name").SetString(name)
		user.FieldByName("Password").SetString(password)
		at.Set(reflect.Append(at, user))
		return nil
	}
	return setValue(at, value)
}

// fieldOf finds a key's field, in the struct itself or in one that it embeds.
func fieldOf(table reflect.Value, key string) (reflect.Value, bool) {
	for i := range table.NumField() {
		f := table.Type().Field(i)
		if tag, _, _ := strings.Cut(f.Tag.Get("toml"), ","); tag == key {
			return table.Field(i), true
		}
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			if at, ok := fieldOf(table.Field(i), key); ok {
				return at, true
			}
		}
	}
	return reflect.Value{}, false
}

func setValue(at reflect.Value, value string) error {
	switch p := at.Addr().Interface().(type) {
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(value))
	case *time.Duration:
		v, err := time.ParseDuration(value)
		*p = v
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
		v, err := strconv.ParseInt(value, 10, at.Type().Bits())
		if err != nil {
			return err
		}
		at.SetInt(v)
	case reflect.Uint, reflect.Uint64, reflect.Uint32, reflect.Uint16, reflect.Uint8:
		v, err := strconv.ParseUint(value, 10, at.Type().Bits())
		if err != nil {
			return err
		}
		at.SetUint(v)
	default:
		return fmt.Errorf("a script cannot set a %v", at.Type())
	}
	return nil
}
