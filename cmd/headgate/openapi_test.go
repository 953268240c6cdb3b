package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// schema is as much of JSON Schema as the API's description uses.
type schema struct {
	Ref        string `json:"$ref"`
	Type       any
	Properties map[string]*schema
	Required   []string
	Items      *schema
	Enum       []string
}

// description is the API's, as openapi.json has it.
type description struct {
	Paths map[string]map[string]struct {
		Responses map[string]struct {
			Content map[string]struct{ Schema *schema }
		}
	}
	Components struct{ Schemas map[string]*schema }
}

func readDescription(t *testing.T) *description {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(moduleRoot(t), "gateway", "web", "page", "openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	d := new(description)
	if err := json.Unmarshal(text, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// faults gives what of a JSON value is not as the schema has it.
func (d *description) faults(at string, s *schema, v any) (list []string) {
	if name, is := strings.CutPrefix(s.Ref, "#/components/schemas/"); is {
		if s = d.Components.Schemas[name]; s == nil {
			return []string{at + ": there is no schema " + name}
		}
	}
	types := []string{}
	switch t := s.Type.(type) {
	case string:
		types = append(types, t)
	case []any:
		for _, one := range t {
			types = append(types, one.(string))
		}
	}
	is := ""
	switch v := v.(type) {
	case nil:
		is = "null"
	case bool:
		is = "boolean"
	case string:
		is = "string"
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
			list = append(list, fmt.Sprintf("%s: %q is none of %v", at, v, s.Enum))
		}
	case float64:
		is = "number"
		if v == float64(int64(v)) && slices.Contains(types, "integer") {
			is = "integer"
		}
	case []any:
		is = "array"
		if s.Items == nil {
			return []string{at + ": it has items"}
		}
		for i := range v {
			list = append(list, d.faults(fmt.Sprintf("%s[%d]", at, i), s.Items, v[i])...)
		}
	case map[string]any:
		is = "object"
		for name, inner := range v {
			if s.Properties[name] == nil {
				list = append(list, at+"."+name+": it is not described")
				continue
			}
			list = append(list, d.faults(at+"."+name, s.Properties[name], inner)...)
		}
		for _, name := range s.Required {
			if _, there := v[name]; !there {
				list = append(list, at+"."+name+": it is missing")
			}
		}
	}
	if !slices.Contains(types, is) {
		list = append(list, fmt.Sprintf("%s: %s, want %v", at, is, types))
	}
	return list
}

func TestEveryRequestOfTheAPIIsDescribed(t *testing.T) {
	t.Parallel()
	h := runPage(t, newPlant(t))
	d := readDescription(t)
	described := map[string]bool{}
	for path, methods := range d.Paths {
		for method := range methods {
			described[strings.ToUpper(method)+" "+path] = true
		}
	}
	there := h.web.Patterns()
	for _, pattern := range there {
		if !described[pattern] {
			t.Errorf("%s is not described", pattern)
		}
	}
	for pattern := range described {
		if !slices.Contains(there, pattern) {
			t.Errorf("%s is described, but not there", pattern)
		}
	}
}

func TestTheAPIAnswersAsItIsDescribed(t *testing.T) {
	t.Parallel()
	h := runPage(t, newPlant(t))
	h.reloader = h.newReloader(h.config.Paths[0])
	c := dial(t, h.broker.Addresses()[0], "panel")
	c.subscribe("#", 1)
	d := readDescription(t)
	askPage(t, h, "otto", "GET", "/api/v1/topics", "", nil) // from now on they are watched
	eventually(t, "every list has something", func() bool {
		var history struct{ Times []int }
		askPage(t, h, "otto", "GET", "/api/v1/history?device=meter&point=voltage", "", &history)
		return len(history.Times) > 0
	})
	query := map[string]string{"/api/v1/history": "?device=meter&point=voltage"}
	body := map[string]string{
		"/api/v1/write":              `{"device":"inverter","point":"limit","value":60}`,
		"/api/v1/publish":            `{"topic":"a","payload":"b"}`,
		"/api/v1/clients/disconnect": `{"client_id":"panel"}`,
		"/api/v1/login":              `{"user":"otto","password":"otto's secret"}`,
	}
	for path, methods := range d.Paths {
		for method, of := range methods {
			media, is := of.Responses["200"].Content["application/json"]
			if !is {
				continue
			}
			var v any
			status, text := askPage(t, h, "anna", strings.ToUpper(method), path+query[path], body[path], &v)
			if status != 200 {
				t.Errorf("%s %s: %d %s", method, path, status, text)
				continue
			}
			for _, fault := range d.faults("answer", media.Schema, v) {
				t.Errorf("%s %s: %s", method, path, fault)
			}
		}
	}
}
