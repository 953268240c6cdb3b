package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"headgate/bridge/sparkplug"
	"headgate/broker/packet"
)

// rebirthMetric is by which a host asks for the births.
// [tck-id-operational-behavior-data-commands-rebirth-name]
const rebirthMetric = "Node Control/Rebirth"

// backlogMetric is the node's own: for how many whole minutes the oldest of what waits
// in the queue has waited. Its alias is behind all that points have.
const (
	backlogMetric = "Backlog/Minutes"
	backlogAlias  = maxNodeMetrics + 1
)

var (
	errHostOffline   = errors.New("the primary host went offline")
	errHostElsewhere = errors.New("the primary host is not online at this address")
)

// part ends the connection in order, for a reason. It does not wait.
func (s *session) part(why error) {
	select {
	case s.leave <- why:
	default:
	}
}

// nodeMessage takes what the upstream sends to an edge node.
func (r *reader) nodeMessage(ctx context.Context, p *packet.Publish) {
	e := r.b.edge
	last := &arrival{answer: answerTo(p.QoS), packetID: p.PacketID, size: len(p.Payload), standing: answered}
	name := string(p.Topic)
	device, isDevice := strings.CutPrefix(name, e.topic("DCMD", "")+"/")
	switch {
	case e.cfg.PrimaryHostID != "" && name == e.stateTopic():
		r.accept(ctx, last) // before the births that may follow
		r.hostState(p.Payload)
		return
	case p.Retain: // nobody knows how old it is [tck-id-topics-dcmd-mqtt]
		r.refuse(name, "it is retained")
	case name == e.topic("NCMD", ""):
		r.nodeCommand(name, p.Payload)
	case isDevice:
		for _, m := range r.deviceCommand(name, device, p.Payload) {
			r.accept(ctx, &arrival{message: m, size: len(m.Payload)})
		}
	default:
		r.b.counters.unmapped.Add(1)
	}
	r.accept(ctx, last)
}

// refuse says why a command is not carried out.
func (r *reader) refuse(name, why string) { r.refuseFor(name, why, why) }

// refuseFor has another reason than the key by which it is not said too often.
func (r *reader) refuseFor(name, key, why string) {
	r.b.counters.unmapped.Add(1)
	if times, ok := r.b.repeats.note("command " + key); ok {
		r.b.log.Warn("Sparkplug command refused", "topic", name, "reason", why, "count", times)
	}
}

// lateState is how late a STATE may come at most. One that says online and is older
// than the last by more is of a host whose clock was wrong and has been set back: else
// the node would wait until that time comes. What says offline may be the will of a
// session that lasted long, and never counts when it is older.
const lateState = 24 * time.Hour

// hostState takes STATE of the primary host. One that is older than the last does
// not count. [tck-id-message-flow-edge-node-birth-publish-phid-wait-timestamp]
// [tck-id-operational-behavior-edge-node-termination-host-offline-timestamp]
func (r *reader) hostState(payload []byte) {
	var state struct {
		Online    *bool  `json:"online"`
		Timestamp *int64 `json:"timestamp"`
	}
	e := r.b.edge
	if json.Unmarshal(payload, &state) != nil || state.Online == nil || state.Timestamp == nil {
		r.refuse(e.stateTopic(), "it is no STATE of Sparkplug 3.0")
		return
	}
	address := r.b.remote()
	last := e.states[address]
	setBack := *state.Online && *state.Timestamp < last-lateState.Milliseconds()
	if *state.Timestamp < last && !setBack {
		return
	}
	e.states[address] = *state.Timestamp
	r.mu.Lock()
	was := r.hostOnline
	if *state.Online {
		r.hostOnline = true
	}
	r.mu.Unlock()
	switch {
	case *state.Online && !was:
		r.b.log.Info("primary host is online", "remote", address)
		wake(r.wakeDrain)
	case !*state.Online && was:
		r.part(errHostOffline)
	case !*state.Online && len(r.b.endpoints) > 1:
		r.part(errHostElsewhere)
	}
}

// nodeCommand takes NCMD: the births again are all that the node can be asked for.
func (r *reader) nodeCommand(name string, payload []byte) {
	p, err := sparkplug.Decode(payload)
	if err != nil {
		r.refuseFor(name, "it cannot be read", err.Error())
		return
	}
	for i := range p.Metrics {
		m := &p.Metrics[i]
		on, err := m.Value.As(sparkplug.Boolean)
		switch {
		case m.Name != rebirthMetric:
			r.refuse(name, "the node has no such metric to write")
		case err != nil || on != true:
			r.refuse(name, rebirthMetric+" is not true")
		default:
			r.mu.Lock()
			r.rebirth = true
			r.mu.Unlock()
			r.lookAgain()
		}
	}
}

// deviceCommand gives the local commands that DCMD asks for: those of metrics that
// can be written, with values of their types.
func (r *reader) deviceCommand(name, device string, payload []byte) (commands []Message) {
	p, err := sparkplug.Decode(payload)
	if err != nil {
		r.refuseFor(name, "it cannot be read", err.Error())
		return nil
	}
	f, ok := r.b.edge.cfg.Field.Device(device)
	if !ok {
		r.refuse(name, "there is no such device")
		return nil
	}
	for i := range p.Metrics {
		m := &p.Metrics[i]
		point := r.commanded(f, m)
		switch {
		case point == nil:
			r.refuse(name, "the device has no such metric")
			continue
		case point.Set == "":
			r.refuse(name, "the metric cannot be written")
			continue
		}
		t := point.Type
		if t == sparkplug.Unknown {
			if t = m.DataType; t == sparkplug.Unknown {
				t = typeOf(point.Last.Value)
			}
		}
		v, err := m.Value.As(t)
		if err != nil || m.Null {
			r.refuse(name, "the value is none of the metric's type")
			continue
		}
		commands = append(commands, Message{Topic: point.Set, Payload: appendCommand(nil, v), QoS: 1})
	}
	return commands
}

// commanded finds the point that a metric of a command names, by its name or alias.
func (r *reader) commanded(f FieldDevice, m *sparkplug.Metric) *FieldPoint {
	for i := range f.Points {
		p := &f.Points[i]
		if m.Name == p.Name || m.Name == "" && m.HasAlias && r.b.edge.aliasOf(f.Name, p.Name) == m.Alias {
			return p
		}
	}
	return nil
}
