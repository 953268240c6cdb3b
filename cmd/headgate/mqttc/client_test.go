package mqttc

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"headgate/broker/packet"
)

func connackWith(set func(p *packet.Properties)) packet.Connack {
	var ack packet.Connack
	set(&ack.Properties)
	return ack
}

func TestTheWindowIsTheServersReceiveMaximum(t *testing.T) {
	s := newServer(t, packet.V5)
	r := s.start(s.config(), connackWith(func(p *packet.Properties) {
		p.ReceiveMaximum = 2
		p.Set(packet.PropReceiveMaximum)
	}))
	r.publish("1", 1)
	r.publish("2", 2)
	if !r.full(1) {
		t.Fatal("a third message may go, want it to wait")
	}
	r.publish("0", 0) // which is not of the window
	s.wantPublish("1")
	p := s.wantPublish("2")
	s.wantPublish("0")
	s.ack(packet.PUBREC, p.PacketID)
	s.wantAck(packet.PUBREL, p.PacketID)
	if !r.full(1) {
		t.Fatal("PUBREC makes room, want PUBCOMP to") // [MQTT-4.9.0-1]
	}
	s.ack(packet.PUBCOMP, p.PacketID)
	r.publish("3", 1)
	s.wantPublish("3")
}

func TestAVersion3ServerGetsFewExactlyOnceMessagesAtATime(t *testing.T) {
	s := newServer(t, packet.V311)
	r := s.start(s.config(), packet.Connack{})
	for range maxExactlyOnceV3 {
		r.publish("x", 2)
	}
	if !r.full(2) {
		t.Error("one more message of QoS 2 may go, want it to wait")
	}
	if r.full(1) {
		t.Error("QoS 1 waits for QoS 2, want it to go")
	}
}

func TestWhatTheServerDoesNotTakeIsNotSent(t *testing.T) {
	s := newServer(t, packet.V5)
	cfg := s.config()
	var warned []string
	cfg.Warn = func(text string) { warned = append(warned, text) }
	r := s.start(cfg, connackWith(func(p *packet.Properties) {
		p.MaximumQoS, p.RetainAvailable, p.MaximumPacketSize, p.TopicAliasMaximum = 1, 0, 50, 3
		for _, id := range []packet.PropertyID{packet.PropMaximumQoS, packet.PropRetainAvailable, packet.PropMaximumPacketSize, packet.PropTopicAliasMaximum} {
			p.Set(id)
		}
	}))
	alias := packet.Properties{TopicAlias: 4}
	alias.Set(packet.PropTopicAlias)
	for _, c := range []struct {
		p    packet.Publish
		want packet.ReasonCode
	}{
		{packet.Publish{QoS: 2}, packet.QoSNotSupported},
		{packet.Publish{Payload: make([]byte, 45)}, packet.PacketTooLarge}, // 2 + 2 + 1 + 1 + 45 = 51
		{packet.Publish{Properties: alias}, packet.TopicAliasInvalid},
	} {
		c.p.Topic = []byte("t")
		_, err := r.Publish(t.Context(), &c.p)
		var unsent *NotSent
		if !errors.As(err, &unsent) || unsent.Reason != c.want {
			t.Errorf("got %v, want %v", err, c.want)
		}
	}
	if _, err := r.Publish(t.Context(), &packet.Publish{Topic: []byte("t"), Payload: make([]byte, 44), Retain: true}); err != nil {
		t.Fatal(err)
	}
	if p := s.wantPublish(string(make([]byte, 44))); p.Retain {
		t.Error("got a retained message, want it plain: the server retains none")
	}
	if len(warned) != 1 {
		t.Errorf("got warnings %q, want one", warned)
	}
}

func TestWhatWasNotAcknowledgedGoesAgain(t *testing.T) {
	for name, c := range map[string]struct {
		v       packet.Version
		present bool
	}{
		"as a duplicate where the session was kept": {packet.V5, true},
		"as new where it was not":                   {packet.V5, false},
		"in 3.1.1 too":                              {packet.V311, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, c.v)
			cfg := s.config()
			cfg.Connect.CleanStart = !c.present
			r := s.start(cfg, packet.Connack{})
			for _, p := range []string{"1", "2", "3"} {
				r.publish(p, 1)
				s.wantPublish(p)
			}
			r.publish("4", 2)
			exact := s.wantPublish("4")
			s.ack(packet.PUBREC, exact.PacketID)
			s.wantAck(packet.PUBREL, exact.PacketID)
			s.ack(packet.PUBACK, 2)
			s.nc.Close()
			if err := r.end(); err == nil {
				t.Fatal("Serve gave nil for a lost connection")
			}
			s.restart(r, packet.Connack{SessionPresent: c.present})
			s.wantAck(packet.PUBREL, exact.PacketID)
			for _, want := range []string{"1", "3"} {
				p := s.wantPublish(want)
				if p.Dup != c.present {
					t.Errorf("%s: got DUP %v, want %v", want, p.Dup, c.present)
				}
				s.ack(packet.PUBACK, p.PacketID)
			}
			s.ack(packet.PUBCOMP, exact.PacketID, 0)
			if err := r.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestASmallerWindowOnTheNextConnectionIsKeptTo(t *testing.T) {
	s := newServer(t, packet.V5)
	r := s.start(s.config(), packet.Connack{})
	for _, p := range []string{"1", "2", "3"} {
		r.publish(p, 1)
		s.wantPublish(p)
	}
	s.nc.Close()
	r.end()
	s.restart(r, connackWith(func(p *packet.Properties) {
		p.ReceiveMaximum = 1
		p.Set(packet.PropReceiveMaximum)
	}))
	for _, want := range []string{"1", "2", "3"} {
		p := s.wantPublish(want)
		if s.in.ready() {
			t.Fatal("more than one is on its way")
		}
		s.ack(packet.PUBACK, p.PacketID)
	}
}

func TestAnAcknowledgementLeavesAfterSettle(t *testing.T) {
	s := newServer(t, packet.V311)
	cfg := s.config()
	full := errors.New("disk full")
	cfg.Settle = func() error { return full }
	r := s.start(cfg, packet.Connack{})
	s.publish("x", 1, 7)
	if err := r.end(); !errors.Is(err, full) {
		t.Errorf("got %v, want %v", err, full)
	}
	s.wantEnd()
}

func TestAMessageOfQoS2ComesOnce(t *testing.T) {
	s := newServer(t, packet.V5)
	cfg := s.config()
	cfg.Connect.CleanStart = false
	r := s.start(cfg, packet.Connack{})
	s.publish("x", 2, 7)
	s.wantAck(packet.PUBREC, 7)
	s.publish("x", 2, 7)
	s.wantAck(packet.PUBREC, 7)
	s.nc.Close()
	r.end()
	s.restart(r, packet.Connack{SessionPresent: true})
	s.publish("x", 2, 7)
	s.wantAck(packet.PUBREC, 7)
	s.ack(packet.PUBREL, 7)
	s.wantAck(packet.PUBCOMP, 7)
	s.publish("y", 2, 7) // another message
	s.wantAck(packet.PUBREC, 7)
	if got, want := r.got(), []string{"x", "y"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFinishEndsWhatIsOnItsWayAndTakesNothingMore(t *testing.T) {
	s := newServer(t, packet.V311)
	cfg := s.config()
	var c *Client
	var got []string
	cfg.Message = func(p *packet.Publish) {
		got = append(got, string(p.Payload))
		c.Finish()
	}
	r := s.start(cfg, packet.Connack{})
	c = r.Client
	s.publish("last", 2, 7)
	s.wantAck(packet.PUBREC, 7)
	s.publish("more", 1, 8) // which stays with the server
	s.ack(packet.PUBREL, 7)
	s.wantAck(packet.PUBCOMP, 7)
	s.want(packet.DISCONNECT)
	s.wantEnd()
	if err := r.end(); err != nil {
		t.Errorf("got %v, want nil", err)
	}
	if !slices.Equal(got, []string{"last"}) {
		t.Errorf("got %q, want the last alone", got)
	}
}

func TestATopicAliasIsResolved(t *testing.T) {
	s := newServer(t, packet.V5)
	cfg := s.config()
	cfg.Connect.Properties.TopicAliasMaximum = 2
	cfg.Connect.Properties.Set(packet.PropTopicAliasMaximum)
	topics := make(chan string, 3)
	cfg.Message = func(p *packet.Publish) { topics <- string(p.Topic) }
	r := s.start(cfg, packet.Connack{})
	for _, topic := range []string{"first", "", "second", ""} {
		p := packet.Publish{Topic: []byte(topic)}
		p.Properties.TopicAlias = 1
		p.Properties.Set(packet.PropTopicAlias)
		s.send(p.Append(nil, s.v))
	}
	for _, want := range []string{"first", "first", "second", "second"} {
		if got := <-topics; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	p := packet.Publish{Topic: []byte("third")}
	p.Properties.TopicAlias = 3 // above the maximum
	p.Properties.Set(packet.PropTopicAlias)
	s.send(p.Append(nil, s.v))
	s.want(packet.DISCONNECT)
	if err := r.end(); err == nil || !strings.Contains(err.Error(), "topic alias 3") {
		t.Errorf("got %v, want the topic alias named", err)
	}
}

func TestAnAssignedClientIdentifierIsKept(t *testing.T) {
	s := newServer(t, packet.V5)
	cfg := s.config()
	cfg.Connect.ClientID = nil
	assigned := connackWith(func(p *packet.Properties) {
		p.AssignedClientID = []byte("from-the-server")
		p.Set(packet.PropAssignedClientID)
	})
	r := s.start(cfg, assigned)
	s.nc.Close()
	r.end()
	if p := s.restart(r, packet.Connack{}); string(p.ClientID) != "from-the-server" {
		t.Errorf("got client identifier %q at the second connection, want the assigned one", p.ClientID)
	}
}

func TestHowConnectionsFail(t *testing.T) {
	reason := connackWith(func(p *packet.Properties) {
		p.ReasonString = []byte("come on Monday")
		p.Set(packet.PropReasonString)
	})
	reason.Reason = packet.ServerBusy
	text := func(s string) func(*server) { return func(srv *server) { srv.hear(); srv.next(); srv.send([]byte(s)) } }
	for name, c := range map[string]struct {
		v      packet.Version
		answer func(*server)
		want   string
	}{
		"refused":             {packet.V5, func(s *server) { s.accept(reason) }, `refused the connection: server busy ("come on Monday")`},
		"refused in 3.1.1":    {packet.V311, func(s *server) { s.accept(packet.Connack{Reason: 4}) }, "refused the connection: bad user name or password"},
		"5.0 is unknown":      {packet.V5, text("\x20\x02\x00\x01"), "refused the connection: unsupported protocol version"},
		"no MQTT":             {packet.V311, text("HTTP/1.1 400 Bad Request\r\n\r\n"), "is it an MQTT broker?"},
		"another packet":      {packet.V311, text("\xd0\x00"), "answers CONNECT with PINGRESP"},
		"closed":              {packet.V311, func(s *server) { s.hear(); s.next(); s.nc.Close() }, "closed the connection without an answer"},
		"authentication":      {packet.V5, text("\xf0\x00"), "enhanced authentication"},
		"malformed":           {packet.V311, text("\x20\x02\x00\x09"), "read the CONNACK"},
		"5.0 in 3.1.1's form": {packet.V5, text("\x20\x02\x00\x00"), "choose the version"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, c.v)
			failed := make(chan error, 1)
			go func() {
				_, err := New(s.config()).Connect(t.Context())
				failed <- err
			}()
			c.answer(s)
			err := <-failed
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), s.ln.Addr().String()) {
				t.Errorf("got %v, want %q with the address", err, c.want)
			}
		})
	}
}

func TestNobodyAtThePortIsADialError(t *testing.T) {
	s := newServer(t, packet.V311)
	s.ln.Close()
	_, err := New(s.config()).Connect(t.Context())
	var dial *DialError
	if !errors.As(err, &dial) || !dial.Refused() {
		t.Fatalf("got %v, want a DialError that is refused", err)
	}
	if want := "dial tcp " + s.ln.Addr().String() + ": connection refused"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}

func TestAServerThatSaysNothingIsGivenUp(t *testing.T) {
	s := newServer(t, packet.V311)
	ctx, cancel := context.WithCancelCause(t.Context())
	patience := errors.New("out of patience")
	failed := make(chan error, 1)
	go func() {
		_, err := New(s.config()).Connect(ctx)
		failed <- err
	}()
	s.hear()
	s.next()
	cancel(patience)
	if err := <-failed; !errors.Is(err, patience) {
		t.Errorf("got %v, want %v", err, patience)
	}
}

func TestTheServersReasonForTheEndIsGiven(t *testing.T) {
	s := newServer(t, packet.V5)
	r := s.start(s.config(), packet.Connack{})
	p := packet.Disconnect{Reason: packet.SessionTakenOver}
	s.send(p.Append(nil, s.v))
	var no *Refusal
	if err := r.end(); !errors.As(err, &no) || no.Reason != packet.SessionTakenOver {
		t.Errorf("got %v, want session taken over", err)
	}
}

func TestARefusedMessageIsDoneAndSaid(t *testing.T) {
	for _, qos := range []byte{1, 2} {
		s := newServer(t, packet.V5)
		cfg := s.config()
		refused := make(chan *Refusal, 1)
		cfg.Refused = func(_ uint16, _ string, no *Refusal) { refused <- no }
		r := s.start(cfg, packet.Connack{})
		r.publish("x", qos)
		p := s.wantPublish("x")
		s.ack(map[byte]packet.Type{1: packet.PUBACK, 2: packet.PUBREC}[qos], p.PacketID, packet.QuotaExceeded)
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if no := <-refused; no.Reason != packet.QuotaExceeded {
			t.Errorf("QoS %d: got %v, want quota exceeded", qos, no)
		}
	}
}

func TestWithoutMessageNothingIsTaken(t *testing.T) {
	s := newServer(t, packet.V311)
	r := &running{Client: New(s.config()), t: t}
	s.restart(r, packet.Connack{})
	s.publish("x", 1, 1)
	s.publish("y", 2, 2)
	r.publish("ours", 0)
	s.wantPublish("ours") // and no acknowledgement before it
	r.Disconnect()
	s.want(packet.DISCONNECT)
}
