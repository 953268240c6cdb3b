package config

import (
	"encoding/json"
	"io"
	"strings"
)

// WriteSchema writes a JSON Schema (draft 7, as taplo and the editors with it take
// it) of the configuration: completion, help and a first check while typing.
func WriteSchema(w io.Writer) error {
	root := map[string]any{"$schema": "http://json-schema.org/draft-07/schema#", "title": "headgate.toml", "type": "object", "additionalProperties": false}
	inside := map[string]map[string]any{"": {}} // the properties of each table
	root["properties"] = inside[""]
	for _, k := range Reference() {
		s := schemaOf(k)
		if k.Table {
			inside[k.Path] = map[string]any{}
			table := map[string]any{"type": "object", "additionalProperties": false, "properties": inside[k.Path]}
			if k.List {
				s["type"], s["items"] = "array", table
			} else {
				for name, value := range table {
					s[name] = value
				}
			}
		}
		inside[k.Parent()][k.Name()] = s
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	return e.Encode(root)
}

// schemaOf gives what is known about one key. A text may stand for a number or a
// truth too: one from the environment does.
func schemaOf(k Key) map[string]any {
	s := map[string]any{}
	if k.Doc != "" {
		s["description"] = k.Doc
	}
	if k.Default != "" {
		var value any
		if json.Unmarshal([]byte(k.Default), &value) == nil {
			s["default"] = value
		}
	}
	if t := jsonType(k.Kind); t != nil && !k.Table {
		s["type"] = t
		if item, ok := strings.CutPrefix(k.Kind, "list, each a "); ok {
			if t := jsonType(item); t != nil {
				s["items"] = map[string]any{"type": t}
			}
		}
	}
	return s
}

// jsonType gives the type of a kind; nil: any.
func jsonType(kind string) any {
	switch {
	case kind == "time":
		return "string"
	case kind == "text":
		return []string{"string", "integer"} // what reads itself takes both
	case kind == "true or false":
		return []string{"boolean", "string"}
	case kind == "whole number":
		return []string{"integer", "string"}
	case kind == "number":
		return []string{"number", "string"}
	case strings.HasPrefix(kind, "list, "):
		return "array"
	case strings.HasPrefix(kind, "table, "):
		return "object"
	}
	return nil
}
