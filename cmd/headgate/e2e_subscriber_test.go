package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"headgate/bridge"
	"headgate/broker/packet"
)

// subscriber takes what is published under a filter, over one connection after the
// other: when one breaks it connects again to the same session and goes on, with what
// it knows of the QoS 2 messages that are underway. [MQTT-4.3.3-10] Those of paho
// forget that with the connection.
type subscriber struct {
	inbox
	t       testing.TB
	addr    func() string
	id      string
	filter  string
	version packet.Version

	known    bool                // the broker has had our session
	underway map[uint16]struct{} // QoS 2: PUBREC sent, PUBREL awaited
	stop     chan struct{}
	done     chan struct{}
}

func subscribeTo(t testing.TB, addr func() string, id, filter string, v packet.Version) *subscriber {
	s := &subscriber{t: t, addr: addr, id: id, filter: filter, version: v, underway: make(map[uint16]struct{}),
		stop: make(chan struct{}), done: make(chan struct{})}
	subscribed := make(chan struct{})
	go func() {
		defer close(s.done)
		s.run(sync.OnceFunc(func() { close(subscribed) }))
	}()
	t.Cleanup(s.finish)
	select {
	case <-subscribed:
	case <-s.done:
	}
	return s
}

// run goes from connection to connection until finish.
func (s *subscriber) run(subscribed func()) {
	for end := time.Now().Add(hang); ; {
		before := len(s.all())
		err := s.connection(subscribed)
		if len(s.all()) > before {
			end = time.Now().Add(hang)
		}
		select {
		case <-s.stop:
			return
		case <-time.After(10 * time.Millisecond):
		}
		var wrong *broken
		if errors.As(err, &wrong) || time.Now().After(end) {
			s.t.Errorf("subscriber %s: %v", s.id, err)
			return
		}
	}
}

func (s *subscriber) connection(subscribed func()) error {
	addr := s.addr()
	if addr == "" {
		return errors.New("the broker is away")
	}
	nc, err := net.DialTimeout("tcp", addr, hang)
	if err != nil {
		return err
	}
	over := make(chan struct{})
	var closing sync.WaitGroup
	closing.Go(func() {
		select {
		case <-s.stop:
		case <-over:
		}
		nc.Close()
	})
	defer closing.Wait()
	defer close(over)
	in := bufio.NewReader(nc)
	present, err := connectSession(nc, in, s.id, s.version)
	if err != nil {
		return err
	}
	if s.known && !present {
		return &broken{"the session is gone"}
	}
	s.known = true
	if !present {
		sub := packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: []byte(s.filter), QoS: 2}}}
		if _, err := nc.Write(sub.Append(nil, s.version)); err != nil {
			return err
		}
	}
	for {
		h, body, err := readPacket(in)
		if err != nil || h.Type == packet.DISCONNECT {
			return err
		}
		subscribed()
		answer, err := s.take(h, body)
		if err != nil {
			return err
		}
		if _, err := nc.Write(answer); err != nil {
			return err
		}
	}
}

// take gives what is to be answered.
func (s *subscriber) take(h packet.Header, body []byte) ([]byte, error) {
	switch h.Type {
	case packet.SUBACK:
		return nil, nil
	case packet.PUBREL:
		var a packet.Ack
		if err := a.Decode(s.version, h.Type, body); err != nil {
			return nil, &broken{err.Error()}
		}
		delete(s.underway, a.PacketID)
		a = packet.Ack{Type: packet.PUBCOMP, PacketID: a.PacketID}
		return a.Append(nil, s.version), nil
	case packet.PUBLISH:
	default:
		return nil, &broken{fmt.Sprintf("%v from the broker", h.Type)}
	}
	var p packet.Publish
	if err := p.Decode(s.version, h.Flags, body); err != nil {
		return nil, &broken{err.Error()}
	}
	a := packet.Ack{Type: packet.PUBACK, PacketID: p.PacketID}
	if p.QoS == 2 {
		a.Type = packet.PUBREC
		if _, had := s.underway[p.PacketID]; had {
			return a.Append(nil, s.version), nil
		}
		s.underway[p.PacketID] = struct{}{}
	}
	replay := slices.ContainsFunc(p.Properties.User, func(u packet.UserProperty) bool { return string(u.Key) == bridge.AgeProperty })
	s.add(received{topic: string(p.Topic), payload: string(p.Payload), qos: p.QoS, replay: replay})
	return a.Append(nil, s.version), nil
}

// finish ends the connection.
func (s *subscriber) finish() {
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	<-s.done
}
