package bridge

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/broker/packet"
)

func TestAMessageGoesUpUnderItsRemoteNameAndIsLetGoOnlyAfterPuback(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	m := Message{Topic: "field/meter/power", Payload: []byte("231"), QoS: 0, Retain: true}
	m.Properties.ContentType = []byte("text/plain")
	m.Properties.Set(packet.PropContentType)
	m.Properties.User = []packet.UserProperty{{Key: []byte("k"), Value: []byte("v")}}
	src.add(m, true)
	b := start(t, config(u.addr), src)
	c := u.welcome(nil)
	if got := string(c.connect.ClientID); got != "headgate-gw-cloud" || c.connect.CleanStart || c.connect.KeepAlive != 60 {
		t.Errorf("CONNECT: client %q, clean start %v, keep alive %d", got, c.connect.CleanStart, c.connect.KeepAlive)
	}
	if got := c.connect.Properties.SessionExpiry; got != 30*24*3600 {
		t.Errorf("session expiry %d s", got)
	}
	p := c.expectPublish()
	if string(p.Topic) != "plant/meter/power" || p.QoS != 1 || !p.Retain || p.Dup || string(p.Payload) != "231" {
		t.Errorf("got %+v", p)
	}
	if string(p.Properties.ContentType) != "text/plain" || string(p.Properties.User[0].Key) != "k" {
		t.Errorf("properties: %+v", p.Properties)
	}
	if src.left() != 1 || b.Stats().InFlight != 1 {
		t.Errorf("before PUBACK: %d left, %d in flight, want 1 and 1", src.left(), b.Stats().InFlight)
	}
	c.ack(packet.PUBACK, p.PacketID, 0)
	eventually(t, "let go", func() bool { return src.left() == 0 })
	if st := b.Stats(); st.Forwarded != 1 || st.State != Connected || st.Version != "5" || st.InFlight != 0 {
		t.Errorf("stats: %+v", st)
	}
}

func TestTheQoSUpstreamIsThatOfTheFirstFilterThatMatches(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	cfg := config(u.addr)
	cfg.Up = []Up{
		{Filter: "field/alarm/#", QoS: new(2)},
		{Filter: "field/fast/#", QoS: new(0), Retain: "strip"},
		{Filter: "field/#", QoS: new(1), RemotePrefix: "x/"},
	}
	for _, topic := range []string{"field/alarm/a", "field/fast/b", "field/c"} {
		src.add(Message{Topic: topic, Payload: []byte("1"), Retain: true}, true)
	}
	start(t, cfg, src)
	c := u.welcome(nil)
	for _, want := range []packet.Publish{
		{Topic: []byte("field/alarm/a"), QoS: 2, Retain: true},
		{Topic: []byte("field/fast/b"), QoS: 0, Retain: false},
		{Topic: []byte("x/field/c"), QoS: 1, Retain: true},
	} {
		p := c.expectPublish()
		if !bytes.Equal(p.Topic, want.Topic) || p.QoS != want.QoS || p.Retain != want.Retain {
			t.Errorf("got %s at QoS %d, retain %v; want %s at %d, %v", p.Topic, p.QoS, p.Retain, want.Topic, want.QoS, want.Retain)
		}
	}
	eventually(t, "the one of QoS 0 is let go when it is written", func() bool { return slices.Equal(src.ackedSoFar(), []uint16{2}) })
}

func TestAMessageThatIsNotQueuedGoesAtQoS0(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.add(Message{Topic: "field/a", Payload: []byte("1")}, false)
	b := start(t, config(u.addr), src)
	c := u.welcome(nil)
	if p := c.expectPublish(); p.QoS != 0 {
		t.Errorf("got QoS %d", p.QoS)
	}
	eventually(t, "counted", func() bool { return b.Stats().Forwarded == 1 })
	if acks := src.ackedSoFar(); len(acks) != 0 {
		t.Errorf("acknowledged %v: it has no identifier", acks)
	}
}

func TestQoS2SendsPubrelOnlyWhenThePubrecIsDurable(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.put("field/a", "1")
	start(t, withQoS(config(u.addr), 2), src)
	c := u.welcome(nil)
	id := c.expectPublish().PacketID
	src.holdCommits(true)
	c.ack(packet.PUBREC, id, 0)
	c.expectNothing("PUBREC is not durable")
	src.holdCommits(false)
	if a := c.expectAck(packet.PUBREL); a.PacketID != id {
		t.Errorf("PUBREL %d, want %d", a.PacketID, id)
	}
	if src.left() != 1 {
		t.Error("let go before PUBCOMP")
	}
	c.ack(packet.PUBCOMP, id, 0)
	eventually(t, "let go", func() bool { return src.left() == 0 })
}

func TestAfterAReconnectWhatIsUnacknowledgedComesAgainInOrder(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.put("field/a", "1", "2", "3", "4")
	b := start(t, withQoS(config(u.addr), 2), src)
	c := u.welcome(nil)
	var ids []uint16
	for range 4 {
		ids = append(ids, c.expectPublish().PacketID)
	}
	c.ack(packet.PUBREC, ids[0], 0)
	c.ack(packet.PUBREC, ids[1], 0)
	c.expectAck(packet.PUBREL)
	c.expectAck(packet.PUBREL)
	c.ack(packet.PUBCOMP, ids[0], 0)
	eventually(t, "the first is let go", func() bool { return src.left() == 3 })
	c.net.Close()

	c = u.welcome(resumed)
	if a := c.expectAck(packet.PUBREL); a.PacketID != ids[1] {
		t.Errorf("goes on with PUBREL %d, want %d", a.PacketID, ids[1])
	}
	for _, want := range ids[2:] {
		if p := c.expectPublish(); p.PacketID != want || !p.Dup {
			t.Errorf("got identifier %d, dup %v; want %d with DUP", p.PacketID, p.Dup, want)
		}
	}
	if st := b.Stats(); st.Reconnects != 1 || st.LastError == "" {
		t.Errorf("stats: %+v", st)
	}
}

func TestABridgeThatIsStartedAgainGoesOnWhereTheOtherWas(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.put("field/a", "1", "2")
	b := start(t, withQoS(config(u.addr), 2), src)
	c := u.welcome(nil)
	first, second := c.expectPublish(), c.expectPublish()
	c.ack(packet.PUBREC, first.PacketID, 0)
	c.expectAck(packet.PUBREL)
	c.net.Close()
	b.stop()

	start(t, withQoS(config(u.addr), 2), src)
	c = u.welcome(resumed)
	if a := c.expectAck(packet.PUBREL); a.PacketID != first.PacketID {
		t.Errorf("PUBREL %d, want %d", a.PacketID, first.PacketID)
	}
	if p := c.expectPublish(); p.PacketID != second.PacketID || !p.Dup {
		t.Errorf("got identifier %d, dup %v", p.PacketID, p.Dup)
	}
}

// An upstream that lost its session may have lost the message with it: better
// twice than never.
func TestAnUpstreamThatLostItsSessionGetsTheMessageAgainAsANewOne(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.put("field/a", "1")
	start(t, withQoS(config(u.addr), 2), src)
	c := u.welcome(nil)
	id := c.expectPublish().PacketID
	c.ack(packet.PUBREC, id, 0)
	c.expectAck(packet.PUBREL)
	c.net.Close()

	c = u.welcome(nil) // no session
	if p := c.expectPublish(); p.PacketID != id || p.Dup {
		t.Errorf("got identifier %d, dup %v; want %d without DUP", p.PacketID, p.Dup, id)
	}
	c.net.Close() // before PUBREC: what the Source remembers is of the old session

	c = u.welcome(resumed)
	if p := c.expectPublish(); p.PacketID != id || !p.Dup {
		t.Errorf("got identifier %d, dup %v; want %d with DUP", p.PacketID, p.Dup, id)
	}
	c.ack(packet.PUBREC, id, 0)
	c.expectAck(packet.PUBREL)
	c.net.Close()

	c = u.welcome(resumed)
	c.expectAck(packet.PUBREL)
	c.ack(packet.PUBCOMP, id, packet.PacketIdentifierNotFound)
	eventually(t, "let go", func() bool { return src.left() == 0 })
}

func TestNoMoreIsInFlightThanTheUpstreamsReceiveMaximum(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.put("field/a", numbers(10)...)
	start(t, config(u.addr), src)
	c := u.welcome(func(a *packet.Connack) {
		a.Properties.ReceiveMaximum = 3
		a.Properties.Set(packet.PropReceiveMaximum)
	})
	var ids []uint16
	for range 3 {
		ids = append(ids, c.expectPublish().PacketID)
	}
	c.expectNothing("3 of 3 are in flight")
	// Behind one that is late the window does not run away.
	c.ack(packet.PUBACK, ids[1], 0)
	c.ack(packet.PUBACK, ids[2], 0)
	c.expectNothing("the first is not acknowledged")
	c.ack(packet.PUBACK, ids[0], 0)
	for range 3 {
		c.expectPublish()
	}
	c.expectNothing("3 of 3 are in flight again")
}

func TestTheUpstreamsLimitsAreKept(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.add(Message{Topic: "field/big", Payload: make([]byte, 200), QoS: 1}, true)
	src.add(Message{Topic: "field/a", Payload: []byte("1"), QoS: 1, Retain: true}, true)
	b := start(t, withQoS(config(u.addr), 2), src)
	c := u.welcome(func(a *packet.Connack) {
		p := &a.Properties
		p.MaximumQoS, p.RetainAvailable, p.MaximumPacketSize = 1, 0, 100
		p.Set(packet.PropMaximumQoS)
		p.Set(packet.PropRetainAvailable)
		p.Set(packet.PropMaximumPacketSize)
	})
	p := c.expectPublish()
	if string(p.Topic) != "plant/a" || p.QoS != 1 || p.Retain {
		t.Errorf("got %s, QoS %d, retain %v; want plant/a at 1 without RETAIN", p.Topic, p.QoS, p.Retain)
	}
	if got := b.Stats().GivenUp["larger than the upstream's Maximum Packet Size"]; got != 1 {
		t.Errorf("given up: %v", b.Stats().GivenUp)
	}
	if b.log.lines("field/big") != 1 {
		t.Error("the message given up is not logged")
	}
	c.ack(packet.PUBACK, p.PacketID, 0)
	eventually(t, "both are let go", func() bool { return src.left() == 0 })
}

func TestARefusedMessageIsGivenUpWithItsReason(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.put("field/a", "1", "2", "3")
	b := start(t, config(u.addr), src)
	c := u.welcome(nil)
	for i, reason := range []packet.ReasonCode{packet.NotAuthorized, packet.NotAuthorized, packet.NoMatchingSubscribers} {
		p := c.expectPublish()
		c.ack(packet.PUBACK, p.PacketID, reason)
		eventually(t, "let go", func() bool { return src.left() == int64(2-i) })
	}
	if st := b.Stats(); st.GivenUp["not authorized"] != 2 || st.Forwarded != 1 {
		t.Errorf("given up %v, forwarded %d", st.GivenUp, st.Forwarded)
	}
	if got := b.log.lines("refused upstream: not authorized"); got != 1 {
		t.Errorf("%d lines about it, want 1", got)
	}
}

func TestAQoS2MessageRefusedByPubrecGetsNoPubrel(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.put("field/a", "1")
	start(t, withQoS(config(u.addr), 2), src)
	c := u.welcome(nil)
	c.ack(packet.PUBREC, c.expectPublish().PacketID, packet.ImplementationSpecificError)
	eventually(t, "let go", func() bool { return src.left() == 0 })
	c.expectNothing("the exchange is over")
}

func TestAnUpstreamThatIsFullGetsTheMessagesAgainInOrder(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.put("field/a", "1", "2", "3")
	b := start(t, config(u.addr), src)
	c := u.welcome(nil)
	first := []*packet.Publish{c.expectPublish(), c.expectPublish(), c.expectPublish()}
	c.ack(packet.PUBACK, first[0].PacketID, packet.QuotaExceeded)
	c.ack(packet.PUBACK, first[1].PacketID, packet.QuotaExceeded)
	c.expectNothing("the third is unanswered")
	src.put("field/a", "4")
	c.ack(packet.PUBACK, first[2].PacketID, 0)
	again := []*packet.Publish{c.expectPublish(), c.expectPublish(), c.expectPublish()}
	if got := payloads(again); got != "1 2 4" {
		t.Errorf("sent after the pause: %s, want 1 2 4", got)
	}
	for _, p := range again {
		c.ack(packet.PUBACK, p.PacketID, 0)
	}
	eventually(t, "all let go", func() bool { return src.left() == 0 })
	if st := b.Stats(); len(st.GivenUp) != 0 || st.Forwarded != 4 || st.Reconnects != 0 {
		t.Errorf("stats: %+v", st)
	}
	if len(src.twice) != 0 {
		t.Errorf("acknowledged twice: %v", src.twice)
	}
}

func TestAFullUpstreamIsAskedAgainAlsoWhenNothingElseComes(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	start(t, config(u.addr), src)
	c := u.welcome(nil)
	src.put("field/a", "1")
	for range 3 {
		c.ack(packet.PUBACK, c.expectPublish().PacketID, packet.QuotaExceeded)
	}
	c.ack(packet.PUBACK, c.expectPublish().PacketID, 0)
	eventually(t, "let go", func() bool { return src.left() == 0 })
}

func TestTheGatewaysOwnCommandTopicsAreSkipped(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	cfg := config(u.addr)
	cfg.Skip = func(topic string) bool { return strings.HasSuffix(topic, "/set") }
	src.put("field/relay/set", "1")
	src.put("other/topic", "2")
	src.put("field/relay", "3")
	b := start(t, cfg, src)
	c := u.welcome(nil)
	if p := c.expectPublish(); string(p.Topic) != "plant/relay" {
		t.Errorf("got %s", p.Topic)
	}
	st := b.Stats()
	if st.Skipped != 1 || st.GivenUp["no [[bridge.up]] filter matches any more"] != 1 || src.left() != 1 {
		t.Errorf("stats %+v, %d left", st, src.left())
	}
}

func TestSkippedMessagesBehindALateOneStayInTheWindow(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	cfg := config(u.addr)
	cfg.MaxInFlight = 10
	cfg.Skip = func(topic string) bool { return topic == "field/skip" }
	src.put("field/a", "1")
	src.put("field/skip", numbers(100)...)
	start(t, cfg, src)
	c := u.welcome(nil)
	p := c.expectPublish()
	eventually(t, "nine are skipped", func() bool { return len(src.ackedSoFar()) == 9 })
	c.expectNothing("the first is not acknowledged")
	if got := len(src.ackedSoFar()); got != 9 {
		t.Errorf("%d acknowledged past the first, want 9", got)
	}
	c.ack(packet.PUBACK, p.PacketID, 0)
	eventually(t, "all let go", func() bool { return src.left() == 0 })
}

func TestAnEndWaitsForWhatIsInFlightAndSaysDisconnect(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.put("field/a", "1")
	b := start(t, config(u.addr), src)
	c := u.welcome(nil)
	p := c.expectPublish()
	ended := make(chan struct{})
	go func() { defer close(ended); b.stop() }()
	c.expectNothing("PUBACK is under way")
	src.put("field/a", "too late")
	c.ack(packet.PUBACK, p.PacketID, 0)
	in := c.expect(packet.DISCONNECT)
	var d packet.Disconnect
	if err := d.Decode(c.v, in.body); err != nil || d.Reason != packet.NormalDisconnection {
		t.Errorf("got %v, %v", d.Reason, err)
	}
	c.net.Close()
	<-ended
	if src.left() != 1 || b.Stats().State != Stopped {
		t.Errorf("%d left, state %s", src.left(), b.Stats().State)
	}
}

func TestAnEndDoesNotWaitLongForAnUpstreamThatIsSilent(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.put("field/a", "1")
	b := start(t, config(u.addr), src)
	c := u.welcome(nil)
	c.expectPublish()
	began := time.Now()
	b.stop()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	if src.left() != 1 {
		t.Error("an unacknowledged message is gone")
	}
}

// broken is a Source whose queue cannot be read.
type broken struct{ *memory }

func (broken) TryNext(bool) (Outgoing, bool, error) { return Outgoing{}, false, errFull }

func TestAQueueThatCannotBeReadIsSaidAndTriedAgain(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), broken{newMemory(t)}
	b := start(t, config(u.addr), src)
	u.welcome(nil)
	u.welcome(nil)
	if got := b.Stats().LastError; got != "read the local queue: the store is full" {
		t.Errorf("last error %q", got)
	}
}

func TestOn311NoMoreThanTwentyOfQoS2AreUnderWay(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	cfg := withQoS(config(u.addr), 2)
	cfg.Version = version311
	src.put("field/a", numbers(50)...)
	start(t, cfg, src)
	c := u.welcome(nil)
	var ids []uint16
	for range exactlyOnceMax311 {
		ids = append(ids, c.expectPublish().PacketID)
	}
	c.expectNothing("20 are in flight")
	c.ack(packet.PUBREC, ids[0], 0)
	c.expectAck(packet.PUBREL)
	c.expectNothing("PUBCOMP has not come")
	c.ack(packet.PUBCOMP, ids[0], 0)
	c.expectPublish()
	c.expectNothing("20 are in flight again")
}
