package bridge

import (
	"context"
	"time"

	"headgate/bridge/sparkplug"
	"headgate/broker/packet"
)

const (
	maxDataMetrics = 500      // of one DDATA
	maxDataBytes   = 16 << 10 // of one, about

	// leastBetween is between two births that a host asks for.
	leastBetween = time.Second

	// lookEvery is how often the states of the devices are looked at while the backlog
	// goes, in which what changes them stands far behind.
	lookEvery = time.Second
)

// node is the edge node in one connection. It belongs to the drain goroutine.
type node struct {
	*drainer
	edge    *edgeNode
	field   Field
	seq     uint64 // of the next message
	devices map[string]*nodeDevice
	data    nodeData
	born    time.Time // the last NBIRTH
	looked  time.Time // at the states of all devices
}

// nodeData is what goes into the next DDATA.
type nodeData struct {
	device   *nodeDevice
	metrics  []sparkplug.Metric
	messages []Outgoing // of these metrics, without what they hold
	bytes    int
	replay   bool
}

// drainNode is drain of an edge node.
func (s *session) drainNode(ctx context.Context) error {
	d := &drainer{session: s, pace: s.b.pace}
	n := &node{drainer: d, edge: s.b.edge, field: s.b.edge.cfg.Field}
	s.src.Rewind()
	defer s.src.Live(false)
	s.subscribe(0)
	if !n.awaitHost(ctx) {
		return nil
	}
	d.paused()
	if !n.births(ctx) {
		return nil
	}
	defer n.flush()
	for ctx.Err() == nil {
		n.mu.Lock()
		again, news := n.rebirthDue(), n.news
		n.mu.Unlock()
		switch {
		case again && !n.births(ctx):
			return nil
		case news:
			n.tellNode()
		}
		if !n.roomNow() {
			n.flush()
			s.fence()
			if !d.room(ctx) {
				return nil
			}
		}
		o, ok, err := n.next(ctx)
		if err != nil {
			return err
		}
		if ok && !n.take(ctx, &o) {
			return nil
		}
		n.look(ctx, false)
	}
	return nil
}

// awaitHost waits until the primary host is online, if there is one. False when ctx
// ended. [tck-id-message-flow-edge-node-birth-publish-phid-wait]
func (n *node) awaitHost(ctx context.Context) bool {
	if n.edge.cfg.PrimaryHostID == "" {
		return ctx.Err() == nil
	}
	var patience time.Duration
	if len(n.b.endpoints) > 1 {
		patience = n.b.cfg.ConnectTimeout
	}
	defer n.edge.awaits.Store(false)
	began := time.Now()
	for {
		n.mu.Lock()
		online := n.hostOnline
		n.mu.Unlock()
		if online {
			return ctx.Err() == nil
		}
		if !n.edge.awaits.Swap(true) {
			n.b.log.Info("edge node waits for its primary host", "reason", n.edge.held())
		}
		if patience > 0 && time.Since(began) >= patience {
			n.part(errHostElsewhere)
			patience = 0
		}
		if !waitFor(ctx, n.wakeDrain, patience) {
			return false
		}
	}
}

// nodeDue says that the node itself has something to say. The mutex is held.
func (s *session) nodeDue() bool { return s.rebirthDue() || s.news }

// rebirthDue says that a host wants the births again, and that it is time for them.
// The mutex is held.
func (s *session) rebirthDue() bool {
	return s.rebirth && time.Since(s.bornAt) >= leastBetween
}

// roomNow says whether room would not wait.
func (n *node) roomNow() bool {
	if n.drainer.paused() || n.pace.all.wait() > 0 {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.flight.full() && !n.flight.spanned() && len(n.out) < highWater && len(n.fences.behind) < max(1, n.flight.limit/4)
}

// next gives the next message, and sends what has been gathered before it waits.
func (n *node) next(ctx context.Context) (o Outgoing, ok bool, err error) {
	may, _ := n.pace.look()
	if n.b.cfg.Replay == ReplayLiveFirst && may {
		n.mu.Lock()
		may = n.replayRoom()
		n.mu.Unlock()
	}
	if o, ok, err = n.src.TryNext(may); ok || err != nil {
		return o, ok, err
	}
	n.flush()
	if may {
		n.look(ctx, true)
	}
	n.mu.Lock()
	full := len(n.fences.behind) >= max(1, n.flight.limit/4)
	n.mu.Unlock()
	if full {
		n.fence()
	}
	return n.drainer.next(ctx)
}

// births says everything anew: NBIRTH, and DBIRTH of each device that is online.
// Nothing else is between them. False when ctx ended.
// [tck-id-payloads-dbirth-order] [tck-id-operational-behavior-data-commands-rebirth-action-2]
func (n *node) births(ctx context.Context) bool {
	n.flush()
	n.born = time.Now()
	n.looked = n.born
	waited := n.waited()
	n.mu.Lock()
	n.rebirth, n.bornAt = false, n.born
	n.told, n.news = waited, false
	n.mu.Unlock()
	n.seq, n.devices = 0, make(map[string]*nodeDevice) // [tck-id-topics-nbirth-seq-num]
	n.publish("NBIRTH", "", n.nodeMetrics(), nil, false)
	for _, f := range n.field.Devices() {
		if !f.Online {
			continue
		}
		if !n.outRoom(ctx) {
			return false
		}
		n.birth(n.device(f.Name), f)
	}
	wake(n.wakeWrite)
	return ctx.Err() == nil
}

// nodeMetrics are those of the node itself.
// [tck-id-topics-nbirth-bdseq-included] [tck-id-topics-nbirth-rebirth-metric]
func (n *node) nodeMetrics() []sparkplug.Metric {
	off, _ := sparkplug.Of(sparkplug.Boolean, false)
	software, _ := sparkplug.Of(sparkplug.String, "headgate")
	list := []sparkplug.Metric{
		n.edge.birthMetric(),
		{Name: rebirthMetric, DataType: sparkplug.Boolean, Value: off},
		{Name: "Properties/Software", DataType: sparkplug.String, Value: software},
	}
	backlog := n.waitedMetric()
	backlog.Name, backlog.DataType = backlogMetric, sparkplug.UInt64
	list = append(list, backlog)
	for i := range list {
		list[i].Timestamp = millis(n.born)
	}
	return list
}

// waitedMetric is how old the backlog is, as the upstream is told it now.
func (n *node) waitedMetric() sparkplug.Metric {
	n.mu.Lock()
	defer n.mu.Unlock()
	v, _ := sparkplug.Of(sparkplug.UInt64, n.told)
	return sparkplug.Metric{Alias: backlogAlias, HasAlias: true, Timestamp: millis(time.Now()), Value: v}
}

// tellNode sends NDATA: what of the node has changed. [tck-id-topics-ndata-payload]
func (n *node) tellNode() {
	n.flush()
	waited := n.waited()
	n.mu.Lock()
	n.told, n.news = waited, false
	n.mu.Unlock()
	n.publish("NDATA", "", []sparkplug.Metric{n.waitedMetric()}, nil, false)
	wake(n.wakeWrite)
}

// waited gives for how many whole minutes the first of the backlog has waited.
func (s *session) waited() uint64 { return uint64(max(0, s.src.Backlog().Oldest/time.Minute)) }

// outRoom waits until more may be written. False when ctx ended.
func (n *node) outRoom(ctx context.Context) bool {
	for {
		n.mu.Lock()
		room := len(n.out) < highWater
		n.mu.Unlock()
		if room {
			return ctx.Err() == nil
		}
		wake(n.wakeWrite)
		if !waitFor(ctx, n.wakeDrain, 0) {
			return false
		}
	}
}

// device gives the device of a name, and makes it.
func (n *node) device(name string) *nodeDevice {
	d := n.devices[name]
	if d == nil {
		d = &nodeDevice{name: name, byName: make(map[string]*nodeMetric)}
		n.devices[name] = d
	}
	return d
}

// birth sends DBIRTH with all that the gateway knows of the device.
func (n *node) birth(d *nodeDevice, f FieldDevice) {
	n.flush()
	d.learn(n, f)
	now := time.Now()
	var metrics []sparkplug.Metric
	for i, what := range []string{"Properties/Manufacturer", "Properties/Model"} {
		if d.model[i] == "" {
			continue
		}
		if alias, ok := n.edge.alias(d.name, what); ok {
			v, _ := sparkplug.Of(sparkplug.String, d.model[i])
			metrics = append(metrics, sparkplug.Metric{Name: what, Alias: alias, HasAlias: true, Timestamp: millis(now), DataType: sparkplug.String, Value: v})
		}
	}
	for _, m := range d.metrics {
		if m.typ != sparkplug.Unknown {
			metrics = append(metrics, m.birth(now))
		}
	}
	d.born = true
	d.tooBig = !n.publish("DBIRTH", d.name, metrics, nil, false)
	if d.tooBig {
		if times, ok := n.b.repeats.note("birth"); ok {
			n.b.log.Warn("device cannot be announced", "device", d.name, "reason", "its DBIRTH is larger than the upstream's Maximum Packet Size", "count", times)
		}
	}
}

// death sends DDEATH. [tck-id-operational-behavior-device-ddeath]
func (n *node) death(d *nodeDevice) {
	n.flush()
	d.born = false
	if !d.tooBig {
		n.publish("DDEATH", d.name, nil, nil, false)
	}
}

// publish puts a message of the node or of a device into the buffer, with the next
// sequence number, and notes whose it is. False when the upstream takes none so
// large. [tck-id-topics-nbirth-mqtt]
func (n *node) publish(kind, device string, metrics []sparkplug.Metric, ids []uint16, replay bool) bool {
	payload := sparkplug.Payload{Timestamp: millis(time.Now()), Seq: n.seq, HasSeq: true, Metrics: metrics}
	p := packet.Publish{Topic: []byte(n.edge.topic(kind, device)), Payload: payload.Append(nil)}
	n.mu.Lock()
	before := len(n.out)
	n.out = p.Append(n.out, n.link.version)
	size := len(n.out) - before
	if size > n.link.limits.maxPacket {
		n.out = n.out[:before]
		n.mu.Unlock()
		return false
	}
	n.fences.behind = append(n.fences.behind, ids...)
	full := len(n.out) >= flushAt
	n.mu.Unlock()
	n.seq = (n.seq + 1) % 256
	n.pace.sent(size, replay)
	if full {
		wake(n.wakeWrite)
	}
	return true
}

// watchNode does what an edge node has to do now and then: a PINGREQ behind what was
// sent, and births that a host asked for too soon.
func (s *session) watchNode() {
	if s.b.edge == nil {
		return
	}
	s.fence()
	waited := s.waited()
	s.mu.Lock()
	s.news = !s.bornAt.IsZero() && waited != s.told
	due := s.nodeDue()
	s.mu.Unlock()
	if due {
		s.lookAgain()
	}
}

// sayDeath writes NDEATH before a DISCONNECT that the upstream takes as a reason not
// to publish the will. The mutex is held.
// [tck-id-operational-behavior-edge-node-intentional-disconnect-ndeath]
func (s *session) sayDeath(reason packet.ReasonCode) {
	if s.b.edge == nil || reason != packet.NormalDisconnection {
		return
	}
	// No other PUBLISH of an edge node has an identifier.
	p := packet.Publish{Topic: []byte(s.b.edge.topic("NDEATH", "")), Payload: s.b.edge.death(), QoS: 1, PacketID: 1}
	s.out = p.Append(s.out, s.link.version)
}
