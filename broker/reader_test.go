package broker

import (
	"bytes"
	"math/rand/v2"
	"net"
	"testing"

	"headgate/broker/packet"
)

func TestABusyClientIsReadInLargeRoomsAndAnIdleOneInNone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	served, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()
	raw, err := served.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	r := newReader(served, raw, new(rooms), 1<<20)
	r.version = packet.V311
	rng := rand.New(rand.NewPCG(3, 4))
	var sent []byte
	const packets = 3000
	for range packets {
		p := packet.Publish{Topic: []byte("t"), Payload: bytes.Repeat([]byte{byte(rng.Int())}, rng.IntN(2000))}
		sent = p.Append(sent, packet.V311)
	}
	ping := packet.AppendPingreq(nil)
	go func() {
		client.Write(sent)
		for range shortReads {
			client.Write(ping)
		}
	}()
	var got []byte
	large := false
	for n := 0; n < packets+shortReads; n++ {
		h, body, err := r.packet()
		if err != nil {
			t.Fatal(err)
		}
		large = large || len(r.buf) == largeRoom
		if h.Type == packet.PUBLISH {
			p := packet.Publish{Topic: []byte("t"), Payload: body[3:]}
			got = p.Append(got, packet.V311)
		}
	}
	if !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came; want the %d that were sent", len(got), len(sent))
	}
	if !large {
		t.Error("it was read in small rooms all the time")
	}
	client.Close()
	if _, _, err := r.packet(); err == nil || r.buf != nil {
		t.Errorf("after the end: %v, and %d bytes are kept", err, len(r.buf))
	}
}
