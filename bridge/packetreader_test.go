package bridge

import (
	"bytes"
	"io"
	"net"
	"testing"

	"headgate/broker/packet"
)

// chopped gives its bytes n at a time.
type chopped struct {
	net.Conn
	rest []byte
	n    int
}

func (c *chopped) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), c.n)], c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// all gives each packet's first byte and body, and how it ended.
func all(stream []byte, n, limit int) (got [][]byte, cut int, err error) {
	r := newPacketReader(&chopped{rest: stream, n: n}, limit)
	for {
		ready := r.ready()
		in, err := r.next()
		if ready && err == io.EOF {
			return got, cut, io.ErrUnexpectedEOF // ready promised something
		}
		if err != nil {
			return got, cut, err
		}
		if in.cut {
			cut++
		}
		got = append(got, append([]byte{byte(in.Type)<<4 | in.Flags}, in.body...))
	}
}

func stream() []byte {
	small := packet.Publish{Topic: []byte("a/b"), QoS: 1, PacketID: 1, Payload: []byte("x")}
	large := packet.Publish{Topic: []byte("a/c"), QoS: 1, PacketID: 2, Payload: bytes.Repeat([]byte("y"), 200_000)}
	b := packet.AppendPingresp(nil)
	b = small.Append(b, packet.V5)
	b = large.Append(b, packet.V5)
	ack := packet.Ack{Type: packet.PUBACK, PacketID: 3}
	b = ack.Append(b, packet.V5)
	return small.Append(b, packet.V5)
}

func TestPacketsAreTheSameHoweverTheirBytesCome(t *testing.T) {
	want, _, _ := all(stream(), 1<<30, largestPacket)
	if len(want) != 5 || len(want[2]) < 200_000 {
		t.Fatalf("got %d packets", len(want))
	}
	for _, n := range []int{1, 2, 3, 1000, readBuffer} {
		got, _, err := all(stream(), n, largestPacket)
		if err != io.EOF || len(got) != len(want) {
			t.Fatalf("%d at a time: %d packets, %v", n, len(got), err)
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Errorf("%d at a time: packet %d differs", n, i)
			}
		}
	}
}

func TestOfAPacketAboveTheLimitTheBeginningIsKeptAndTheRestPassedOver(t *testing.T) {
	for _, n := range []int{7, 1000, 1 << 30} {
		got, cut, err := all(stream(), n, 150_000)
		if err != io.EOF || len(got) != 5 || cut != 1 {
			t.Fatalf("%d at a time: %d packets, %d cut, %v", n, len(got), cut, err)
		}
		if len(got[2]) != 1+cutBody || !bytes.HasPrefix(got[2][1:], []byte("\x00\x03a/c\x00\x02")) {
			t.Errorf("the beginning has %d bytes: % x", len(got[2]), got[2][:10])
		}
	}
}

func FuzzPacketReader(f *testing.F) {
	f.Add(stream()[:500], 3, 100_000)
	f.Add([]byte{0x40, 0xff, 0xff, 0xff, 0xff, 0x01}, 1, 1000)
	f.Add([]byte{0x32, 0x80, 0x80, 0x04, 0, 1}, 2, 1000)
	f.Fuzz(func(t *testing.T, b []byte, n, limit int) {
		n, limit = max(n, 1), max(limit%100_000, 2)
		want, wantCut, wantErr := all(b, 1<<30, limit)
		got, cut, err := all(b, n, limit)
		if len(got) != len(want) || cut != wantCut || (err == io.EOF) != (wantErr == io.EOF) {
			t.Fatalf("%d at a time: %d packets (%d cut), %v; at once: %d (%d cut), %v", n, len(got), cut, err, len(want), wantCut, wantErr)
		}
	})
}
