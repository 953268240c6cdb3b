package modbussim

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// converse sends requests over a connection served by serve and wants the
// answers, all in hexadecimal; "" wants nothing before the next answer.
func converse(t *testing.T, conn io.ReadWriter, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		ask, err := hex.DecodeString(strings.ReplaceAll(pairs[i], " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		want, err := hex.DecodeString(strings.ReplaceAll(pairs[i+1], " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(ask); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("to %s: got % x, %v; want %s", pairs[i], got, err, pairs[i+1])
		}
	}
}

func TestTheExamplesOfTheSpecificationOverTCP(t *testing.T) {
	s := New()
	u := s.Unit(1)
	u.SetHolding(0x6b, 0x022b, 0, 0x64)
	u.SetInput(8, 10)
	u.SetCoils(0xac, false)
	u.SetHolding(1, 0, 0)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.ServeTCP(t.Context(), ln) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	// [MB-APP 6.3, 6.4, 6.5, 6.6, 6.12]; the second unit is silent.
	converse(t, conn,
		"0001 0000 0006 01 03 006b 0003", "0001 0000 0009 01 03 06 022b 0000 0064",
		"0002 0000 0006 01 04 0008 0001", "0002 0000 0005 01 04 02 000a",
		"0003 0000 0006 01 05 00ac ff00", "0003 0000 0006 01 05 00ac ff00",
		"0004 0000 0006 01 01 00ac 0001", "0004 0000 0004 01 01 01 01",
		"0005 0000 0006 01 06 0001 0003", "0005 0000 0006 01 06 0001 0003",
		"0006 0000 000b 01 10 0001 0002 04 000a 0102", "0006 0000 0006 01 10 0001 0002",
		"0007 0000 0006 02 03 0001 0001", "",
		"0008 0000 0006 01 03 0001 0002", "0008 0000 0007 01 03 04 000a 0102",
		"0009 0000 0006 01 03 0200 0001", "0009 0000 0003 01 83 02",
		"000a 0000 0006 01 03 0001 007e", "000a 0000 0003 01 83 03",
		"000b 0000 0002 01 2b", "000b 0000 0003 01 ab 01",
	)
	s.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := s.ServeTCP(context.Background(), ln); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestAnRTURequestIsFoundInNoiseAndInPieces(t *testing.T) {
	s := New()
	s.Unit(0x11).SetHolding(0x6b, 0x022b)
	near, far := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- s.ServeRTU(t.Context(), far) }()
	near.SetDeadline(time.Now().Add(20 * time.Second))
	request := []byte{0x11, 3, 0, 0x6b, 0, 1}
	sum := checksum(request)
	request = append(request, byte(sum), byte(sum>>8))
	for cut := range request {
		for _, piece := range [][]byte{{0xff, 0x11, 3}, request[:cut], request[cut:]} {
			if _, err := near.Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		answer := make([]byte, 7)
		if _, err := io.ReadFull(near, answer); err != nil || !bytes.HasPrefix(answer, []byte{0x11, 3, 2, 2, 0x2b}) {
			t.Fatalf("cut at %d: got % x, %v", cut, answer, err)
		}
	}
	s.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestCloseEndsAnswersThatAreStillToCome(t *testing.T) {
	s := New()
	s.Unit(1).SetHolding(0, 1)
	s.Unit(1).Inject(Fault{Delay: time.Hour})
	near, far := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- s.ServeRTU(t.Context(), far) }()
	request := []byte{1, 3, 0, 0, 0, 1}
	sum := checksum(request)
	near.Write(append(request, byte(sum), byte(sum>>8)))
	s.Close()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
	}
}
