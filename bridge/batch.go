package bridge

import (
	"context"
	"slices"
	"strconv"
	"time"

	"headgate/broker/packet"
	"headgate/gateway/format"
)

// maxOpen bounds how many are being filled at once: one for each entry of Up and
// lane, and where the samples of a read go together, one for each device.
const maxOpen = 64

// batch is a PUBLISH that is being filled with messages of the Source. These stay in
// its queue until the upstream has acknowledged the whole; after an outage they are
// given again, and may be put together otherwise. It belongs to the drain goroutine.
type batch struct {
	up     *Up
	replay bool // all of them are of the backlog, or none is
	items  []item
	ids    []uint16 // of the messages
	bytes  int      // of the payload, at most

	due time.Time     // when it goes though it is not full
	age time.Duration // of the oldest one of the backlog
	dup bool          // the first one was sent before
}

// item is what stands in a batch: a message, or all samples of a read.
type item struct {
	topic   string // upstream
	entry   []byte // as it stands in the batch; nil where samples are it
	samples []format.Sample
	retain  bool
}

// alone says that what comes with a message has no place in a batch. One that expires
// would take the others with it.
func alone(o *Outgoing) bool {
	p := &o.Properties
	return o.PacketID == 0 || len(p.User) > 0 || p.Has(packet.PropResponseTopic) || p.Has(packet.PropCorrelationData) ||
		p.Has(packet.PropContentType) || p.Has(packet.PropMessageExpiry)
}

// makeItem makes an item of a message that has been translated into d.publish; ok is false
// where it goes on its own.
func (d *drainer) makeItem(up *Up, o *Outgoing, s *format.Sample) (it item, ok bool) {
	if alone(o) || s == nil && (!up.Batch.given() || up.envelope() == lineEnvelope) {
		return it, false
	}
	p := &d.publish
	it = item{topic: string(p.Topic), retain: o.Retain && up.Retain == retainKeep && d.link.limits.retain}
	if s != nil && up.Format == format.JSONDevice {
		it.samples = []format.Sample{*s}
	} else {
		it.entry = up.envelope().appendEntry(nil, it.topic, p.Payload, it.retain, s != nil)
	}
	// What a batch would make too large for the upstream goes without one.
	return it, d.size(&it) <= d.largest(up) || up.envelope() == lineEnvelope
}

// largest is how large a batch of an entry may be to the upstream, in bytes.
func (d *drainer) largest(up *Up) int {
	most := d.link.limits.maxPacket - len(up.batchTopic) - 256
	if s := d.b.service; s != nil && s.payload > 0 {
		most = min(most, s.payload-64)
	}
	return most
}

// before gives a batch of an entry that goes before a message which goes alone, nil
// for none: of the same lane, and in order of any.
func (d *drainer) before(up *Up, replay bool) *batch {
	if b := d.openFor(up, replay, nil); b != nil || d.b.cfg.Replay != replayInOrder {
		return b
	}
	return d.openFor(up, !replay, nil)
}

// size is what an item adds to a batch, at most.
func (d *drainer) size(it *item) int {
	if it.entry == nil { // in d.publish it stands alone
		return len(d.publish.Payload) + len(it.topic) + 60
	}
	return len(it.entry) + around
}

// gather puts an item into its batch, which goes when it is full. Where it has no
// room in that one, the batch goes and d.again is set. False when ctx ended.
func (d *drainer) gather(ctx context.Context, up *Up, o *Outgoing, it item) bool {
	messages, interval, most := up.limits()
	most = min(most, d.largest(up))
	size := d.size(&it)
	b := d.openFor(up, o.Replay, &it)
	older := d.openFor(up, !o.Replay, nil)
	switch {
	case older != nil && d.b.cfg.Replay == replayInOrder: // the backlog is over, or has begun in a pause
		d.again = true
		return d.ship(ctx, older)
	case b == nil && len(d.open) >= maxOpen:
		d.again = true
		return d.ship(ctx, d.open[0])
	case b != nil && (b.bytes+size > most || !up.Batch.given() && !b.items[0].joins(&it)):
		d.again = true
		return d.ship(ctx, b)
	case b == nil:
		b = &batch{up: up, replay: o.Replay, due: time.Now().Add(interval), dup: o.Dup}
		d.open = append(d.open, b)
	}
	b.add(it, o)
	b.bytes += size
	d.mu.Lock()
	d.fly(o, gathered)
	d.mu.Unlock()
	if len(b.ids) >= messages || b.bytes >= most {
		return d.ship(ctx, b)
	}
	return true
}

// openFor finds the batch that is open for an item, nil for none.
func (d *drainer) openFor(up *Up, replay bool, it *item) *batch {
	for _, b := range d.open {
		if b.up == up && b.replay == replay && (up.Batch.given() || it == nil || b.items[0].topic == it.topic) {
			return b
		}
	}
	return nil
}

// joins says that samples are of the same read.
func (it *item) joins(other *item) bool {
	if it.samples == nil || other.samples == nil || it.topic != other.topic {
		return false
	}
	a, b := &it.samples[0], &other.samples[0]
	return a.Time.Equal(b.Time) && a.Unsynced == b.Unsynced
}

func (b *batch) add(it item, o *Outgoing) {
	b.ids = append(b.ids, o.PacketID)
	b.age = max(b.age, o.Age)
	for i := len(b.items) - 1; i >= 0 && i >= len(b.items)-maxOpen; i-- {
		if b.items[i].joins(&it) {
			b.items[i].samples = append(b.items[i].samples, it.samples...)
			return
		}
	}
	b.items = append(b.items, it)
}

// dueBatch gives a batch that is to go now, nil for none: one whose time has come,
// one of the backlog when there is no more of that or none may be taken, and the first
// one when nothing at all may be taken from the Source.
func (d *drainer) dueBatch() *batch {
	if len(d.open) == 0 {
		return nil
	}
	d.mu.Lock()
	full, replayFull := d.flight.spanned(), d.replaySpanned()
	d.mu.Unlock()
	if full {
		return d.open[0]
	}
	now := time.Now()
	for _, b := range d.open {
		if b.replay && (d.emptied || replayFull) || !now.Before(b.due) {
			return b
		}
	}
	return nil
}

// untilDue is how long until a batch is to go; 0: none is open.
func (d *drainer) untilDue() time.Duration {
	var wait time.Duration
	for _, b := range d.open {
		if left := max(time.Until(b.due), 1); wait == 0 || left < wait {
			wait = left
		}
	}
	return wait
}

// ship sends a batch. False when ctx ended.
func (d *drainer) ship(ctx context.Context, b *batch) bool {
	d.open = slices.DeleteFunc(d.open, func(o *batch) bool { return o == b })
	p := &d.publish
	*p = packet.Publish{PacketID: b.ids[0], QoS: min(b.up.qosOf(1), 1, d.link.limits.maxQoS)}
	d.fill(b)
	if why := d.b.service.refuses(p.Topic, len(p.Payload)); why != "" {
		d.giveUpAll(b, why)
		return true
	}
	if !d.lockFor(ctx, p.PacketID, p.QoS) {
		return false
	}
	before := len(d.out)
	d.out = p.Append(d.out, d.link.version)
	if len(d.out)-before > d.link.limits.maxPacket { // [MQTT-3.2.2-15]
		d.out = d.out[:before]
		d.mu.Unlock()
		d.giveUpAll(b, "larger than the upstream's Maximum Packet Size")
		return true
	}
	d.pace.sent(len(d.out)-before, b.replay)
	if d.flight.unanswered() == 0 {
		d.lastProgress.Store(int64(d.age()))
	}
	d.flight.load(b.ids, p.QoS)
	if p.QoS == 0 {
		d.written = append(d.written, b.ids...)
	}
	full := len(d.out) >= flushAt
	d.mu.Unlock()
	d.b.counters.batches.Add(1)
	if full {
		wake(d.wakeWrite)
	}
	return true
}

// fill puts topic, payload and properties of a batch into d.publish.
func (d *drainer) fill(b *batch) {
	p, up := &d.publish, b.up
	p.Dup = b.dup && d.link.present && p.QoS > 0
	if up.Batch.given() {
		kind := up.envelope()
		entries := make([][]byte, len(b.items))
		for i, it := range b.items {
			if entries[i] = it.entry; it.entry == nil {
				entries[i] = kind.appendEntry(nil, it.topic, format.AppendDevice(nil, it.samples), it.retain, true)
			}
		}
		p.Topic = append(d.topic[:0], up.batchTopic...)
		d.pack(up, kind.join(entries))
		setContentType(&p.Properties, kind.contentType(up))
	} else {
		it := &b.items[0]
		p.Topic, p.Retain = append(d.topic[:0], it.topic...), it.retain
		p.Payload = format.AppendDevice(nil, it.samples)
		setContentType(&p.Properties, up.contentType)
	}
	d.topic = p.Topic
	if b.replay {
		d.tell(AgeProperty, strconv.FormatInt(b.age.Milliseconds(), 10))
	}
}

// pack puts the payload into d.publish, compressed where it is to be. Without memory
// for that, which is the only way to fail, it goes as it is and says so.
func (d *drainer) pack(up *Up, payload []byte) {
	packed, err := d.packer.pack(up.Batch.Compression, payload)
	switch {
	case err != nil:
		d.b.log.Warn("batch not compressed", "err", err)
	case up.Batch.Compression != compressionNone:
		d.publish.Payload = packed
		d.tell("content-encoding", up.Batch.Compression)
		return
	}
	d.publish.Payload = payload
}

// tell adds a user property to d.publish.
func (d *drainer) tell(key, value string) {
	p := &d.publish.Properties
	p.User = append(slices.Clip(p.User), packet.UserProperty{Key: []byte(key), Value: []byte(value)})
}

// giveUpAll lets the messages of a batch go that the upstream will not get.
func (d *drainer) giveUpAll(b *batch, reason string) {
	for range b.ids {
		d.b.counters.giveUp(reason)
	}
	if times, ok := d.b.repeats.note(reason); ok {
		d.b.log.Warn("batch given up", "topic", string(d.publish.Topic), "reason", reason, "messages", len(b.ids), "count", times)
	}
	known, _ := d.finish(slices.Clone(b.ids), gathered)
	d.letGo(known)
}

// forget leaves the open batches: the Source gives their messages again.
func (d *drainer) forget() { d.open, d.again = nil, false }
