package bridge

import (
	"slices"
	"strings"
	"testing"

	"headgate/broker/packet"
)

// down starts a bridge and takes its connection and its subscription.
func down(t *testing.T, src *memory, change func(*packet.Connack)) (*running, *conn) {
	t.Helper()
	u := listenUpstream(t)
	b := start(t, withDown(config(u.addr)), src)
	c := u.welcome(change)
	s := c.expectSubscribe()
	c.suback(s.PacketID, packet.GrantedQoS2)
	return b, c
}

func queuedMark(m Message) string {
	var marks []string
	for _, u := range m.Properties.User {
		if string(u.Key) == QueuedProperty {
			marks = append(marks, string(u.Value))
		}
	}
	return strings.Join(marks, " ")
}

func TestTheDownFiltersAreAskedForWithoutEchoAndWithoutOldValuesAtEachReconnect(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.put("field/a", "1")
	start(t, withDown(config(u.addr)), src)
	c := u.welcome(nil)
	sub := c.expectSubscribe()
	if len(sub.Subscriptions) != 1 {
		t.Fatalf("got %+v", sub)
	}
	s := sub.Subscriptions[0]
	if string(s.Filter) != "plant/cmd/#" || s.QoS != 2 || !s.NoLocal || !s.RetainAsPublished || s.RetainHandling != 1 {
		t.Errorf("got %+v", s)
	}
	if p := c.expectPublish(); p.PacketID == sub.PacketID {
		t.Errorf("SUBSCRIBE and PUBLISH both have identifier %d", p.PacketID)
	}
}

func TestAMessageComesDownAndIsAcknowledgedOnlyWhenItIsDurable(t *testing.T) {
	t.Parallel()
	src := newMemory(t)
	b, c := down(t, src, nil)
	src.holdCommits(true)
	p := packet.Publish{Topic: []byte("plant/cmd/relay/set"), QoS: 1, PacketID: 7, Payload: []byte("on"), Retain: true}
	p.Properties.ResponseTopic = []byte("answers")
	p.Properties.Set(packet.PropResponseTopic)
	c.publish(p)
	c.expectNothing("the message is not durable")
	src.holdCommits(false)
	if a := c.expectAck(packet.PUBACK); a.PacketID != 7 || a.Reason != 0 {
		t.Errorf("got %+v", a)
	}
	m := src.received()[0]
	if m.Topic != "field/relay/set" || string(m.Payload) != "on" || m.QoS != 1 || !m.Retain || string(m.Properties.ResponseTopic) != "answers" {
		t.Errorf("got %+v", m)
	}
	if b.Stats().Received != 1 {
		t.Errorf("stats: %+v", b.Stats())
	}
}

func TestAQoS2MessageComesDownOnce(t *testing.T) {
	t.Parallel()
	src := newMemory(t)
	_, c := down(t, src, resumed)
	p := packet.Publish{Topic: []byte("plant/cmd/a"), QoS: 2, PacketID: 9, Payload: []byte("x")}
	c.publish(p)
	c.expectAck(packet.PUBREC)
	p.Dup = true
	c.publish(p)
	c.expectAck(packet.PUBREC)
	src.holdCommits(true)
	c.ack(packet.PUBREL, 9, 0)
	c.expectNothing("the release is not durable")
	src.holdCommits(false)
	if a := c.expectAck(packet.PUBCOMP); a.PacketID != 9 {
		t.Errorf("got %+v", a)
	}
	if n := len(src.received()); n != 1 {
		t.Errorf("routed %d times", n)
	}
}

func TestANewSessionUpstreamForgetsTheIdentifiersOfTheOld(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	start(t, withDown(config(u.addr)), src)
	for i, change := range []func(*packet.Connack){nil, resumed, nil} {
		c := u.welcome(change)
		c.expectSubscribe()
		c.publish(packet.Publish{Topic: []byte("plant/cmd/a"), QoS: 2, PacketID: 9, Dup: i > 0, Payload: []byte("x")})
		c.expectAck(packet.PUBREC)
		c.net.Close()
	}
	if n := len(src.received()); n != 2 {
		t.Errorf("routed %d times, want 2: once a session", n)
	}
}

func TestAnswersGoInTheOrderOfTheMessages(t *testing.T) {
	t.Parallel()
	src := newMemory(t)
	_, c := down(t, src, nil)
	src.holdCommits(true)
	c.publish(packet.Publish{Topic: []byte("plant/cmd/a"), QoS: 1, PacketID: 1})
	c.publish(packet.Publish{Topic: []byte("elsewhere"), QoS: 1, PacketID: 2}) // answered at once
	c.publish(packet.Publish{Topic: []byte("plant/cmd/a"), QoS: 2, PacketID: 3})
	c.publish(packet.Publish{Topic: []byte("plant/cmd/a"), QoS: 0})
	c.expectNothing("the first is not durable")
	src.holdCommits(false)
	c.expectAck(packet.PUBACK)
	if a := c.expectAck(packet.PUBACK); a.PacketID != 2 {
		t.Errorf("second answer to %d", a.PacketID)
	}
	c.expectAck(packet.PUBREC)
	eventually(t, "three are routed", func() bool { return len(src.received()) == 3 })
}

func TestAMessageThatFitsNoPrefixIsAcknowledgedAndLoggedOnce(t *testing.T) {
	t.Parallel()
	src := newMemory(t)
	b, c := down(t, src, nil)
	for id := range uint16(3) {
		c.publish(packet.Publish{Topic: []byte("plant/other"), QoS: 1, PacketID: id + 1})
		c.expectAck(packet.PUBACK)
	}
	if n := len(src.received()); n != 0 || b.Stats().Unmapped != 3 || b.log.lines("fits no [[bridge.down]]") != 1 {
		t.Errorf("routed %d, counted %d, logged %d times", n, b.Stats().Unmapped, b.log.lines("fits no [[bridge.down]]"))
	}
}

func TestWhatMayHaveWaitedUpstreamIsMarked(t *testing.T) {
	t.Parallel()
	forged := []packet.UserProperty{{Key: []byte(QueuedProperty), Value: []byte("0")}, {Key: []byte("k"), Value: []byte("v")}}
	for _, test := range []struct {
		name    string
		session func(*packet.Connack)
		publish packet.Publish
		want    string
	}{
		{"a resumed session", resumed, packet.Publish{}, "1"},
		{"a new session", nil, packet.Publish{}, ""},
		{"a retained message in a new session", nil, packet.Publish{Retain: true}, "1"},
		{"a redelivery", nil, packet.Publish{Dup: true}, "1"},
		{"a mark from outside", nil, packet.Publish{Properties: packet.Properties{User: forged}}, ""},
		{"a mark from outside in a resumed session", resumed, packet.Publish{Properties: packet.Properties{User: forged}}, "1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			src := newMemory(t)
			_, c := down(t, src, test.session)
			p := test.publish
			p.Topic, p.QoS, p.PacketID = []byte("plant/cmd/a"), 1, 1
			c.publish(p)
			c.expectAck(packet.PUBACK)
			m := src.received()[0]
			if got := queuedMark(m); got != test.want {
				t.Errorf("mark %q, want %q", got, test.want)
			}
			if others := slices.ContainsFunc(m.Properties.User, func(u packet.UserProperty) bool { return string(u.Key) == "k" }); others != (len(p.Properties.User) > 0) {
				t.Errorf("other user properties: %+v", m.Properties.User)
			}
		})
	}
}

func TestARefusedFilterIsNamedAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	cfg := withDown(config(u.addr))
	cfg.Down = append(cfg.Down, Down{Filter: "news"})
	b := start(t, cfg, src)
	c := u.welcome(nil)
	first, second := c.expectSubscribe(), c.expectSubscribe()
	if first.PacketID == second.PacketID {
		t.Errorf("two SUBSCRIBEs with identifier %d", first.PacketID)
	}
	c.suback(first.PacketID, packet.NotAuthorized)
	c.suback(second.PacketID, packet.GrantedQoS1)
	c.publish(packet.Publish{Topic: []byte("news"), QoS: 1, PacketID: 1})
	c.expectAck(packet.PUBACK)
	if got := b.Stats().RefusedFilters; !slices.Equal(got, []string{"plant/cmd/#"}) {
		t.Errorf("refused filters: %v", got)
	}
	if b.log.lines(`topic=plant/cmd/# reason="not authorized"`) != 1 {
		t.Error("the log does not name the filter")
	}
}

func TestAFilterThatTheUpstreamCannotDoIsNotAskedFor(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	cfg := withDown(config(u.addr))
	cfg.Down = append(cfg.Down, Down{Filter: "news"})
	b := start(t, cfg, src)
	c := u.welcome(func(a *packet.Connack) { a.Properties.Set(packet.PropWildcardSubAvailable) })
	if s := c.expectSubscribe(); string(s.Subscriptions[0].Filter) != "news" {
		t.Errorf("asked for %s", s.Subscriptions[0].Filter)
	}
	if got := b.Stats().RefusedFilters; !slices.Equal(got, []string{"plant/cmd/#"}) {
		t.Errorf("refused filters: %v", got)
	}
}

func TestWhatTheLocalBrokerDoesNotTakeIsTriedAgainInOrderAndNotAcknowledgedBefore(t *testing.T) {
	t.Parallel()
	src := newMemory(t)
	src.refuse = func(Message) error { return errFull }
	b, c := down(t, src, nil)
	for id := range uint16(3) {
		c.publish(packet.Publish{Topic: []byte("plant/cmd/a"), QoS: 1, PacketID: id + 1, Payload: []byte{'1' + byte(id)}})
	}
	c.expectNothing("the local broker is full")
	src.mu.Lock()
	src.refuse = nil
	src.mu.Unlock()
	for id := range uint16(3) {
		if a := c.expectAck(packet.PUBACK); a.PacketID != id+1 {
			t.Errorf("got %d, want %d", a.PacketID, id+1)
		}
	}
	var got string
	for _, m := range src.received() {
		got += string(m.Payload)
	}
	if got != "123" {
		t.Errorf("order %s", got)
	}
	if b.log.lines("the store is full") != 1 || b.Stats().Reconnects != 0 {
		t.Errorf("logged %d times, %d reconnects", b.log.lines("the store is full"), b.Stats().Reconnects)
	}
}

func TestAMessageTooLargeIsAnsweredSoThatItDoesNotComeForEver(t *testing.T) {
	t.Parallel()
	src := newMemory(t)
	b, c := down(t, src, nil)
	c.publish(packet.Publish{Topic: []byte("plant/cmd/big"), QoS: 1, PacketID: 5, Payload: make([]byte, maxIncoming)})
	if a := c.expectAck(packet.PUBACK); a.PacketID != 5 || a.Reason != packet.ImplementationSpecificError {
		t.Errorf("got %+v", a)
	}
	c.publish(packet.Publish{Topic: []byte("plant/cmd/fits"), QoS: 1, PacketID: 6, Payload: make([]byte, maxIncoming-100)})
	c.expectAck(packet.PUBACK)
	if n := len(src.received()); n != 1 || b.Stats().TooLarge != 1 {
		t.Errorf("routed %d, too large %d", n, b.Stats().TooLarge)
	}
}

func TestAnUpstreamThatFloodsIsReadOnlyAsFastAsTheLocalBrokerTakesIt(t *testing.T) {
	t.Parallel()
	src := newMemory(t)
	b, c := down(t, src, nil)
	src.holdCommits(true)
	const n = maxArrived + 5000
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		var buf []byte
		for range n {
			p := packet.Publish{Topic: []byte("plant/cmd/a"), QoS: 0, Payload: []byte("x")}
			buf = p.Append(buf, c.v)
		}
		c.send(buf)
	}()
	eventually(t, "the line is full", func() bool { return len(src.received()) == maxArrived })
	c.expectNothing("all is at QoS 0")
	if got := len(src.received()); got != maxArrived {
		t.Errorf("%d taken, want %d", got, maxArrived)
	}
	src.holdCommits(false)
	eventually(t, "all are taken", func() bool { return b.Stats().Received == n })
	<-sent
}
