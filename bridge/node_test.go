package bridge

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/bridge/sparkplug"
	"headgate/broker/packet"
)

// plant is a Field whose devices the test moves.
type plant struct {
	mu      sync.Mutex // guards devices
	devices []FieldDevice
}

var began = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func newPlant() *plant {
	return &plant{devices: []FieldDevice{
		{Name: "meter", Online: true, Manufacturer: "Acme", Points: []FieldPoint{
			{Name: "power", Unit: "W", Type: sparkplug.Double, Last: FieldSample{Value: 231.5, Quality: QualityGood, Time: began}},
			{Name: "relay", Type: sparkplug.Boolean, Set: "field/meter/relay/set"},
			{Name: "count", Type: sparkplug.Int64, Last: FieldSample{Quality: QualityBad, Reason: "exception 2", Time: began}},
			{Name: "mode"},
		}},
		{Name: "pump", Points: []FieldPoint{{Name: "speed", Last: FieldSample{Value: int64(7), Quality: QualityGood, Time: began}}}},
	}}
}

func (p *plant) Filter() string { return "field/+/+" }

func (p *plant) Locate(topic string) (device, point string, status, ok bool) {
	levels := strings.Split(topic, "/")
	if len(levels) != 3 {
		return "", "", false, false
	}
	return levels[1], levels[2], levels[2] == "status", true
}

func (p *plant) Devices() []FieldDevice {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []FieldDevice
	for _, d := range p.devices {
		d.Points = slices.Clone(d.Points)
		list = append(list, d)
	}
	return list
}

func (p *plant) Device(name string) (FieldDevice, bool) {
	list := p.Devices()
	i := slices.IndexFunc(list, func(d FieldDevice) bool { return d.Name == name })
	if i < 0 {
		return FieldDevice{}, false
	}
	return list[i], true
}

// set changes a device.
func (p *plant) set(name string, change func(*FieldDevice)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.devices {
		if p.devices[i].Name == name {
			change(&p.devices[i])
		}
	}
}

// nodeConfig is that of an edge node N of the group G.
func nodeConfig(address string, p *plant) Config {
	return Config{
		Name: "spark", GatewayID: "gw", URL: "mqtt://" + address, MaxBackoff: 100 * time.Millisecond,
		Sparkplug: Sparkplug{GroupID: "G", EdgeNodeID: "N", Field: p},
	}
}

// quick has fences soon.
func quick(b *Bridge) { b.cfg.KeepAlive = time.Second }

// reading is a value as the gateway publishes it, some seconds after began.
func reading(value any, after int) string {
	return fmt.Sprintf(`{"value":%v,"time":%q,"quality":"good"}`, value, began.Add(time.Duration(after)*time.Second).Format(time.RFC3339Nano))
}

// said is a message of an edge node.
type said struct {
	topic string
	packet.Publish
	*sparkplug.Payload
}

// expectNode reads the next message, of this kind: "NBIRTH/N", "DDATA/N/meter".
func (c *conn) expectNode(want string) said {
	c.t.Helper()
	p := c.expectPublish()
	payload, err := sparkplug.Decode(p.Payload)
	if err != nil {
		c.t.Fatal(err)
	}
	if got := string(p.Topic); got != "spBv1.0/G/"+want {
		c.t.Fatalf("got %s %s, want %s", got, list(payload), want)
	}
	return said{string(p.Topic), *p, payload}
}

// list says what is in a payload, a metric a part:
//
//	power#1=231.5@0 count#3:Int64=null@0{Quality:0}
func list(p *sparkplug.Payload) string {
	var parts []string
	for i := range p.Metrics {
		m := &p.Metrics[i]
		s := m.Name
		if m.HasAlias {
			s += fmt.Sprint("#", m.Alias)
		}
		if m.DataType != 0 {
			s += ":" + m.DataType.String()
		}
		s += "=" + valueText(m)
		if at := m.Timestamp.Sub(began); at >= 0 && at < time.Hour {
			s += fmt.Sprint("@", at.Seconds())
		}
		if m.Historical {
			s += "!"
		}
		for _, p := range m.Properties {
			if p.Key == "Quality" {
				v, _ := p.Value.As(sparkplug.Int32)
				s += fmt.Sprintf("{%v}", v)
			}
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, " ")
}

func valueText(m *sparkplug.Metric) string {
	if m.Null {
		return "null"
	}
	t := m.DataType
	if t == 0 {
		t = sparkplug.Double
		for _, try := range []sparkplug.DataType{sparkplug.Boolean, sparkplug.String} {
			if _, err := m.Value.As(try); err == nil {
				t = try
			}
		}
	}
	v, err := m.Value.As(t)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(v)
}

// greet accepts an edge node and grants its subscriptions.
func (u *upstream) greet() *conn {
	u.t.Helper()
	c := u.welcome(nil)
	c.grant(2)
	return c
}

func (c *conn) grant(n int) (filters []string) {
	c.t.Helper()
	for range n {
		s := c.expectSubscribe()
		if s.Subscriptions[0].QoS != 1 {
			c.t.Errorf("SUBSCRIBE to %s at QoS %d", s.Subscriptions[0].Filter, s.Subscriptions[0].QoS)
		}
		filters = append(filters, string(s.Subscriptions[0].Filter))
		c.suback(s.PacketID, 1)
	}
	return filters
}

// births passes over the births of newPlant.
func (c *conn) births() said {
	c.t.Helper()
	b := c.expectNode("NBIRTH/N")
	c.expectNode("DBIRTH/N/meter")
	return b
}

func bdSeq(t *testing.T, payload []byte) int64 {
	t.Helper()
	p, err := sparkplug.Decode(payload)
	if err != nil || p.HasSeq || len(p.Metrics) != 1 && p.Metrics[0].Name != "bdSeq" {
		t.Fatalf("%v, %+v", err, p)
	}
	v, err := p.Metrics[0].Value.As(sparkplug.Int64)
	if err != nil || p.Metrics[0].DataType != sparkplug.Int64 {
		t.Fatal(err)
	}
	return v.(int64)
}

func TestAnEdgeNodeConnectsWithItsDeathAsTheWillAndSubscribesBeforeItsBirth(t *testing.T) {
	t.Parallel()
	for _, version := range []string{version5, version311} {
		u := listenUpstream(t)
		cfg := nodeConfig(u.addr, newPlant())
		cfg.Version = version
		start(t, cfg, newMemory(t))
		for want := range int64(3) {
			c := u.welcome(nil)
			p := &c.connect
			if !p.CleanStart || p.Properties.SessionExpiry != 0 || !p.HasWill {
				t.Errorf("CONNECT: %+v", p)
			}
			if w := p.Will; string(w.Topic) != "spBv1.0/G/NDEATH/N" || w.QoS != 1 || w.Retain || bdSeq(t, w.Payload) != want {
				t.Errorf("will: %s at QoS %d, retain %v, bdSeq %d, want %d", w.Topic, w.QoS, w.Retain, bdSeq(t, w.Payload), want)
			}
			if got := c.grant(2); !slices.Equal(got, []string{"spBv1.0/G/NCMD/N", "spBv1.0/G/DCMD/N/+"}) {
				t.Errorf("subscribed to %q", got)
			}
			b := c.expectNode("NBIRTH/N")
			if got := list(b.Payload); got != fmt.Sprintf("bdSeq:Int64=%d Node Control/Rebirth:Boolean=false Properties/Software:String=headgate Backlog/Minutes#50001:UInt64=0", want) {
				t.Errorf("NBIRTH: %s", got)
			}
			if b.QoS != 0 || b.Retain || !b.HasSeq || b.Seq != 0 || b.Payload.Timestamp.IsZero() || b.Metrics[0].Timestamp.IsZero() {
				t.Errorf("NBIRTH: %+v", b)
			}
			c.net.Close()
		}
	}
}

func TestABirthHasAllThatIsKnownOfADeviceThatIsOnline(t *testing.T) {
	t.Parallel()
	u := listenUpstream(t)
	start(t, nodeConfig(u.addr, newPlant()), newMemory(t))
	c := u.greet()
	c.expectNode("NBIRTH/N")
	d := c.expectNode("DBIRTH/N/meter")
	if got, want := list(d.Payload), "Properties/Manufacturer#5:String=Acme power#1:Double=231.5@0 relay#2:Boolean=null{500} count#3:Int64=null@0{0}"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if d.Seq != 1 || d.QoS != 0 || d.Retain || d.Payload.Timestamp.IsZero() {
		t.Errorf("%+v", d)
	}
	var properties []string
	for _, p := range d.Metrics[1].Properties {
		properties = append(properties, p.Key+":"+p.DataType.String())
	}
	if got := strings.Join(properties, " "); got != "readOnly:Boolean engUnit:String" {
		t.Errorf("properties: %s", got)
	}
	c.expectNothing("the pump is offline")
}

func TestDataGoesByAliasWithTheTimeOfItsMeasurementAndBySequence(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	start(t, nodeConfig(u.addr, newPlant()), src)
	c := u.greet()
	c.births()
	src.put("field/meter/power", reading(231.5, 0)) // is in the birth
	src.put("field/meter/power", reading(231.5, 1)) // says nothing new
	for i := 2; i < 600; i++ {
		src.put("field/meter/power", reading(i, i))
		d := c.expectNode("DDATA/N/meter")
		if got, want := list(d.Payload), fmt.Sprintf("#1=%d@%d", i, i); got != want || d.Seq != uint64(i)%256 || d.QoS != 0 || d.Retain {
			t.Fatalf("got %s with sequence number %d, want %s", got, d.Seq, want)
		}
	}
	src.put("field/meter/power", `{"value":null,"time":"2026-11-28T12:20:00Z","quality":"bad","reason":"no answer"}`)
	if got := list(c.expectNode("DDATA/N/meter").Payload); got != "#1=null@1200{0}" {
		t.Errorf("got %s", got)
	}
	src.put("field/meter/power", `{"value":5,"time":"2026-11-28T12:21:00Z","quality":"stale","reason":"old"}`)
	if got := list(c.expectNode("DDATA/N/meter").Payload); got != "#1=5@1260{500}" {
		t.Errorf("got %s", got)
	}
}

func TestWhatWasMeasuredBeforeTheBirthIsHistorical(t *testing.T) {
	t.Parallel()
	u, src, p := listenUpstream(t), newMemory(t), newPlant()
	p.set("meter", func(d *FieldDevice) { d.Points[0].Last.Time = began.Add(10 * time.Second) })
	src.put("field/meter/power", reading(1, 1), reading(2, 2))
	src.put("field/meter/status", `{"status":"offline"}`) // it was, then
	src.put("field/meter/power", reading(231.5, 10))      // is in the birth
	start(t, nodeConfig(u.addr, p), src, quick)
	c := u.greet()
	c.births()
	if got := list(c.expectNode("DDATA/N/meter").Payload); got != "#1=1@1! #1=2@2!" {
		t.Errorf("got %s", got)
	}
	// What comes now, and is older than the birth, was on its way when that was made.
	src.put("field/meter/power", reading(3, 9))
	if got := list(c.expectNode("DDATA/N/meter").Payload); got != "#1=3@9!" {
		t.Errorf("got %s", got)
	}
	src.put("field/meter/power", reading(4, 11))
	if got := list(c.expectNode("DDATA/N/meter").Payload); got != "#1=4@11" {
		t.Errorf("got %s", got)
	}
	// The clock was set back by eight seconds: it is the present value all the same.
	p.set("meter", func(d *FieldDevice) { d.Points[0].Last.Time = began.Add(3 * time.Second) })
	src.put("field/meter/power", reading(5, 3))
	if got := list(c.expectNode("DDATA/N/meter").Payload); got != "#1=5@3" {
		t.Errorf("got %s", got)
	}
	c.expect(packet.PINGREQ)
	c.send(packet.AppendPingresp(nil))
	for src.left() > 0 {
		c.expect(packet.PINGREQ)
		c.send(packet.AppendPingresp(nil))
	}
}

func TestAMessageIsLetGoOnlyWhenThePingBehindItIsAnswered(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	b := start(t, nodeConfig(u.addr, newPlant()), src, quick)
	c := u.greet()
	c.births()
	src.put("field/meter/power", reading(1, 1), reading(2, 2))
	var got []string
	for len(got) < 2 {
		got = append(got, strings.Fields(list(c.expectNode("DDATA/N/meter").Payload))...)
	}
	c.expect(packet.PINGREQ)
	if src.left() != 2 || b.Stats().InFlight != 2 {
		t.Errorf("%d left, %d in flight: let go before PINGRESP", src.left(), b.Stats().InFlight)
	}
	c.net.Close() // the upstream may have read nothing

	c = u.greet()
	c.births()
	if got := list(c.expectNode("DDATA/N/meter").Payload); got != "#1=1@1! #1=2@2!" {
		t.Errorf("after the reconnect: %s", got)
	}
	c.expect(packet.PINGREQ)
	c.send(packet.AppendPingresp(nil))
	eventually(t, "let go", func() bool { return src.left() == 0 })
	if st := b.Stats(); st.Forwarded != 2 || len(st.GivenUp) != 0 {
		t.Errorf("stats: %+v", st)
	}
}

func TestADeviceIsBornWhenItComesAndDiesWhenItGoes(t *testing.T) {
	t.Parallel()
	u, src, p := listenUpstream(t), newMemory(t), newPlant()
	start(t, nodeConfig(u.addr, p), src)
	c := u.greet()
	c.births()
	p.set("pump", func(d *FieldDevice) { d.Online = true })
	src.put("field/pump/status", `{"status":"online"}`)
	if d := c.expectNode("DBIRTH/N/pump"); list(d.Payload) != "speed#6:Double=7@0" || d.Seq != 2 {
		t.Errorf("got %s, sequence number %d", list(d.Payload), d.Seq)
	}
	p.set("pump", func(d *FieldDevice) { d.Online = false })
	src.put("field/pump/status", `{"status":"offline"}`)
	src.put("field/pump/speed", `{"value":null,"quality":"bad","reason":"no answer"}`) // its death says it
	if d := c.expectNode("DDEATH/N/pump"); len(d.Metrics) != 0 || d.Seq != 3 || d.Payload.Timestamp.IsZero() {
		t.Errorf("DDEATH: %+v", d)
	}
	c.expectNothing("the pump is dead")
	p.set("pump", func(d *FieldDevice) { d.Online = true })
	src.put("field/pump/status", `{"status":"online"}`)
	if d := c.expectNode("DBIRTH/N/pump"); d.Metrics[0].Alias != 6 || d.Seq != 4 {
		t.Errorf("born again as %s, sequence number %d", list(d.Payload), d.Seq)
	}
}

func TestADeviceThatIsOfflineIsBornToTellItsBacklog(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.put("field/pump/speed", reading(1, -9), reading(2, -8))
	src.put("field/gone/level", reading(3, 1)) // of a device that is none of the gateway's any more
	start(t, nodeConfig(u.addr, newPlant()), src)
	c := u.greet()
	c.births()
	c.expectNode("DBIRTH/N/pump")
	if got := list(c.expectNode("DDATA/N/pump").Payload); got != "#6=1! #6=2!" {
		t.Errorf("got %s", got)
	}
	if got := list(c.expectNode("DBIRTH/N/gone").Payload); !strings.HasPrefix(got, "level#7:Double=null") {
		t.Errorf("got %s", got)
	}
	if got := list(c.expectNode("DDATA/N/gone").Payload); got != "#7=3@1!" {
		t.Errorf("got %s", got)
	}
	dead := []string{string(c.expectPublish().Topic), string(c.expectPublish().Topic)}
	slices.Sort(dead)
	if !slices.Equal(dead, []string{"spBv1.0/G/DDEATH/N/gone", "spBv1.0/G/DDEATH/N/pump"}) {
		t.Errorf("then: %q", dead)
	}
}

func TestAMetricThatShowsAnotherTypeHasItsDeviceBornAgain(t *testing.T) {
	t.Parallel()
	u, src, p := listenUpstream(t), newMemory(t), newPlant()
	start(t, nodeConfig(u.addr, p), src)
	c := u.greet()
	c.births()
	p.set("meter", func(d *FieldDevice) {
		d.Points[3].Last = FieldSample{Value: "auto", Quality: QualityGood, Time: began}
	})
	src.put("field/meter/mode", reading(`"auto"`, 0))
	if got := list(c.expectNode("DBIRTH/N/meter").Payload); !strings.HasSuffix(got, "mode#4:String=auto@0") {
		t.Errorf("got %s", got)
	}
	src.put("field/meter/mode", reading(17, 1)) // an enum that has no text for it
	if got := list(c.expectNode("DDATA/N/meter").Payload); got != "#4=17@1" {
		t.Errorf("got %s", got)
	}
	src.put("field/meter/count", reading(1.5, 2)) // is described as a whole number
	c.expectNode("DBIRTH/N/meter")
	if got := list(c.expectNode("DDATA/N/meter").Payload); got != "#3=1.5@2" {
		t.Errorf("got %s", got)
	}
	src.put("field/meter/count", reading(2, 3))
	if got := list(c.expectNode("DDATA/N/meter").Payload); got != "#3=2@3" {
		t.Errorf("got %s", got)
	}
}

func TestWhatIsNoValueIsGivenUp(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	b := start(t, nodeConfig(u.addr, newPlant()), src, quick)
	c := u.greet()
	c.births()
	for _, payload := range []string{"", "hello", "{", `{"on":true}`, `{"value":[1]}`, "[1]", "nul", "1.5.2", "null"} {
		src.put("field/meter/power", payload)
	}
	src.put("other/topic", "1")
	src.put("field/meter/power", "42")
	if got := list(c.expectNode("DDATA/N/meter").Payload); got != "#1=42" {
		t.Errorf("got %s", got)
	}
	c.expect(packet.PINGREQ)
	c.send(packet.AppendPingresp(nil))
	eventually(t, "all let go", func() bool { return src.left() == 0 })
	if got := b.Stats().GivenUp; got["it is no value of a device in the gateway's JSON"] != 9 || got["it is no value of a device"] != 1 {
		t.Errorf("given up: %v", got)
	}
}

func TestAnEdgeNodeSaysNDeathBeforeItDisconnects(t *testing.T) {
	t.Parallel()
	for _, version := range []string{version5, version311} {
		u, src := listenUpstream(t), newMemory(t)
		cfg := nodeConfig(u.addr, newPlant())
		cfg.Version = version
		b := start(t, cfg, src)
		c := u.greet()
		c.births()
		src.put("field/meter/power", reading(1, 1))
		c.expectNode("DDATA/N/meter")
		ended := make(chan struct{})
		go func() { defer close(ended); b.stop() }()
		c.expect(packet.PINGREQ)
		c.send(packet.AppendPingresp(nil))
		p := c.expectPublish()
		if string(p.Topic) != "spBv1.0/G/NDEATH/N" || p.QoS != 1 || p.Retain || bdSeq(t, p.Payload) != 0 {
			t.Errorf("got %s at QoS %d", p.Topic, p.QoS)
		}
		c.expect(packet.DISCONNECT)
		c.net.Close()
		<-ended
		if src.left() != 0 {
			t.Error("what the upstream had was not let go")
		}
	}
}
