package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"headgate/broker/packet"
)

// publisher publishes the numbers from 0 on to one topic, with many on their way
// at a time, until it is told to stop. When its connection breaks it connects
// again, and sends again what is not acknowledged as the protocol has it: in
// order, and of what PUBREC has come for only the PUBREL. [MQTT-4.4.0-1]
//
// The publishers of paho do neither, so that what they publish at QoS 2 comes
// twice.
type publisher struct {
	t       testing.TB
	addr    func() string // where the broker is now; "" while it is nowhere
	topic   string
	qos     byte
	version packet.Version
	pause   time.Duration // after each message

	next   int         // number
	flight []*underway // oldest first
	known  bool        // the broker has had our session
	stop   chan struct{}
	done   chan struct{}

	mu    sync.Mutex // guards acked
	acked int        // numbers that the broker has acknowledged
}

// underway is a number that is not acknowledged.
type underway struct {
	number   int
	id       uint16
	received bool // PUBREC has come
}

// inFlight is how many numbers a publisher has on their way.
const inFlight = 50

func publishNumbers(t testing.TB, addr func() string, topic string, qos byte, v packet.Version) *publisher {
	return publishSlowly(t, addr, topic, qos, v, 0)
}

func publishSlowly(t testing.TB, addr func() string, topic string, qos byte, v packet.Version, pause time.Duration) *publisher {
	p := &publisher{t: t, addr: addr, topic: topic, qos: qos, version: v, pause: pause, stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.run()
	}()
	t.Cleanup(func() { p.finish() })
	return p
}

// run goes from connection to connection until everything is acknowledged.
func (p *publisher) run() {
	for end := time.Now().Add(hang); !p.finished(); {
		before := p.acknowledged()
		err := p.connection()
		if p.acknowledged() > before {
			end = time.Now().Add(hang)
		}
		var wrong *broken
		if errors.As(err, &wrong) || time.Now().After(end) {
			p.t.Errorf("publisher of %s: %v", p.topic, err)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// broken is an error that a broker which goes away cannot explain.
type broken struct{ text string }

func (b *broken) Error() string { return b.text }

func (p *publisher) finished() bool {
	select {
	case <-p.stop:
		return len(p.flight) == 0
	default:
		return false
	}
}

// connection makes one connection and publishes over it to its end.
func (p *publisher) connection() error {
	addr := p.addr()
	if addr == "" {
		return errors.New("the broker is away")
	}
	nc, err := net.DialTimeout("tcp", addr, hang)
	if err != nil {
		return err
	}
	defer nc.Close()
	in := bufio.NewReader(nc)
	if err := p.connect(nc, in); err != nil {
		return err
	}
	acks := make(chan packet.Ack)
	quit := make(chan struct{})
	var reading sync.WaitGroup
	var readErr error
	reading.Go(func() {
		defer close(acks)
		readErr = p.read(in, acks, quit)
	})
	err = p.converse(nc, acks)
	close(quit)
	nc.Close()
	reading.Wait()
	return errors.Join(err, readErr)
}

func (p *publisher) connect(nc net.Conn, in *bufio.Reader) error {
	present, err := connectSession(nc, in, "publisher of "+p.topic, p.version)
	if err == nil && p.known && !present {
		err = &broken{"the session is gone"}
	}
	p.known = p.known || err == nil
	return err
}

// connectSession connects to a session that outlives its connection.
func connectSession(nc net.Conn, in *bufio.Reader, id string, v packet.Version) (present bool, err error) {
	c := packet.Connect{Version: v, ClientID: []byte(id)}
	if v == packet.V5 {
		c.Properties.SessionExpiry = 3600
		c.Properties.Set(packet.PropSessionExpiry)
	}
	if _, err := nc.Write(c.Append(nil)); err != nil {
		return false, err
	}
	_, body, err := readPacket(in)
	if err != nil {
		return false, err
	}
	var ack packet.Connack
	if err := ack.Decode(v, body); err != nil || ack.Reason != 0 {
		return false, &broken{fmt.Sprintf("CONNACK: %v, %v", ack.Reason, err)}
	}
	return ack.SessionPresent, nil
}

// converse sends what is underway again, and then numbers until the connection
// breaks or there are no more.
func (p *publisher) converse(nc net.Conn, acks <-chan packet.Ack) error {
	for _, u := range p.flight {
		if err := p.send(nc, u, true); err != nil {
			return err
		}
	}
	for !p.finished() {
		select {
		case a, ok := <-acks:
			if !ok {
				return errors.New("the connection has ended")
			}
			if err := p.acknowledge(nc, a); err != nil {
				return err
			}
			continue
		default:
		}
		select {
		case <-p.stop:
		default:
			if len(p.flight) < inFlight {
				u := &underway{number: p.next, id: uint16(p.next%60000 + 1)}
				p.next++
				p.flight = append(p.flight, u)
				if err := p.send(nc, u, false); err != nil {
					return err
				}
				time.Sleep(p.pause)
				continue
			}
		}
		a, ok := <-acks
		if !ok {
			return errors.New("the connection has ended")
		}
		if err := p.acknowledge(nc, a); err != nil {
			return err
		}
	}
	return nil
}

func (p *publisher) send(nc net.Conn, u *underway, again bool) error {
	var b []byte
	if u.received {
		rel := packet.Ack{Type: packet.PUBREL, PacketID: u.id}
		b = rel.Append(nil, p.version)
	} else {
		pub := packet.Publish{Topic: []byte(p.topic), Payload: []byte(strconv.Itoa(u.number)), QoS: p.qos, PacketID: u.id, Dup: again}
		b = pub.Append(nil, p.version)
	}
	_, err := nc.Write(b)
	return err
}

// acknowledge takes what the broker says.
func (p *publisher) acknowledge(nc net.Conn, a packet.Ack) error {
	i := slices.IndexFunc(p.flight, func(u *underway) bool { return u.id == a.PacketID })
	// A PUBREL that is sent again may find that the broker had the first one: that
	// is no error. [MQTT 3.7.2.1]
	over := a.Type == packet.PUBCOMP && a.Reason == packet.PacketIdentifierNotFound
	if i < 0 || a.Reason >= 0x80 && !over {
		return &broken{fmt.Sprintf("%v for %d, which is underway: %v: %v", a.Type, a.PacketID, i >= 0, a.Reason)}
	}
	u := p.flight[i]
	switch {
	case a.Type == packet.PUBREC && p.qos == 2:
		u.received = true
		return p.send(nc, u, false)
	case a.Type == packet.PUBACK && p.qos == 1, a.Type == packet.PUBCOMP && u.received:
		p.flight = slices.Delete(p.flight, i, i+1)
		p.mu.Lock()
		p.acked++
		p.mu.Unlock()
		return nil
	}
	return &broken{fmt.Sprintf("%v for %d at QoS %d", a.Type, a.PacketID, p.qos)}
}

// read hands on the acknowledgements until the connection breaks.
func (p *publisher) read(in *bufio.Reader, acks chan<- packet.Ack, quit <-chan struct{}) error {
	for {
		h, body, err := readPacket(in)
		if err != nil || h.Type == packet.DISCONNECT {
			return err
		}
		var a packet.Ack
		if err := a.Decode(p.version, h.Type, body); err != nil {
			return &broken{err.Error()}
		}
		select {
		case acks <- a:
		case <-quit:
			return nil
		}
	}
}

func readPacket(in *bufio.Reader) (packet.Header, []byte, error) {
	for n := 2; ; n++ {
		b, err := in.Peek(n)
		if err != nil {
			return packet.Header{}, nil, err
		}
		h, err := packet.ParseHeader(b)
		if errors.Is(err, packet.ErrIncomplete) {
			continue
		}
		if err != nil {
			return h, nil, &broken{err.Error()}
		}
		whole := make([]byte, h.Size+h.Remaining)
		_, err = io.ReadFull(in, whole)
		return h, whole[h.Size:], err
	}
}

// acknowledged is how many numbers have been.
func (p *publisher) acknowledged() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acked
}

// finish publishes nothing more, waits until all that was is acknowledged, and
// gives how many that were.
func (p *publisher) finish() (count int) {
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	<-p.done
	return p.next
}
