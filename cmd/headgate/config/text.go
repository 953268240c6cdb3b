package config

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Text gives the configuration as TOML, defaults included and secrets masked: to
// be read, not to be loaded again.
func (f *File) Text() string {
	var b strings.Builder
	writeTable(&b, "", reflect.ValueOf(f).Elem())
	return strings.TrimLeft(b.String(), "\n")
}

// writeTable writes what stands in a table first, then the tables in it.
func writeTable(b *strings.Builder, path string, table reflect.Value) {
	fields := fieldsOf(table.Type())
	for _, f := range fields {
		v, ok := present(table.FieldByIndex(f.index))
		if !ok || isTable(v) || isTables(v) {
			continue
		}
		text := valueText(v)
		if isSecret(f.name) {
			text = strconv.Quote(mask)
		}
		fmt.Fprintf(b, "%s = %s\n", f.name, text)
	}
	for _, f := range fields {
		v, ok := present(table.FieldByIndex(f.index))
		name := joinKey(path, f.name)
		switch {
		case !ok:
		case isTables(v):
			for i := range v.Len() {
				fmt.Fprintf(b, "\n[[%s]]\n", name)
				writeTable(b, name, v.Index(i))
			}
		case isTable(v):
			fmt.Fprintf(b, "\n[%s]\n", name)
			writeTable(b, name, v)
		}
	}
}

// present gives what a pointer points to; ok is false for what was not given and
// has no default.
func present(v reflect.Value) (_ reflect.Value, ok bool) {
	if v.Kind() == reflect.Pointer {
		return v.Elem(), !v.IsNil()
	}
	return v, !v.IsZero() || v.Kind() == reflect.Bool
}

func isTable(v reflect.Value) bool {
	return v.Kind() == reflect.Struct && len(fieldsOf(v.Type())) > 0
}

func isTables(v reflect.Value) bool {
	return v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct
}

// valueText gives one value as the file would have it.
func valueText(v reflect.Value) string {
	if t, ok := v.Interface().(encoding.TextMarshaler); ok {
		if text, err := t.MarshalText(); err == nil {
			return strconv.Quote(string(text))
		}
	}
	if d, ok := v.Interface().(time.Duration); ok {
		return strconv.Quote(d.String())
	}
	if s, ok := v.Interface().(fmt.Stringer); ok {
		return strconv.Quote(s.String())
	}
	if v.CanInt() && readsItself(v) && v.Int() == math.MaxInt32 { // a limit that is none
		return `"unlimited"`
	}
	switch v.Kind() {
	case reflect.String:
		return strconv.Quote(urlPassword.ReplaceAllString(v.String(), "${1}"+mask+"@"))
	case reflect.Slice:
		var list []string
		for i := range v.Len() {
			list = append(list, valueText(v.Index(i)))
		}
		return "[" + strings.Join(list, ", ") + "]"
	case reflect.Map:
		var list []string
		for it := v.MapRange(); it.Next(); {
			list = append(list, fmt.Sprintf("%v = %s", it.Key(), valueText(it.Value())))
		}
		return "{ " + strings.Join(list, ", ") + " }"
	}
	return fmt.Sprint(v.Interface())
}
