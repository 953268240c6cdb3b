package config

import (
	"encoding"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// decoder puts the tree into the parts' structs. The TOML package's own
// decoding stops at the first value that does not fit, takes a bare 1 for a
// nanosecond and Interval for interval; here every value that does not fit is
// reported, with its place, and left out.
type decoder struct {
	report func(n *node, path, format string, args ...any)
	// excused are the paths of which enough has been said: Check need not
	// complain that they are missing.
	excused map[string]bool
}

// fault reports a value that does not fit.
func (d *decoder) fault(n *node, path, format string, args ...any) bool {
	d.excused[path] = true
	d.report(n, path, format, args...)
	return false
}

// decode sets v from n, as far as n fits; it says whether v was set.
func (d *decoder) decode(v reflect.Value, n *node, path string) bool {
	if n.table == nil && !n.list && n.value == nil {
		d.excused[path] = true // a variable that is not set, already reported
		return false
	}
	if v.Kind() == reflect.Pointer {
		fresh := reflect.New(v.Type().Elem())
		if !d.decode(fresh.Elem(), n, path) {
			return false
		}
		v.Set(fresh)
		return true
	}
	switch u := v.Addr().Interface().(type) {
	case toml.Unmarshaler:
		if err := u.UnmarshalTOML(n.plain()); err != nil {
			return d.fault(n, path, "%v", err)
		}
		return true
	case encoding.TextUnmarshaler:
		return d.text(u, n, path)
	case *time.Duration:
		return d.duration(u, n, path)
	}
	switch v.Kind() {
	case reflect.Struct:
		return d.structure(v, n, path)
	case reflect.Slice, reflect.Array:
		return d.list(v, n, path)
	case reflect.Map:
		return d.mapping(v, n, path)
	case reflect.Interface:
		v.Set(reflect.ValueOf(n.plain()))
		return true
	}
	return d.scalar(v, n, path)
}

func (d *decoder) structure(v reflect.Value, n *node, path string) bool {
	if n.table == nil {
		if n.isTables() && len(n.items) > 0 {
			return d.fault(n.items[0], path, "is one table, not a list: write [%[1]s] instead of [[%[1]s]]", displayKey(path))
		}
		return d.fault(n, path, "want a table, got %s", n.describe())
	}
	known := fieldsOf(v.Type())
	for _, key := range slices.Sorted(maps.Keys(n.table)) {
		child, path := n.table[key], joinKey(path, key)
		i := slices.IndexFunc(known, func(f field) bool { return f.name == key })
		if i < 0 {
			d.unknown(child, path, known)
			continue
		}
		d.decode(v.FieldByIndex(known[i].index), child, path)
	}
	return true
}

func (d *decoder) list(v reflect.Value, n *node, path string) bool {
	tables := v.Type().Elem().Kind() == reflect.Struct
	if !n.list {
		if n.table != nil && tables {
			return d.fault(n, path, "is a list of tables: write [[%[1]s]] instead of [%[1]s], and one before each table in it", displayKey(path))
		}
		if tables {
			return d.fault(n, path, "want a list of tables, written [[%s]], got %s", displayKey(path), n.describe())
		}
		return d.fault(n, path, "want a list, [ ... ], got %s", n.describe())
	}
	if v.Kind() == reflect.Array {
		if len(n.items) != v.Len() {
			return d.fault(n, path, "want a list of %d, got %d", v.Len(), len(n.items))
		}
	} else {
		v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	}
	fits := true
	for i, item := range n.items {
		fits = d.decode(v.Index(i), item, joinIndex(path, i)) && fits
	}
	return fits
}

func (d *decoder) mapping(v reflect.Value, n *node, path string) bool {
	if n.table == nil {
		return d.fault(n, path, "want a table, got %s", n.describe())
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, key := range slices.Sorted(maps.Keys(n.table)) {
		value := reflect.New(v.Type().Elem()).Elem()
		if d.decode(value, n.table[key], joinKey(path, key)) {
			v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), value)
		}
	}
	return true
}

// text decodes a type that reads itself from a text; a whole number is given to
// it as its digits.
func (d *decoder) text(u encoding.TextUnmarshaler, n *node, path string) bool {
	var text string
	switch value := n.value.(type) {
	case string:
		text = value
	case int64:
		text = strconv.FormatInt(value, 10)
	default:
		return d.fault(n, path, "want a text in quotes, got %s", n.describe())
	}
	if err := u.UnmarshalText([]byte(text)); err != nil {
		return d.fault(n, path, "%v", err)
	}
	return true
}

func (d *decoder) duration(v *time.Duration, n *node, path string) bool {
	const want = `want a time in quotes with its unit, like "500ms", "1s" or "1h30m"`
	text, ok := n.value.(string)
	if !ok {
		return d.fault(n, path, "%s, got %s", want, n.describe())
	}
	parsed, err := time.ParseDuration(text)
	if err != nil {
		return d.fault(n, path, "%q: %s", text, want)
	}
	*v = parsed
	return true
}

func (d *decoder) scalar(v reflect.Value, n *node, path string) bool {
	value := n.value
	if text, ok := value.(string); ok && n.expanded {
		value = readAs(v.Kind(), text)
	}
	switch k := v.Kind(); {
	case k == reflect.String:
		text, ok := value.(string)
		if !ok {
			return d.fault(n, path, "want a text in quotes, got %s", n.describe())
		}
		v.SetString(text)
	case k == reflect.Bool:
		on, ok := value.(bool)
		if !ok {
			return d.fault(n, path, "want true or false, without quotes, got %s", n.describe())
		}
		v.SetBool(on)
	case v.CanInt(), v.CanUint():
		i, ok := value.(int64)
		if !ok {
			return d.fault(n, path, "want a whole number%s, got %s", n.withoutQuotes(), n.describe())
		}
		least, most := rangeOf(v)
		if i < least || uint64(max(i, 0)) > most {
			return d.fault(n, path, "%d is not within %d to %d", i, least, most)
		}
		if v.CanInt() {
			v.SetInt(i)
		} else {
			v.SetUint(uint64(i))
		}
	case v.CanFloat():
		var f float64
		switch value := value.(type) {
		case float64:
			f = value
		case int64:
			f = float64(value)
		default:
			return d.fault(n, path, "want a number%s, got %s", n.withoutQuotes(), n.describe())
		}
		if math.IsNaN(f) || math.IsInf(f, 0) || v.OverflowFloat(f) {
			return d.fault(n, path, "%v: want a finite number", f)
		}
		v.SetFloat(f)
	default:
		return d.fault(n, path, "cannot be set from a file: its type is %s", v.Type())
	}
	return true
}

// readAs reads a text from the environment as the kind of value that the key
// wants; a text that is none stays a text.
func readAs(kind reflect.Kind, text string) any {
	switch kind {
	case reflect.String:
		return text
	case reflect.Bool:
		if text == "true" || text == "false" {
			return text == "true"
		}
	case reflect.Float32, reflect.Float64:
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return f
		}
	default:
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return i
		}
	}
	return text
}

// rangeOf gives the least and the most that an integer of v's size holds.
func rangeOf(v reflect.Value) (least int64, most uint64) {
	bits := v.Type().Bits()
	if v.CanInt() {
		return -1 << (bits - 1), 1<<(bits-1) - 1
	}
	return 0, 1<<bits - 1
}

// withoutQuotes is the hint for a number that was written as a text.
func (n *node) withoutQuotes() string {
	if text, ok := n.value.(string); ok && !n.expanded {
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			return " without quotes"
		}
	}
	return ""
}

// describe says what n is, for the end of "want ..., got".
func (n *node) describe() string {
	switch value := n.value.(type) {
	case string:
		if len(value) > 60 {
			value = value[:60] + "..."
		}
		return "the text " + strconv.Quote(value)
	case int64, float64:
		return fmt.Sprintf("the number %v", value)
	case bool:
		return strconv.FormatBool(value)
	}
	switch {
	case n.table != nil:
		return "a table"
	case n.list:
		return "a list"
	}
	return "a date or time"
}

// field is one key that a table may have.
type field struct {
	name  string
	index []int
	typ   reflect.Type
}

// fieldsOf gives the keys of a struct's table in the order of its fields. A
// field without a toml tag is not a key; an embedded struct without one adds
// its keys to those around it.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case name == "" && f.Anonymous && f.Type.Kind() == reflect.Struct:
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				fields = append(fields, inner)
			}
		case name != "":
			fields = append(fields, field{name, []int{i}, f.Type})
		}
	}
	return fields
}
