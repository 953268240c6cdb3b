package config

import (
	_ "embed"
	"encoding"
	"fmt"
	"math"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

//go:generate go run ./gendoc docs.txt ../../.. gateway gateway/format gateway/homeassistant gateway/web broker broker/auth broker/listen broker/store bridge adapters/datatype adapters/modbus adapters/serial adapters/derived gateway/rule gateway/point cmd/headgate/config

// docs has the comments of the parts' Config structs.
//
//go:embed docs.txt
var docs string

// defaultSaid finds what a comment says about the default.
var defaultSaid = regexp.MustCompile(`Default:? ("[^"]*"|true|false|[0-9][0-9A-Za-z]*)`)

// Key is one key that the configuration may have, or one table.
type Key struct {
	Path    string // "modbus.device.interval"
	Kind    string // what its value is: "text", "time", "list of texts", "table" ...
	Default string // as it would stand in the file; "" where there is none
	Doc     string // what it means; paragraphs are apart by an empty line
	Table   bool   // it has keys of its own
	List    bool   // of a table: it is written [[path]], once for each
}

// Name is the last name of the path.
func (k Key) Name() string { return k.Path[strings.LastIndexByte(k.Path, '.')+1:] }

// Parent is the table that it stands in; "" for the top of the file.
func (k Key) Parent() string { return parentPath(k.Path) }

// Header is how its table begins in a file: [store] or [[store.class]].
func (k Key) Header() string {
	if k.List {
		return "[[" + k.Path + "]]"
	}
	return "[" + k.Path + "]"
}

// Reference gives all keys, each table before its keys and, in it, plain keys
// before tables. It is made of the parts' structs, their comments and defaults, so
// that it cannot say anything else than what is.
func Reference() []Key {
	file := reflect.New(reflect.TypeFor[File]()).Elem()
	withOneOfEach(file)
	f := file.Addr().Interface().(*File)
	for _, p := range []part{&f.Gateway, &f.Broker, &f.Store, &f.Web, &f.Modbus[0], &f.Serial[0], &f.Derived[0], &f.Rule[0], &f.Bridge[0]} {
		p.SetDefaults()
	}
	r := reference{docs: parseDocs(docs)}
	r.host, _ = os.Hostname()
	r.table(file, "")
	return r.keys
}

// withOneOfEach gives each list of tables in v one element, so that it has
// defaults.
func withOneOfEach(v reflect.Value) {
	for i := range v.NumField() {
		f, t := v.Field(i), v.Type().Field(i)
		if name, _, _ := strings.Cut(t.Tag.Get("toml"), ","); name == "-" || name == "" && !t.Anonymous || readsItself(f) {
			continue
		}
		if f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct && !readsItself(reflect.New(f.Type().Elem()).Elem()) {
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
			f = f.Index(0)
		}
		if f.Kind() == reflect.Struct {
			withOneOfEach(f)
		}
	}
}

// readsItself says whether a value decodes itself, so that what is in it is no
// table of ours.
func readsItself(v reflect.Value) bool {
	if !v.CanAddr() || !v.Addr().CanInterface() {
		return false
	}
	switch v.Addr().Interface().(type) {
	case toml.Unmarshaler, encoding.TextUnmarshaler:
		return true
	}
	return false
}

// reference is one Reference under way.
type reference struct {
	docs map[string]string // by package.Type.Field
	host string            // this machine's name is nobody's default
	keys []Key
}

func (r *reference) table(v reflect.Value, path string) {
	type inner struct {
		key   Key
		value reflect.Value
	}
	var tables []inner
	var fields func(v reflect.Value)
	fields = func(v reflect.Value) {
		for i := range v.NumField() {
			f, t := v.Field(i), v.Type().Field(i)
			name, _, _ := strings.Cut(t.Tag.Get("toml"), ",")
			switch {
			case name == "-" || !t.IsExported():
			case name == "" && t.Anonymous && t.Type.Kind() == reflect.Struct:
				fields(f)
			case name != "":
				k := Key{Path: joinKey(path, name), Doc: r.doc(v.Type(), t.Name, name)}
				if e, list := elementOf(f); e.IsValid() {
					k.Table, k.List, k.Kind = true, list, "table"
					if list {
						k.Kind = "list of tables"
					}
					tables = append(tables, inner{k, e})
					continue
				}
				k.Kind, k.Default = kindOf(f), defaultOf(f)
				if f.Kind() == reflect.String && f.String() == r.host {
					k.Default = ""
				}
				if k.Default == "" {
					k.Default = k.saidDefault()
				}
				r.keys = append(r.keys, k)
			}
		}
	}
	fields(v)
	for _, t := range tables {
		r.keys = append(r.keys, t.key)
		r.table(t.value, t.key.Path)
	}
}

// elementOf gives the struct of a table, or of a list of tables; not valid where v
// is neither.
func elementOf(v reflect.Value) (e reflect.Value, list bool) {
	if v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct {
		v = reflect.New(v.Type().Elem()).Elem()
	}
	if readsItself(v) {
		return reflect.Value{}, false
	}
	switch v.Kind() {
	case reflect.Struct:
		return v, false
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Struct {
			return reflect.Value{}, false
		}
		if v.Len() == 0 {
			v = reflect.MakeSlice(v.Type(), 1, 1)
		}
		if e := v.Index(0); !readsItself(e) {
			return e, true
		}
	}
	return reflect.Value{}, false
}

// doc gives the comment of a field with the names as the file has them.
func (r *reference) doc(t reflect.Type, field, key string) string {
	doc := r.docs[t.PkgPath()+"."+t.Name()+"."+field]
	for i := range t.NumField() {
		f := t.Field(i)
		if name, _, _ := strings.Cut(f.Tag.Get("toml"), ","); name != "" && name != "-" {
			doc = replaceWord(doc, f.Name, name)
		}
	}
	return strings.TrimSpace(replaceWord(doc, field, key))
}

// replaceWord puts another word in the place of a Go name, where it stands as a
// word of its own; one of one capital letter alone may be English.
func replaceWord(text, word, by string) string {
	if strings.ToLower(word) == by && !strings.HasPrefix(text, word) {
		return text // like Filter, Name: also words at the beginning of a sentence
	}
	var b strings.Builder
	for {
		i := strings.Index(text, word)
		if i < 0 {
			return b.String() + text
		}
		end := i + len(word)
		whole := (i == 0 || !isLetter(text[i-1])) && (end == len(text) || !isLetter(text[end]))
		b.WriteString(text[:i])
		if whole {
			b.WriteString(by)
		} else {
			b.WriteString(word)
		}
		text = text[end:]
		if strings.ToLower(word) == by {
			return b.String() + text
		}
	}
}

func isLetter(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// kindOf says what a key's value is.
func kindOf(v reflect.Value) string {
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[time.Duration]() {
		return "time"
	}
	fresh := reflect.New(t)
	switch fresh.Interface().(type) {
	case toml.Unmarshaler:
		return "text or number"
	case encoding.TextUnmarshaler:
		return "text"
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Slice, reflect.Array:
		return "list, each a " + kindOf(reflect.New(t.Elem()).Elem())
	case reflect.Map:
		return "table, each value a " + kindOf(reflect.New(t.Elem()).Elem())
	case reflect.Interface:
		return "value"
	case reflect.Struct:
		return "table"
	}
	return "whole number"
}

// defaultOf gives a value as it stands in a file; "" where nothing is set.
func defaultOf(v reflect.Value) string {
	set := v.Kind() == reflect.Pointer && !v.IsNil()
	if set {
		v = v.Elem()
	}
	if v.Kind() == reflect.Bool {
		return strconv.FormatBool(v.Bool())
	}
	if !set && v.IsZero() {
		return ""
	}
	switch x := v.Interface().(type) {
	case time.Duration:
		return strconv.Quote(shortTime(x))
	case fmt.Stringer:
		return strconv.Quote(x.String())
	}
	switch {
	case v.Kind() == reflect.String:
		return strconv.Quote(v.String())
	case v.CanInt() && readsItself(v) && v.Int() == math.MaxInt32: // a limit that is none
		return `"unlimited"`
	case v.CanInt(), v.CanUint(), v.CanFloat():
		return fmt.Sprint(v.Interface())
	}
	return ""
}

// saidDefault is the default that the comment tells, where the part leaves the
// value as it is until it needs it.
func (k Key) saidDefault() string {
	m := defaultSaid.FindStringSubmatch(strings.Join(strings.Fields(k.Doc), " "))
	switch {
	case m == nil:
		return ""
	case m[1][0] == '"' && k.Kind != "whole number" && k.Kind != "number":
		return m[1]
	case k.Kind == "time", k.Kind == "text":
		return strconv.Quote(strings.Trim(m[1], `"`))
	case m[1] == "true" || m[1] == "false":
		if k.Kind != "true or false" {
			return ""
		}
	case strings.Trim(m[1], "0123456789.") != "" || k.Kind == "true or false":
		return ""
	}
	return m[1]
}

// shortTime gives a time without its zeros: "1m", not "1m0s".
func shortTime(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// parseDocs reads docs.txt.
func parseDocs(text string) map[string]string {
	all := map[string]string{}
	name := ""
	for line := range strings.Lines(text) {
		if body, ok := strings.CutPrefix(line, "\t"); ok {
			all[name] += body
			continue
		}
		name = strings.TrimSpace(line)
	}
	return all
}
