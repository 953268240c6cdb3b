package homeassistant

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"headgate/gateway/point"
)

// entity is one component of a device's message: one entity there.
// [home-assistant.io/integrations/mqtt, "Device discovery payload"]
type entity struct {
	Platform         string         `json:"platform"`
	Name             string         `json:"name"`
	UniqueID         string         `json:"unique_id"`
	DefaultEntityID  string         `json:"default_entity_id,omitempty"`
	StateTopic       string         `json:"state_topic,omitempty"`
	ValueTemplate    string         `json:"value_template,omitempty"`
	CommandTopic     string         `json:"command_topic,omitempty"`
	CommandTemplate  string         `json:"command_template,omitempty"`
	DeviceClass      string         `json:"device_class,omitempty"`
	StateClass       string         `json:"state_class,omitempty"`
	Unit             string         `json:"unit_of_measurement,omitempty"`
	Options          []string       `json:"options,omitempty"`
	Min              *float64       `json:"min,omitempty"`
	Max              *float64       `json:"max,omitempty"`
	Step             float64        `json:"step,omitempty"`
	Mode             string         `json:"mode,omitempty"`
	PayloadOn        string         `json:"payload_on,omitempty"`
	PayloadOff       string         `json:"payload_off,omitempty"`
	PayloadPress     string         `json:"payload_press,omitempty"`
	ExpireAfter      int            `json:"expire_after,omitempty"` // seconds
	Category         string         `json:"entity_category,omitempty"`
	Icon             string         `json:"icon,omitempty"`
	Enabled          *bool          `json:"enabled_by_default,omitempty"`
	Availability     []availability `json:"availability,omitempty"`
	AvailabilityMode string         `json:"availability_mode,omitempty"`
}

// availability is a topic that tells whether there is anything behind an entity.
type availability struct {
	Topic         string `json:"topic"`
	ValueTemplate string `json:"value_template"`
}

// What Home Assistant makes of a payload of ours. A value that is not good is unknown
// there: none, which it reads in the text "None". Only a text would be shown as
// "None", so that one is not available then.
const (
	valueTemplate   = `{{ value_json.value if value_json.quality == 'good' else none }}`
	numberTemplate  = `{{ value_json.value if value_json.quality == 'good' and value_json.value is number else none }}`
	boolTemplate    = `{{ none if value_json.quality != 'good' else 'true' if value_json.value else 'false' }}`
	textTemplate    = `{{ value_json.value }}`
	qualityTemplate = `{{ 'online' if value_json.quality == 'good' else 'offline' }}`
	statusTemplate  = `{{ value_json.status }}`
	jsonTemplate    = `{{ value | tojson }}` // of a command
)

const (
	// anyNumber bounds a number of which nothing is known: Home Assistant wants bounds,
	// and assumes 1 to 100.
	anyNumber = 1e9
	leastStep = 0.001 // that Home Assistant takes
	maxText   = 255   // characters of a text there

	// An entity whose value does not come for silences times as long as it may be
	// silent is not available, but not before leastExpiry.
	silences    = 3
	leastExpiry = time.Minute
)

// newEntity makes the entity of a point; ok is false where there is none for it.
func (a *Announcer) newEntity(device string, info *point.Info) (e entity, ok bool) {
	said := a.cfg.of(device, info.Name)
	if said.Hide || info.Raw {
		return e, false
	}
	e = entity{
		Platform: componentOf(info), Name: nameOf(info.Name), UniqueID: a.id(device, info.Name),
		Category: said.Category, Icon: said.Icon,
	}
	if said.Component != "" {
		if !can(info, said.Component) {
			return e, false
		}
		e.Platform = said.Component
	}
	if e.Platform == "" {
		return e, false
	}
	if said.Name != "" {
		e.Name = said.Name
	}
	if s := slug(device + "_" + info.Name); s != "" {
		e.DefaultEntityID = e.Platform + "." + s
	}
	if said.Disabled {
		e.Enabled = new(bool)
	}
	a.fill(&e, device, info)
	switch said.DeviceClass {
	case "":
	case none:
		e.DeviceClass = ""
	default:
		e.DeviceClass = said.DeviceClass
	}
	if e.Platform == "sensor" && said.StateClass != "" {
		if e.StateClass = said.StateClass; e.StateClass == none {
			e.StateClass = ""
		}
	}
	return e, true
}

// componentOf is what becomes of a point by itself; "" for nothing.
func componentOf(info *point.Info) string {
	for _, c := range []string{"switch", "select", "number", "text"} {
		if info.Writable && !info.WriteOnly && can(info, c) {
			return c
		}
	}
	switch {
	case info.WriteOnly && info.Kind == point.Bool:
		return "button"
	case info.WriteOnly: // what it was set to last nobody could tell
		return ""
	case info.Kind == point.Bool:
		return "binary_sensor"
	}
	return "sensor"
}

// can says whether a point can become such a component.
func can(info *point.Info, component string) bool {
	read, written := !info.WriteOnly, info.Writable
	switch component {
	case "sensor":
		return read
	case "binary_sensor":
		return read && info.Kind == point.Bool
	case "switch":
		return read && written && info.Kind == point.Bool
	case "button":
		return written && info.Kind == point.Bool
	case "select":
		return read && written && len(info.Texts) > 0
	case "number":
		return read && written && isNumber(info.Kind)
	}
	return read && written && info.Kind == point.String && len(info.Texts) == 0
}

func isNumber(k point.Kind) bool { return k == point.Int || k == point.Uint || k == point.Float }

// fill adds what depends on the component.
func (a *Announcer) fill(e *entity, device string, info *point.Info) {
	if e.Platform == "button" {
		e.CommandTopic, e.PayloadPress = a.topics.SetTopic(device, info.Name), "true"
		return
	}
	e.StateTopic, e.ValueTemplate = a.topics.ValueTopic(device, info.Name), valueTemplate
	switch e.Platform {
	case "sensor":
		e.fillSensor(info)
		e.ExpireAfter = expiry(info)
	case "binary_sensor":
		e.fillBool()
		e.ExpireAfter = expiry(info)
		if info.Alarm {
			e.DeviceClass = "problem"
		}
	case "switch":
		e.fillBool()
	case "select":
		e.Options, e.CommandTemplate = info.Texts, jsonTemplate
		e.ValueTemplate = oneOfTemplate(info.Texts)
	case "number":
		e.fillNumber(info)
	case "text":
		e.CommandTemplate, e.ValueTemplate = jsonTemplate, textTemplate
		if info.Length > 0 && info.Length < maxText {
			most := float64(info.Length)
			e.Max = &most
		}
		e.AvailabilityMode = "all"
		e.Availability = []availability{a.statusOf(device), {e.StateTopic, qualityTemplate}}
	}
	if e.Platform != "sensor" && e.Platform != "binary_sensor" {
		e.CommandTopic = a.topics.SetTopic(device, info.Name)
	}
}

// fillBool has true and false said as they stand in a command.
func (e *entity) fillBool() {
	e.ValueTemplate, e.PayloadOn, e.PayloadOff = boolTemplate, "true", "false"
}

func (e *entity) fillSensor(info *point.Info) {
	switch {
	case info.Time:
		e.DeviceClass = "timestamp"
	case len(info.Texts) > 0:
		e.DeviceClass, e.Options = "enum", info.Texts
		e.ValueTemplate = oneOfTemplate(info.Texts)
	case info.Kind == point.Bool:
		e.ValueTemplate = boolTemplate
	case isNumber(info.Kind) || info.Kind == point.None && info.Unit != "":
		c := classOf(info)
		e.DeviceClass, e.StateClass, e.Unit = c.device, c.state, c.unit
		if info.Kind == point.None { // a text would be an error there
			e.ValueTemplate = numberTemplate
		}
	}
}

func (e *entity) fillNumber(info *point.Info) {
	c := classOf(info)
	e.DeviceClass, e.Unit = c.device, c.unit
	least, most := -anyNumber, float64(anyNumber)
	if info.Min != nil {
		least = *info.Min
	}
	if info.Max != nil {
		most = *info.Max
	}
	if least >= most { // which Home Assistant would refuse
		most = least + 1
	}
	e.Min, e.Max, e.Step = &least, &most, leastStep
	if info.Step > 0 {
		e.Step = max(info.Step, leastStep)
	}
	if !info.Bounded {
		e.Mode = "box" // a slider over all that 16 bits hold is of no use
	}
}

// oneOfTemplate is for an enum: a number for which there is no text is published as a
// number, which Home Assistant would not take, and go on to show the text before it.
func oneOfTemplate(texts []string) string {
	quoted := make([]string, len(texts))
	for i, t := range texts {
		quoted[i] = "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "{", `\x7b`, "}", `\x7d`).Replace(t) + "'"
	}
	return `{{ value_json.value if value_json.quality == 'good' and value_json.value in [` + strings.Join(quoted, ", ") + `] else none }}`
}

// expiry is after how many seconds of silence a value is none any more; 0: never.
func expiry(info *point.Info) int {
	if info.Interval <= 0 {
		return 0
	}
	silent := max(info.Interval, info.Report.MinInterval)
	if info.Report.Deadband != nil {
		silent = max(silent, info.Report.Heartbeat+info.Interval)
	}
	return int(math.Ceil(max(silences*silent, leastExpiry).Seconds()))
}

// nameOf makes a name for a person: "voltage_l1" is "Voltage l1".
func nameOf(name string) string {
	words := strings.TrimSpace(strings.ReplaceAll(name, "_", " "))
	first, n := utf8.DecodeRuneInString(words)
	if n == 0 {
		return name
	}
	return string(unicode.ToUpper(first)) + words[n:]
}

// slug is s as it can stand in an entity's id: small letters, digits and single
// underscores.
func slug(s string) string {
	words := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return strings.Join(words, "_")
}

func joinIndex(key string, i int) string { return key + "[" + strconv.Itoa(i) + "]" }

// quoted lists words as one reads them in a sentence.
func quoted(words []string) string {
	list := slices.Clone(words)
	for i := range list {
		list[i] = strconv.Quote(list[i])
	}
	return strings.Join(list, ", ")
}
