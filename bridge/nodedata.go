package bridge

import (
	"context"
	"encoding/json"
	"time"

	"headgate/bridge/sparkplug"
)

// take makes of a local message what it is to Sparkplug, and lets go what is
// nothing. False when ctx ended.
func (n *node) take(ctx context.Context, o *Outgoing) bool {
	if skip := n.b.cfg.Skip; skip != nil && skip(o.Topic) {
		n.b.counters.skipped.Add(1)
		n.pass(o)
		return true
	}
	device, point, status, ok := n.field.Locate(o.Topic)
	if !ok {
		n.giveUp(o, "it is no value of a device")
		return true
	}
	if !n.fly(ctx, o) {
		return false
	}
	if status {
		n.status(o, device)
		n.carried(o)
		return true
	}
	s, ok := n.sample(o, device, point)
	if !ok {
		n.drop(o, "it is no value of a device in the gateway's JSON")
		return true
	}
	n.value(o, device, point, s)
	return n.outRoom(ctx)
}

// fly notes a message as on its way, until a PINGREQ behind it is answered. False
// when ctx ended.
func (n *node) fly(ctx context.Context, o *Outgoing) bool {
	if o.PacketID == 0 {
		return ctx.Err() == nil
	}
	if !n.lockFor(ctx, o.PacketID, 0) {
		return false
	}
	n.drainer.fly(o, fenced)
	n.mu.Unlock()
	return true
}

// carried says that what stands in the buffer already tells the message.
func (n *node) carried(o *Outgoing) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if o.PacketID == 0 {
		n.b.counters.forwarded.Add(1)
		return
	}
	n.fences.behind = append(n.fences.behind, o.PacketID)
}

// drop gives a message up that is on its way already.
func (n *node) drop(o *Outgoing, reason string) {
	n.b.counters.giveUp(reason)
	if times, ok := n.b.repeats.note(reason); ok {
		n.b.log.Warn("message given up", "topic", o.Topic, "packet_id", o.PacketID, "reason", reason, "count", times)
	}
	n.carried(o)
}

// status takes the word of the gateway that a device is online or offline. What has
// waited is no news: the births said how it is.
func (n *node) status(o *Outgoing, device string) {
	var m struct {
		Status string `json:"status"`
	}
	if o.Replay || json.Unmarshal(o.Payload, &m) != nil {
		return
	}
	d := n.devices[device]
	switch {
	case m.Status == "offline" && d != nil && d.born:
		n.death(d)
	case m.Status == "online" && (d == nil || !d.born):
		if f, ok := n.field.Device(device); ok {
			n.birth(n.device(device), f)
		}
	}
}

// sample reads the payload of a value.
func (n *node) sample(o *Outgoing, device, point string) (FieldSample, bool) {
	at := time.Now().Add(-o.Age)
	if d := n.devices[device]; d != nil {
		if m := d.byName[point]; m != nil && m.typ == sparkplug.Bytes {
			return FieldSample{Value: o.Payload, Quality: QualityGood, Time: at}, true
		}
	}
	return parseSample(o.Payload, at)
}

// value puts a sample into the next DDATA of its device, which is born before if it
// has to be: a device that is offline too, for what it said while the upstream was
// away.
func (n *node) value(o *Outgoing, device, point string, s FieldSample) {
	d := n.devices[device]
	if (d == nil || !d.born) && s.Quality != QualityGood && !o.Replay {
		n.carried(o) // its death has said it
		return
	}
	if _, ok := n.edge.alias(device, point); !ok { // before anything of it is kept
		n.drop(o, "there are more metrics than an edge node keeps")
		return
	}
	d = n.device(device)
	m := d.byName[point]
	if m == nil || !m.fits(s.Value) || !d.born {
		f, ok := n.field.Device(device)
		if !ok {
			f.Name = device // it is none of the gateway's any more
		}
		d.learn(n, f)
		if m = d.metric(n, point); m == nil {
			n.drop(o, "there are more metrics than an edge node keeps")
			return
		}
		if !m.fits(s.Value) {
			m.retype(s.Value)
		}
		n.birth(d, f)
	}
	if d.tooBig {
		n.drop(o, "the DBIRTH of its device is larger than the upstream's Maximum Packet Size")
		return
	}
	how := m.tense(n, device, s, o.Replay)
	if how == told {
		n.add(d, nil, o)
		return
	}
	out := sparkplug.Metric{Alias: m.alias, HasAlias: true, Historical: how == historical} // [tck-id-payloads-alias-data-cmd-requirement]
	m.put(&out, s)
	n.add(d, &out, o)
}

// clockSetBack says that a sample seems old because the clock was set back: what the
// gateway has now is older than what was told, too.
func (n *node) clockSetBack(device string, m *nodeMetric) bool {
	f, _ := n.field.Device(device)
	for i := range f.Points {
		if p := &f.Points[i]; p.Name == m.point.Name {
			return !p.Last.Time.IsZero() && millis(p.Last.Time).Before(m.told)
		}
	}
	return false
}

// add puts a metric into the data of its device, and the message that it is of; nil
// for one that is told already.
func (n *node) add(d *nodeDevice, m *sparkplug.Metric, o *Outgoing) {
	if n.data.device != d {
		n.flush()
		n.data.device = d
	}
	n.data.messages = append(n.data.messages, Outgoing{PacketID: o.PacketID, Message: Message{Topic: o.Topic}})
	if m == nil {
		if len(n.data.messages) >= 4*maxDataMetrics {
			n.flush()
		}
		return
	}
	n.data.metrics = append(n.data.metrics, *m)
	n.data.replay = n.data.replay || o.Replay
	n.data.bytes += 32 + len(o.Payload)
	if len(n.data.metrics) >= maxDataMetrics || n.data.bytes >= min(maxDataBytes, n.link.limits.maxPacket/2) {
		n.flush()
	}
}

// flush sends DDATA with what has been gathered.
func (n *node) flush() {
	data := n.data
	n.data = nodeData{}
	if len(data.messages) == 0 {
		return
	}
	ids := make([]uint16, 0, len(data.messages))
	for i := range data.messages {
		if id := data.messages[i].PacketID; id != 0 {
			ids = append(ids, id)
		} else {
			n.b.counters.forwarded.Add(1)
		}
	}
	sent := true
	if len(data.metrics) > 0 {
		sent = n.publish("DDATA", data.device.name, data.metrics, ids, data.replay)
	} else {
		n.mu.Lock()
		n.fences.behind = append(n.fences.behind, ids...)
		n.mu.Unlock()
	}
	if !sent { // one metric at least is larger than the upstream takes
		for i := range data.messages {
			n.drop(&data.messages[i], "larger than the upstream's Maximum Packet Size")
		}
	}
	wake(n.wakeWrite)
}

// look brings the births in line with the states of the devices: at the end of the
// backlog, for those that were born to tell it, and now and then while it lasts.
func (n *node) look(ctx context.Context, ended bool) {
	n.mu.Lock()
	backlog := n.flight.replays > 0
	n.mu.Unlock()
	lent := false
	if ended {
		for _, d := range n.devices {
			lent = lent || d.born && !d.online
		}
	}
	if !lent && !(backlog && time.Since(n.looked) >= lookEvery) {
		return
	}
	n.looked = time.Now()
	online := make(map[string]bool)
	for _, f := range n.field.Devices() {
		d := n.devices[f.Name]
		if !f.Online {
			continue
		}
		online[f.Name] = true
		switch {
		case d == nil || !d.born:
			if !n.outRoom(ctx) {
				return
			}
			n.birth(n.device(f.Name), f)
		default:
			d.online = true
		}
	}
	for _, d := range n.devices {
		if d.born && !online[d.name] && (ended || d.online) {
			d.online = false
			n.death(d)
		}
	}
}
