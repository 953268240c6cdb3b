package wire

import (
	"bytes"
	"net"
	"testing"
)

func TestAPublishMadeFromATemplateReadsBackInPieces(t *testing.T) {
	for _, ver := range []byte{4, 5} {
		for qos := range byte(3) {
			for _, size := range []int{1, 64, 256, 70000} {
				readsBack(t, ver, qos, size)
			}
		}
	}
}

func readsBack(t *testing.T, ver, qos byte, size int) {
	t.Helper()
	tm := NewTemplate(ver, qos, "a/b", size)
	var b []byte
	for i := range uint32(3) {
		b = tm.Append(b, uint16(i+1), 7, i, int64(i)*1000)
	}
	if len(b) != 3*tm.Len() {
		t.Fatalf("got length %d, want %d", len(b), 3*tm.Len())
	}
	a, z := net.Pipe()
	done := make(chan struct{})
	go func() { // so that frames are split over reads
		defer close(done)
		defer a.Close()
		for len(b) > 0 {
			n := min(len(b), 1000)
			if _, err := a.Write(b[:n]); err != nil {
				return
			}
			b = b[n:]
		}
	}()
	defer func() { z.Close(); <-done }()
	c := NewConn(z, ver, 128)
	for i := range uint32(3) {
		h, body, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		var m Msg
		if h>>4 != PUBLISH || !ParsePublish(h, body, ver, &m) {
			t.Fatalf("version %d, QoS %d, size %d: not parsed", ver, qos, size)
		}
		pub, seq, ts, ok := Head(m.Payload)
		if !ok || pub != 7 || seq != i || ts != int64(i)*1000 || m.QoS != qos ||
			!bytes.Equal(m.Topic, []byte("a/b")) || len(m.Payload) != max(size, PayloadMin) {
			t.Fatalf("version %d, QoS %d, size %d: got publisher %d, sequence %d, time %d, QoS %d", ver, qos, size, pub, seq, ts, m.QoS)
		}
		if qos > 0 && m.PID != uint16(i+1) {
			t.Fatalf("got packet identifier %d, want %d", m.PID, i+1)
		}
	}
}

func TestATruncatedPublishIsNotParsed(t *testing.T) {
	var m Msg
	for _, b := range [][]byte{nil, {0}, {0, 5, 'a'}, {0, 1, 'a'}, {0, 1, 'a', 0, 1, 0xff, 0xff, 0xff, 0xff}} {
		if ParsePublish(PUBLISH<<4|2, b, 5, &m) {
			t.Errorf("%v parsed", b)
		}
	}
}

func TestAConnectReadsBack(t *testing.T) {
	for _, want := range []Options{
		{ClientID: "a", Clean: true, Ver: 4},
		{ClientID: "long-enough", Clean: false, Ver: 5},
	} {
		b := AppendConnect(nil, want)
		got, ok := ParseConnect(b[2:])
		if !ok || got.ClientID != want.ClientID || got.Clean != want.Clean || got.Ver != want.Ver {
			t.Errorf("got %+v, want %+v", got, want)
		}
		for n := range len(b) - 2 {
			if _, ok := ParseConnect(b[2 : 2+n]); ok {
				t.Errorf("version %d: parsed %d of %d bytes", want.Ver, n, len(b)-2)
			}
		}
	}
}
