package modbus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"headgate/adapters/port"
)

// framed is unit id and PDU with their CRC.
func framed(s string) string {
	return string(binary.LittleEndian.AppendUint16([]byte(s), crc([]byte(s))))
}

func TestASnifferTellsRequestsFromAnswers(t *testing.T) {
	line := framed("\x07\x03\x00\x64\x00\x02") + framed("\x07\x03\x04\x12\x34\x56\x78") + // a read, its answer
		framed("\x07\x03\x00\x64\x00\x01") + // nobody answers
		framed("\x08\x04\x00\x00\x00\x02") + framed("\x08\x84\x02") +
		"\xff\x00" + // noise
		framed("\x07\x01\x00\x00\x00\x18") + framed("\x07\x01\x03\x01\x02\x03") + // an answer as long as a request
		framed("\x07\x06\x00\x05\x00\x09") + framed("\x07\x06\x00\x05\x00\x09") +
		framed("\x07\x10\x00\x05\x00\x02\x04\x00\x01\x00\x02") + framed("\x07\x10\x00\x05\x00\x02") +
		framed("\x07\x16\x00\x05\x00\xf0\x00\x01") + framed("\x07\x16\x00\x05\x00\xf0\x00\x01")
	want := `unit 7: read holding registers 100-101?
unit 7: 1234 5678
unit 7: read holding register 100?
unit 8: read input registers 0-1?
unit 8: exception 2 (illegal data address)
no frame: ff 00
unit 7: read coils 0-23?
unit 7: 0102 03
unit 7: write holding register 5 = 0x0009
unit 7: done
unit 7: write holding registers 5-6 = 0001 0002
unit 7: done
unit 7: function 22 at holding register 5: 00f00001
unit 7: done`
	for _, size := range []int{len(line), 1, 3} {
		s := sniffer{framing: rtu}
		var got []string
		for from := 0; from < len(line); from += size {
			for _, h := range s.feed([]byte(line[from:min(from+size, len(line))]), time.Now(), false) {
				got = append(got, h.Text)
			}
		}
		if text := strings.Join(got, "\n"); text != want {
			t.Errorf("%d bytes at a time: got\n%s\nwant\n%s", size, text, want)
		}
		if rest := s.feed([]byte("\x07\x03\x00"), time.Now(), true); len(rest) != 1 || rest[0].Text != "no frame: 07 03 00" {
			t.Errorf("what is cut off is %+v", rest)
		}
	}
}

func TestASnifferKnowsASCII(t *testing.T) {
	s := sniffer{framing: ascii}
	got := s.feed([]byte("x:070300640002"+"90\r\n:0703041234567"+"8DE\r\n"), time.Now(), true)
	if len(got) != 3 || got[1].Text != "unit 7: read holding registers 100-101?" || got[2].Text != "unit 7: 1234 5678" {
		t.Errorf("got %+v", got)
	}
}

func TestSniffingALineSaysWhatOthersSay(t *testing.T) {
	path, far, err := port.Pair(port.Mode{})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	heard := make(chan Heard)
	ended := make(chan error, 1)
	go func() {
		ended <- Sniff(ctx, Config{URL: "rtu://" + path}, func(h Heard) { heard <- h })
	}()
	// The port may not be open yet: what is written before that is lost.
	for {
		if _, err := far.Write([]byte(framed("\x07\x03\x00\x64\x00\x02"))); err != nil {
			t.Fatal(err)
		}
		select {
		case h := <-heard:
			if h.Text != "unit 7: read holding registers 100-101?" || len(h.Frame) != 6 {
				t.Errorf("got %+v", h)
			}
			cancel()
			for {
				select {
				case <-heard:
				case err := <-ended:
					if err != nil {
						t.Error(err)
					}
					return
				}
			}
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func TestOnlyASerialLineCanBeListenedTo(t *testing.T) {
	if err := Sniff(t.Context(), Config{URL: "tcp://127.0.0.1"}, nil); err == nil || !strings.Contains(err.Error(), "only a serial line") {
		t.Errorf("got %v", err)
	}
}

func TestASnifferSaysWhoHasThePort(t *testing.T) {
	path, far, err := port.Pair(port.Mode{})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	held, err := port.Open(path, port.DefaultMode())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	err = Sniff(t.Context(), Config{URL: "rtu://" + path}, nil)
	if want := fmt.Sprintf(", process %d", os.Getpid()); !errors.Is(err, port.ErrBusy) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q in it", err, want)
	}
}
