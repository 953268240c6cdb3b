package bridge

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"headgate/broker/packet"
)

// drain sends what the Source gives, in its order, as far as the window and the
// buffer have room.
func (s *session) drain(ctx context.Context) error {
	if s.b.edge != nil {
		return s.drainNode(ctx)
	}
	d := &drainer{session: s, pace: s.b.pace, aliases: aliases{max: s.link.limits.aliases}}
	s.src.Rewind()
	defer s.src.Live(false)
	var o Outgoing
	var ok bool
	var err error
	if !d.paused() {
		backlog, _ := d.pace.look()
		if o, ok, err = s.src.TryNext(backlog); err != nil {
			return fmt.Errorf("read the local queue: %w", err)
		}
	}
	s.subscribe(o.PacketID)
	for {
		if ok && !d.send(ctx, &o) {
			return nil
		}
		if !d.room(ctx) {
			return nil
		}
		if d.again { // after a batch that was in its way
			d.again = false
			continue
		}
		if b := d.dueBatch(); b != nil {
			if ok = false; !d.ship(ctx, b) {
				return nil
			}
			continue
		}
		if o, ok, err = d.next(ctx); err != nil {
			return fmt.Errorf("read the local queue: %w", err)
		}
	}
}

// drainer holds the drain goroutine's own.
type drainer struct {
	*session
	pace    *pace
	live    bool // what the Source was told last
	topic   []byte
	payload []byte // of what goes up in another format
	publish packet.Publish
	aliases aliases
	open    []*batch // in the order of their first messages
	again   bool     // the message in hand has not been sent
	packer  packer
}

// paused says whether nothing may go, and has the Source know.
func (d *drainer) paused() bool {
	paused := d.pace.paused.Load()
	if d.live == paused {
		d.live = !paused
		d.src.Live(d.live)
	}
	return paused
}

// next gives the next message; ok is false when the wait for it was broken off.
func (d *drainer) next(ctx context.Context) (o Outgoing, ok bool, err error) {
	may, look := d.pace.look()
	backlog := may
	if may && d.b.cfg.Replay == ReplayLiveFirst {
		d.mu.Lock()
		backlog = d.replayRoom()
		d.mu.Unlock()
	}
	o, ok, err = d.src.TryNext(backlog)
	if emptied := backlog && !ok && err == nil; emptied || d.emptied {
		d.mu.Lock()
		d.emptied = emptied
		d.hurryEnds()
		d.mu.Unlock()
	}
	if ok || err != nil {
		return o, ok, err
	}
	wake(d.wakeWrite)
	if d.dueBatch() != nil {
		return o, false, nil
	}
	if due := d.untilDue(); due > 0 && (look == 0 || due < look) {
		look = due
	}
	// Without a refused message nothing but ctx breaks the wait off, and another
	// look at what may go.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if look > 0 {
		defer time.AfterFunc(look, stop).Stop()
	}
	d.mu.Lock()
	d.stopGet = stop
	d.awaitsRoom = may && !backlog
	again := d.flight.refused > 0 || d.nodeDue() || d.awaitsRoom && d.replayRoom()
	d.mu.Unlock()
	if now, _ := d.pace.look(); again || now != may || d.pace.paused.Load() {
		return o, false, nil
	}
	if o, err = d.src.Next(ctx, backlog); err != nil {
		if ctx.Err() != nil {
			err = nil
		}
		return o, false, err
	}
	return o, true, nil
}

// replayRoom says whether another message of the backlog may be sent. Where the live
// goes first, an eighth of what may be on its way and most of the buffer are kept
// for that: it must not wait for acknowledgements of the backlog. The mutex is held.
func (s *session) replayRoom() bool {
	if s.b.cfg.Replay != ReplayLiveFirst {
		return true
	}
	exact, window := s.link.limits.exact, s.flight.window
	return s.flight.unanswered() < max(1, window-window/8) && !s.replaySpanned() && s.flight.exact < max(1, exact-exact/8) && len(s.out) < replayWater
}

// replaySpanned says that no more of the backlog may be taken from the Source until
// something is let go, where the live goes first. The mutex is held.
func (s *session) replaySpanned() bool {
	return s.b.cfg.Replay == ReplayLiveFirst && s.flight.n >= s.flight.limit-s.flight.limit/8
}

// roomAgain ends the Next of a drain that waits for replayRoom when there is some.
// The mutex is held.
func (s *session) roomAgain() {
	if s.awaitsRoom && s.replayRoom() {
		s.awaitsRoom = false
		s.stopGet()
	}
}

// room waits until another message may be sent; false when ctx ended. After an
// upstream that was full it waits out the pause and goes back to the first
// message that it has not.
func (d *drainer) room(ctx context.Context) bool {
	for {
		paused := d.paused()
		d.mu.Lock()
		var pause time.Duration
		rewind := false
		switch {
		case paused:
		case d.flight.refused > 0:
			if pause = time.Until(d.resume); pause <= 0 && !d.flight.waiting() && d.letting == 0 {
				d.flight.clear()
				rewind = true
			}
		case !d.flight.full() && len(d.out) < highWater && (!d.flight.spanned() || len(d.open) > 0):
			if pause = d.pace.all.wait(); pause == 0 {
				d.mu.Unlock()
				return ctx.Err() == nil
			}
		}
		d.mu.Unlock()
		if rewind {
			d.src.Rewind()
			d.forget()
			continue
		}
		wake(d.wakeWrite)
		if !waitFor(ctx, d.wakeDrain, pause) {
			return false
		}
	}
}

// waitFor waits to be woken, or for d to pass where it is not 0; false when ctx
// ended.
func waitFor(ctx context.Context, woken <-chan struct{}, d time.Duration) bool {
	var timeout <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case <-woken:
	case <-timeout:
	case <-ctx.Done():
		return false
	}
	return true
}

// send puts one message into the buffer, or lets it go with a reason. False
// when ctx ended.
func (d *drainer) send(ctx context.Context, o *Outgoing) bool {
	cfg := &d.b.cfg
	if cfg.Skip != nil && cfg.Skip(o.Topic) {
		d.b.counters.skipped.Add(1)
		d.pass(o)
		return true
	}
	if o.Received && o.PacketID != 0 && d.remembered(o.PacketID) {
		return d.sendPubrel(ctx, o)
	}
	up := cfg.match(o.Topic)
	if up == nil {
		d.giveUp(o, "no [[bridge.up]] filter matches any more")
		return true
	}
	p := &d.publish
	p.PacketID = o.PacketID
	p.Properties = o.Properties
	sample := cfg.sample(up, o)
	switch why := d.translate(up, o, sample); why {
	case "":
	case nothing:
		d.b.counters.skipped.Add(1)
		d.pass(o)
		return true
	default:
		d.giveUp(o, why)
		return true
	}
	if up.collects() {
		if it, ok := d.makeItem(up, o, sample); ok {
			return d.gather(ctx, up, o, it)
		}
		if b := d.before(up, o.Replay); b != nil { // what is gathered goes first
			d.again = true
			return d.ship(ctx, b)
		}
	}
	p.QoS = min(up.qosOf(o.QoS), d.link.limits.maxQoS) // [MQTT-3.2.2-11]
	if o.PacketID == 0 || p.QoS == 0 {
		p.QoS, p.PacketID = 0, 0
	}
	p.Retain = o.Retain && up.Retain == retainKeep && d.link.limits.retain // [MQTT-3.2.2-14]
	// In a new session of the upstream it is the first attempt. [MQTT-3.3.1-1]
	p.Dup = o.Dup && d.link.present && p.QoS > 0
	p.Properties.SubscriptionIDs = nil // [MQTT-3.3.4-6]
	p.Properties.Unset(packet.PropTopicAlias)
	if o.Replay {
		p.Properties.User = append(slices.Clip(p.Properties.User), packet.UserProperty{
			Key: []byte(AgeProperty), Value: strconv.AppendInt(nil, o.Age.Milliseconds(), 10)})
	}
	return d.sendPublish(ctx, o)
}

// remembered says whether the PUBREC that the Source remembers was given by the
// session that the upstream has now.
func (s *session) remembered(packetID uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.b.upstream.lost {
		return true
	}
	_, ok := s.b.upstream.received[packetID]
	return ok
}

func (d *drainer) sendPublish(ctx context.Context, o *Outgoing) bool {
	p := &d.publish
	if !d.lockFor(ctx, o.PacketID, p.QoS) {
		return false
	}
	before := len(d.out)
	tooLarge := func() bool { return len(d.out)-before > d.link.limits.maxPacket }
	isNew := d.aliases.shorten(p)
	d.out = p.Append(d.out, d.link.version)
	if isNew && tooLarge() { // neither its alias
		p.Properties.Unset(packet.PropTopicAlias)
		d.out, isNew = p.Append(d.out[:before], d.link.version), false
	}
	if o.Replay && tooLarge() { // nor its age makes it too large
		p.Properties.User = o.Properties.User
		d.out = p.Append(d.out[:before], d.link.version)
	}
	if isNew {
		d.aliases.told(p)
	}
	if tooLarge() { // [MQTT-3.2.2-15]
		d.out = d.out[:before]
		d.mu.Unlock()
		d.giveUp(o, "larger than the upstream's Maximum Packet Size")
		return true
	}
	d.pace.sent(len(d.out)-before, o.Replay)
	switch {
	case p.QoS == 2:
		d.fly(o, sent2)
	case p.QoS == 1:
		d.fly(o, sent1)
	case o.PacketID != 0:
		d.fly(o, writing)
		d.written = append(d.written, o.PacketID)
	default:
		d.unqueued++
	}
	full := len(d.out) >= flushAt
	d.mu.Unlock()
	if full {
		wake(d.wakeWrite)
	}
	return true
}

// fly notes a message as on its way. d.mu is held.
func (d *drainer) fly(o *Outgoing, p progress) {
	if d.flight.unanswered() == 0 {
		d.lastProgress.Store(int64(d.age()))
	}
	d.flight.add(o.PacketID, p, o.Replay, o.Topic)
	d.b.counters.inFlight.Store(int64(d.flight.undone()))
}

// sendPubrel goes on with a message that the upstream has already. [MQTT-4.4.0-1]
func (d *drainer) sendPubrel(ctx context.Context, o *Outgoing) bool {
	if !d.lockFor(ctx, o.PacketID, 2) {
		return false
	}
	ack := packet.Ack{Type: packet.PUBREL, PacketID: o.PacketID}
	d.out = ack.Append(d.out, d.link.version)
	d.fly(o, released)
	d.mu.Unlock()
	return true
}

// lockFor takes d.mu at a moment when the identifier is free and one more of
// that QoS may be on its way. False, without the mutex, when ctx ended. For the
// identifier it hardly ever waits: a SUBSCRIBE has to stand unanswered while
// 65,000 messages pass.
func (d *drainer) lockFor(ctx context.Context, packetID uint16, qos byte) bool {
	for {
		d.mu.Lock()
		_, subscribing := d.subs[packetID]
		m := d.flight.get(packetID)
		free := packetID == 0 || !subscribing && (m == nil || m.progress == gathered)
		if free && (qos < 2 || d.flight.exact < d.link.limits.exact) {
			return true
		}
		d.mu.Unlock()
		wake(d.wakeWrite)
		if !waitFor(ctx, d.wakeDrain, 0) {
			return false
		}
	}
}

// giveUp lets a message go that the upstream will not get.
func (d *drainer) giveUp(o *Outgoing, reason string) {
	d.b.counters.giveUp(reason)
	if times, ok := d.b.repeats.note(reason); ok {
		d.b.log.Warn("message given up", "topic", o.Topic, "packet_id", o.PacketID, "reason", reason, "count", times)
	}
	d.pass(o)
}

// pass acknowledges a message that is not sent.
func (d *drainer) pass(o *Outgoing) {
	if o.PacketID == 0 {
		return
	}
	d.mu.Lock()
	d.flight.add(o.PacketID, done, false, "")
	d.mu.Unlock()
	d.src.Ack(o.PacketID)
}
