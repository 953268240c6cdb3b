package serial

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"headgate/gateway/point"
)

// jsonFormat takes values out of JSON by their paths.
type jsonFormat struct{ paths [][]any } // of each field: names (string) and places in arrays (int)

func newJSONFormat(points []placed) (*jsonFormat, error) {
	j := &jsonFormat{}
	for _, p := range points {
		path, err := parsePath(string(p.From))
		if err != nil {
			return nil, p.wrong("from", "%w", err)
		}
		j.paths = append(j.paths, path)
	}
	return j, nil
}

// parsePath reads a path like "sensors[0].temperature".
func parsePath(s string) (path []any, err error) {
	for i, part := range strings.Split(s, ".") {
		name, places, indexed := strings.Cut(part, "[")
		if name != "" {
			path = append(path, name)
		} else if !indexed || i > 0 {
			return nil, fmt.Errorf("%q: want a path like \"sensors[0].temperature\"", s)
		}
		for indexed {
			var digits string
			digits, places, _ = strings.Cut(places, "]")
			n, err := strconv.Atoi(digits)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("%q: %q is no place in an array: want a number from 0", s, digits)
			}
			path = append(path, n)
			if places == "" {
				break
			}
			if places[0] != '[' {
				return nil, fmt.Errorf("%q: want . or [ behind ]", s)
			}
			places = places[1:]
		}
	}
	return path, nil
}

func (j *jsonFormat) samples(dst []point.Sample, message []byte, fields []field, at time.Time) ([]point.Sample, bool) {
	if !json.Valid(message) { // Decode would leave what is behind the first value
		return dst, false
	}
	d := json.NewDecoder(bytes.NewReader(message))
	d.UseNumber()
	var root any
	if err := d.Decode(&root); err != nil {
		return dst, false
	}
	switch root.(type) {
	case map[string]any, []any:
	default:
		return dst, false // half a line may well be a number
	}
	for i := range fields {
		f := &fields[i]
		v, ok := follow(root, j.paths[i])
		if !ok {
			continue
		}
		switch v := v.(type) {
		case nil:
			dst = append(dst, f.none(at))
		case string:
			dst = append(dst, f.sample(v, at))
		case json.Number:
			dst = append(dst, f.sample(v.String(), at))
		case bool:
			s := f.sample(strconv.FormatBool(v), at)
			if f.Enum == nil && f.Type == "auto" {
				s = f.good(point.OfBool(v), at)
			}
			dst = append(dst, s)
		default:
			dst = append(dst, f.bad(fmt.Errorf("%s is an object or an array, not a value", f.From), at))
		}
	}
	return dst, true
}

// follow gives what stands at the path.
func follow(v any, path []any) (any, bool) {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			object, _ := v.(map[string]any)
			inner, ok := object[step]
			if !ok {
				return nil, false
			}
			v = inner
		case int:
			array, _ := v.([]any)
			if step >= len(array) {
				return nil, false
			}
			v = array[step]
		}
	}
	return v, true
}
