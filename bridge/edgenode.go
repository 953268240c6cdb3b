package bridge

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"headgate/bridge/sparkplug"
	"headgate/broker/packet"
)

// A bridge with [bridge.sparkplug] is an edge node of Sparkplug 3.0: it publishes
// no topics of ours, but births, data and deaths of the node and its devices.
// [tck-id-...] cites the specification's statements.

// Sparkplug is the table [bridge.sparkplug].
type Sparkplug struct {
	// GroupID makes the bridge a Sparkplug B edge node of this group, in place of [[bridge.up]] and [[bridge.down]]: each
	// device of the gateway is a Sparkplug device, each point a metric. The page is packaging/docs/sparkplug.md.
	GroupID string `toml:"group_id"`
	// EdgeNodeID is the node's name in the group. Default: the gateway's id.
	EdgeNodeID string `toml:"edge_node_id"`
	// PrimaryHostID is the host application without which nothing is sent: what is measured waits in the queue while its
	// STATE is not online. Default: whoever is there.
	PrimaryHostID string `toml:"primary_host_id"`

	// Field is what the node tells of. Set by the wiring.
	Field Field `toml:"-"`

	// NextBirth gives the bdSeq of the next CONNECT, 0-255, one more each time and also after a restart. Set by the wiring;
	// nil: it begins with 0.
	NextBirth func() uint8 `toml:"-"`
}

// Field is the gateway's devices as a Sparkplug edge node needs them. Its methods
// may be called at any time.
type Field interface {
	// Filter matches the local topics of all values and states.
	Filter() string
	// Locate reads one of these topics. status says that it is the state of the device.
	Locate(topic string) (device, point string, status, ok bool)
	// Devices lists all, with their points.
	Devices() []FieldDevice
	// Device is one of them; ok is false when there is none of that name.
	Device(name string) (d FieldDevice, ok bool)
}

// FieldDevice is a device.
type FieldDevice struct {
	Name                string
	Manufacturer, Model string // "" where that is not said
	Online              bool
	Points              []FieldPoint
}

// FieldPoint is a point of a device, with its last value.
type FieldPoint struct {
	Name string
	Unit string             // of measure; "" for none
	Type sparkplug.DataType // Unknown: what its values are
	Set  string             // the local topic of commands; "" where nothing can be set
	Last FieldSample        // of zero Time while there was none
}

// FieldSample is a value at a time.
type FieldSample struct {
	Value   any // int64, uint64, float64, bool, string or []byte; nil: none
	Quality Quality
	Reason  string // why the quality is not good
	Time    time.Time
}

// Quality is how far a value may be trusted, by the code of Sparkplug.
// [tck-id-payloads-propertyset-quality-value-value]
type Quality int

// The codes of Quality.
const (
	QualityBad   Quality = 0
	QualityGood  Quality = 192
	QualityStale Quality = 500
)

// On says that there is such a table.
func (s *Sparkplug) On() bool { return s.GroupID != "" || s.EdgeNodeID != "" || s.PrimaryHostID != "" }

func (c *Config) checkSparkplug(fault func(key, format string, args ...any)) {
	s := &c.Sparkplug
	if !s.On() {
		return
	}
	for _, id := range []struct{ key, value string }{
		{"group_id", s.GroupID}, {"edge_node_id", s.EdgeNodeID}, {"primary_host_id", s.PrimaryHostID},
	} {
		switch {
		case id.value == "" && id.key == "group_id":
			fault("sparkplug.group_id", "missing: want the name of the group that the edge node belongs to, such as \"plant7\"")
		case !utf8.ValidString(id.value) || strings.ContainsAny(id.value, "+#/\x00"): // [tck-id-intro-group-id-chars]
			fault("sparkplug."+id.key, "%q: want a text without \"/\", \"+\" and \"#\"", id.value)
		case len(id.value) > 1000:
			fault("sparkplug."+id.key, "%d bytes: want at most 1000", len(id.value))
		}
	}
	if len(c.Up) > 0 {
		fault("up", "a Sparkplug edge node sends the values of the gateway's devices and nothing else: other topics go through a bridge of their own")
	}
	if len(c.Down) > 0 {
		fault("down", "a Sparkplug edge node takes commands of its own topics and nothing else: other topics come through a bridge of their own")
	}
	if c.Preset != "" && c.Preset != "mosquitto" {
		if svc := c.service(); svc != nil {
			fault("preset", "%q: %s takes no wills and topics as Sparkplug has them", c.Preset, svc.title)
		}
	}
}

// edgeNode is what a Bridge keeps of its edge node from one connection to the next.
type edgeNode struct {
	cfg   *Sparkplug
	birth uint8 // bdSeq of the last CONNECT
	begun bool

	awaits atomic.Bool // the primary host is not online

	mu      sync.Mutex                   // guards what follows
	aliases map[string]map[string]uint64 // device -> point -> alias
	last    uint64                       // alias given, from 1 on
	bytes   int                          // of the names in aliases

	// Owned by the read goroutine: the time of the last STATE of each address.
	states map[string]int64
}

// newEdgeNode gives nil where the bridge is none.
func newEdgeNode(c *Config) (*edgeNode, error) {
	switch {
	case !c.Sparkplug.On():
		return nil, nil
	case c.Sparkplug.EdgeNodeID == "":
		return nil, errors.New("sparkplug.edge_node_id: neither it nor a gateway id is given")
	case c.Sparkplug.Field == nil:
		return nil, errors.New("sparkplug: there is no field to tell of")
	}
	return &edgeNode{cfg: &c.Sparkplug, aliases: make(map[string]map[string]uint64), states: make(map[string]int64)}, nil
}

// topic gives the topic of a kind of message: of the node, or of a device.
// [tck-id-topic-structure]
func (n *edgeNode) topic(kind, device string) string {
	t := "spBv1.0/" + n.cfg.GroupID + "/" + kind + "/" + n.cfg.EdgeNodeID
	if device != "" {
		t += "/" + device
	}
	return t
}

func (n *edgeNode) stateTopic() string { return "spBv1.0/STATE/" + n.cfg.PrimaryHostID }

// subscriptions are what the node asks of the upstream before its birth: its
// commands, those of its devices, and the state of the primary host.
// [tck-id-message-flow-edge-node-ncmd-subscribe] [tck-id-message-flow-device-dcmd-subscribe]
func (n *edgeNode) subscriptions() []Down {
	filters := []string{n.topic("NCMD", ""), n.topic("DCMD", "+")}
	if n.cfg.PrimaryHostID != "" {
		filters = append(filters, n.stateTopic())
	}
	var list []Down
	for _, f := range filters {
		list = append(list, Down{Filter: f, QoS: new(1), Retain: retainKeep})
	}
	return list
}

// connect makes a CONNECT one of an edge node: a clean session with NDEATH as its
// will, by which a host knows that this very session is over.
// [tck-id-principles-persistence-clean-session-50] [tck-id-payloads-ndeath-will-message]
func (n *edgeNode) connect(p *packet.Connect) {
	switch {
	case n.cfg.NextBirth != nil:
		n.birth = n.cfg.NextBirth()
	case n.begun:
		n.birth++ // 0 follows 255 [tck-id-topics-nbirth-bdseq-increment]
	}
	n.begun = true
	p.CleanStart = true
	p.Properties.SessionExpiry = 0
	p.Properties.Unset(packet.PropSessionExpiry)
	p.Properties.User = nil // not as a gateway: it is a client like any other, also of the local broker
	p.HasWill = true
	p.Will = packet.Will{QoS: 1, Topic: []byte(n.topic("NDEATH", "")), Payload: n.death()}
}

// death is the payload of NDEATH: bdSeq and no sequence number.
// [tck-id-topics-ndeath-payload] [tck-id-topics-ndeath-seq]
func (n *edgeNode) death() []byte {
	p := sparkplug.Payload{Metrics: []sparkplug.Metric{n.birthMetric()}}
	return p.Append(nil)
}

func (n *edgeNode) birthMetric() sparkplug.Metric {
	v, _ := sparkplug.Of(sparkplug.Int64, uint64(n.birth)) // a byte fits
	return sparkplug.Metric{Name: "bdSeq", DataType: sparkplug.Int64, Value: v}
}

// held says in words why nothing goes up; "" where it does.
func (n *edgeNode) held() string {
	if n == nil || !n.awaits.Load() {
		return ""
	}
	return "the primary host " + n.cfg.PrimaryHostID + " is not online"
}
