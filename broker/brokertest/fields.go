package brokertest

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"headgate/broker/packet"
)

// fields is a packet in a script's notation: its name, and what it says, each by
// the specification's word. Values are raw: text without quotes, numbers in
// decimal, reasons as 0x8e. A flag's value is 1.
type fields struct {
	packet string
	list   []fieldValue
}

type fieldValue struct{ key, value string }

func (f *fields) add(key, value string) { f.list = append(f.list, fieldValue{key, value}) }

// all gives a key's values in order.
func (f *fields) all(key string) []string {
	var vs []string
	for _, v := range f.list {
		if v.key == key {
			vs = append(vs, v.value)
		}
	}
	return vs
}

func (f *fields) get(key string) (string, bool) {
	if vs := f.all(key); len(vs) > 0 {
		return vs[0], true
	}
	return "", false
}

// kind is how a field's value is written.
type kind byte

const (
	asText kind = iota + 1
	asNumber
	asFlag
	asReason  // 0x8e
	asReasons // 0x00,0x8f
	asNumbers // 1,2; their order does not count
	asPair    // key:value
)

// packetFields are the fields that are no properties.
var packetFields = map[string]kind{
	"id":    asText, // of a CONNECT; of all others the packet identifier, a number
	"clean": asFlag, "persistent": asFlag, "keepalive": asNumber, "username": asText, "password": asText, "version": asText,
	"will-topic": asText, "will-payload": asText, "will-qos": asNumber, "will-retain": asFlag,
	"present": asFlag, "reason": asReason, "reasons": asReasons,
	"topic": asText, "payload": asText, "qos": asNumber, "dup": asFlag, "retain": asFlag,
	"filter": asText, "nl": asFlag, "rap": asFlag, "rh": asNumber,
	"scram": asText,
}

// kindOf gives a field's kind, 0 for one that there is not.
func kindOf(packetName, key string) kind {
	if key == "id" && packetName != "CONNECT" {
		return asNumber
	}
	if k := packetFields[key]; k != 0 {
		return k
	}
	if pr := propertyNamed(strings.TrimPrefix(key, "will-")); pr != nil && (packetName == "CONNECT" || !strings.HasPrefix(key, "will-")) {
		return pr.kind
	}
	if pr := propertyNamed(key); pr != nil {
		return pr.kind
	}
	return 0
}

// parseFields reads a packet as a script has it. expand gives a variable's
// value. wild lets *, none and variables that have no value yet stand.
func parseFields(args []string, wild bool, expand func(name string) (string, bool)) (fields, error) {
	f := fields{packet: args[0]}
	for _, arg := range args[1:] {
		key, value, given := strings.Cut(arg, "=")
		k := kindOf(f.packet, key)
		switch {
		case k == 0:
			return f, fmt.Errorf("%s has no field %q", f.packet, key)
		case !given:
			value = "1"
		case wild && (value == "*" || value == "none"):
			f.add(key, value)
			continue
		}
		if name, ok := variable(k, value); ok {
			v, known := expand(name)
			if !known && !wild {
				return f, fmt.Errorf("$%s has no value yet", name)
			}
			if known {
				value = v
			}
			f.add(key, value)
			continue
		}
		v, err := k.parse(value)
		if err != nil {
			return f, fmt.Errorf("%s: %w", key, err)
		}
		f.add(key, v)
	}
	return f, nil
}

// variable gives the name in $name. Text that begins with $ is one only if
// nothing but small letters follows: $SYS and $share/g are not.
func variable(k kind, value string) (name string, ok bool) {
	name, ok = strings.CutPrefix(value, "$")
	if k == asText || k == asPair {
		ok = ok && name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz") == ""
	}
	return name, ok
}

// parse gives a value as fields has it.
func (k kind) parse(s string) (string, error) {
	switch k {
	case asText:
		return unquote(s)
	case asPair:
		return parsePair(s)
	case asReason, asReasons:
		var list []string
		for part := range strings.SplitSeq(s, ",") {
			n, err := strconv.ParseUint(part, 0, 8)
			if err != nil {
				return "", err
			}
			list = append(list, fmt.Sprintf("0x%02x", n))
		}
		return strings.Join(list, ","), nil
	case asNumbers:
		list := strings.Split(s, ",")
		slices.Sort(list)
		return strings.Join(list, ","), nil
	}
	n, err := strconv.ParseUint(s, 0, 32)
	return strconv.FormatUint(n, 10), err
}

// unquote takes text as it is, in quotes with Go's escapes, as hex:00ff, or as
// size:N, which is N times the letter x.
func unquote(s string) (string, error) {
	switch {
	case strings.HasPrefix(s, `"`):
		v, err := strconv.Unquote(s)
		if err != nil {
			return "", fmt.Errorf("%s is not well quoted", s)
		}
		return v, nil
	case strings.HasPrefix(s, "hex:"):
		b, err := hex.DecodeString(s[len("hex:"):])
		return string(b), err
	case strings.HasPrefix(s, "size:"):
		n, err := strconv.Atoi(s[len("size:"):])
		if err != nil || n < 0 || n > 1<<24 {
			return "", fmt.Errorf("%s is no size", s)
		}
		return strings.Repeat("x", n), nil
	}
	return s, nil
}

// pairSeparator stands between key and value of a pair as fields has it.
const pairSeparator = "\x00:\x00"

func parsePair(s string) (string, error) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ':' && !quoted:
			key, err := unquote(s[:i])
			if err != nil {
				return "", err
			}
			value, err := unquote(s[i+1:])
			return key + pairSeparator + value, err
		}
	}
	return "", fmt.Errorf("%q: want KEY:VALUE", s)
}

// String gives the packet in a script's notation.
func (f fields) String() string {
	parts := []string{f.packet}
	for _, v := range f.list {
		switch k := kindOf(f.packet, v.key); k {
		case asFlag:
			parts = append(parts, v.key)
		case asText:
			parts = append(parts, v.key+"="+quote(v.value))
		case asPair:
			key, value, _ := strings.Cut(v.value, pairSeparator)
			parts = append(parts, v.key+"="+quote(key)+":"+quote(value))
		default:
			parts = append(parts, v.key+"="+v.value)
		}
	}
	return strings.Join(parts, " ")
}

func quote(s string) string {
	if n := len(s); n > 80 && strings.Count(s, "x") == n {
		return fmt.Sprintf("size:%d", n)
	}
	if q := strconv.Quote(s); s == "" || q[1:len(q)-1] != s || strings.ContainsAny(s, ` :"`) {
		return q
	}
	return s
}

// announced are the fields in which a server says what it can, or why: they
// count only when a script mentions them.
var announced = map[string]bool{
	"reason-string": true, "maximum-packet-size": true, "receive-maximum": true, "topic-alias-maximum": true,
	"maximum-qos": true, "retain-available": true, "wildcard-subscription-available": true,
	"subscription-ids-available": true, "shared-subscription-available": true, "server-keep-alive": true,
}

// match says whether got is what f asks for, and gives the values of the
// variables that f names.
func (f fields) match(got fields, v packet.Version) (vars map[string]string, ok bool) {
	if f.packet != got.packet {
		return nil, false
	}
	keys := make(map[string]bool)
	for _, x := range slices.Concat(f.list, got.list) {
		keys[x.key] = true
	}
	vars = make(map[string]string)
	for key := range keys {
		want, have := f.all(key), got.all(key)
		switch {
		case len(want) == 0 && announced[key]:
			continue
		case v != packet.V5 && key == "reasons" && f.packet == "UNSUBACK":
			continue // 3.x has none
		case len(want) == 1 && want[0] == "*":
			ok = len(have) > 0
		case len(want) == 1 && (want[0] == "none" || isDefault(key, want[0])):
			ok = len(have) == 0
		default:
			ok = slices.Equal(want, have)
			if len(want) != 1 || len(have) != 1 || ok {
				break
			}
			if name, is := variable(kindOf(f.packet, key), want[0]); is {
				vars[name], ok = have[0], true
			}
		}
		if !ok {
			return nil, false
		}
	}
	return vars, true
}

// isDefault says whether a value is one that decoding leaves out.
func isDefault(key, value string) bool {
	switch packetFields[key] {
	case asFlag:
		return value == "0"
	case asReason:
		return value == "0x00"
	case asNumber:
		return value == "0"
	case asText:
		return value == "" && key == "payload"
	}
	return false
}
