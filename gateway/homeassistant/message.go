package homeassistant

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strings"

	"headgate/gateway/point"
)

// message is what announces one device.
type message struct {
	Device       deviceInfo        `json:"device"`
	Origin       origin            `json:"origin"`
	QoS          int               `json:"qos"`
	Availability []availability    `json:"availability,omitempty"`
	Components   map[string]entity `json:"components"`
}

type deviceInfo struct {
	Identifiers  []string `json:"identifiers"`
	Name         string   `json:"name"`
	Manufacturer string   `json:"manufacturer,omitempty"`
	Model        string   `json:"model,omitempty"`
	SWVersion    string   `json:"sw_version,omitempty"`
	Area         string   `json:"suggested_area,omitempty"`
	ViaDevice    string   `json:"via_device,omitempty"`
}

type origin struct {
	Name      string `json:"name"`
	SWVersion string `json:"sw_version"`
}

// originName tells our messages from others'.
const originName = "headgate"

// maxMessageBytes bounds the message of one device; of one that would need more
// nothing is announced.
const maxMessageBytes = 512 << 10

// gatewayID stands in the place of a device's name in the topic of the gateway's own
// message: no device's name comes out like this.
const gatewayID = "_gateway"

// announced is one message and where it goes.
type announced struct {
	topic   string
	payload []byte
}

// messages makes all that is to be announced, the gateway first: the others name it
// as what they are reached through. The error names devices that cannot be.
func (a *Announcer) messages() (list []announced, faults []error) {
	for _, d := range a.devices {
		if !a.cfg.wants(d.Name) {
			continue
		}
		m := a.deviceMessage(&d)
		if len(m.Components) == 0 {
			continue
		}
		topic := a.topic(ident(d.Name))
		payload, err := encode(m)
		if err != nil {
			faults = append(faults, fmt.Errorf("device %q: %w", d.Name, err))
			continue
		}
		list = append(list, announced{topic, payload})
	}
	if len(list) == 0 {
		return nil, faults
	}
	topic := a.topic(gatewayID)
	payload, err := encode(a.gatewayMessage(topic))
	if err != nil {
		return nil, append(faults, err)
	}
	return append([]announced{{topic, payload}}, list...), faults
}

func (a *Announcer) deviceMessage(d *point.Device) message {
	m := message{
		Device: deviceInfo{Identifiers: []string{a.id(d.Name)}, Name: d.Name, Manufacturer: d.Manufacturer, Model: d.Model,
			Area: a.cfg.Area, ViaDevice: a.id()},
		Origin: a.origin(), QoS: 1, Availability: []availability{a.statusOf(d.Name)}, Components: map[string]entity{},
	}
	for i := range d.Points {
		info := &d.Points[i]
		if e, ok := a.newEntity(d.Name, info); ok {
			m.Components[e.Platform+"_"+ident(info.Name)] = e
		}
	}
	return m
}

// gatewayMessage announces the gateway. A device must have an entity: its version,
// which stands in this very message.
func (a *Announcer) gatewayMessage(topic string) message {
	return message{
		Device: deviceInfo{Identifiers: []string{a.id()}, Name: a.gateway, Model: originName, SWVersion: a.version, Area: a.cfg.Area},
		Origin: a.origin(), QoS: 1,
		Components: map[string]entity{"sensor_version": {
			Platform: "sensor", Name: "Version", UniqueID: a.id() + "#version", StateTopic: topic,
			ValueTemplate: `{{ value_json.origin.sw_version }}`, Category: "diagnostic",
		}},
	}
}

func (a *Announcer) origin() origin { return origin{originName, a.version} }

func (a *Announcer) statusOf(device string) availability {
	return availability{a.topics.StatusTopic(device), statusTemplate}
}

// id is what Home Assistant knows the gateway, a device or a point by, whatever they
// are called there. A slash stands in none of the names, so no two are the same.
func (a *Announcer) id(levels ...string) string {
	return strings.Join(append([]string{originName, a.gateway}, levels...), "/")
}

// topic is where a device is announced.
func (a *Announcer) topic(device string) string {
	return a.cfg.Prefix + "/device/" + ident(a.gateway) + "/" + device + "/config"
}

// filter matches all of this gateway's under a prefix.
func (a *Announcer) filter(prefix string) string {
	return prefix + "/device/" + ident(a.gateway) + "/+/config"
}

// ident is a name as Home Assistant takes it in a topic: letters, digits, "-" and
// "_"; of a name that has others, or that is long, a checksum keeps it apart.
func ident(name string) string {
	const most = 64
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, name)
	if clean == name && len(name) <= most && name[0] != '_' {
		return name
	}
	if len(clean) > most {
		clean = clean[:most]
	}
	return fmt.Sprintf("%s-%08x", strings.TrimLeft(clean, "_"), crc32.ChecksumIEEE([]byte(name)))
}

func encode(m message) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil {
		return nil, err
	}
	if out.Len() > maxMessageBytes {
		return nil, fmt.Errorf("its %d entities take %d bytes in one message, %d are the most; hide points of it, or announce less of it", len(m.Components), out.Len(), maxMessageBytes)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// withRemoved is the message with those entities of the one before that it does not
// have any more, each with nothing but its platform, which is how one entity of a
// device is taken away; nil where there is none.
// [home-assistant.io/integrations/mqtt, "Device discovery payload"]
func withRemoved(payload, before []byte) []byte {
	var old struct {
		Origin     origin
		Components map[string]struct {
			Platform string `json:"platform"`
		} `json:"components"`
	}
	var now map[string]json.RawMessage
	var components map[string]json.RawMessage
	if json.Unmarshal(before, &old) != nil || json.Unmarshal(payload, &now) != nil || json.Unmarshal(now["components"], &components) != nil {
		return nil
	}
	kept := len(components)
	for key, c := range old.Components {
		if _, still := components[key]; still || c.Platform == "" {
			continue
		}
		stub, err := json.Marshal(map[string]string{"platform": c.Platform})
		if err != nil {
			return nil
		}
		components[key] = stub
	}
	if len(components) == kept {
		return nil
	}
	var err error
	if now["components"], err = json.Marshal(components); err != nil {
		return nil
	}
	merged, err := json.Marshal(now)
	if err != nil {
		return nil
	}
	return merged
}

// isOurs says whether a retained message is one that a headgate has announced.
func isOurs(payload []byte) bool {
	var m struct {
		Origin origin `json:"origin"`
	}
	return json.Unmarshal(payload, &m) == nil && m.Origin.Name == originName
}
