package port

import (
	"strings"
	"testing"
	"time"
	"unsafe"
)

func TestRS485IsSaidToTheKernelAsItStandsInItsHeader(t *testing.T) {
	if n := unsafe.Sizeof(kernelRS485{}); n != 32 {
		t.Errorf("struct serial_rs485 is %d bytes, want 32", n)
	}
	for query, want := range map[string]kernelRS485{
		"rs485=rts": {flags: 0x03},
		"rs485=rts-inverted&rts_before=1ms&rts_after=20ms":      {flags: 0x05, before: 1, after: 20},
		"rs485=rts&rx_during_tx=true&baud=115200":               {flags: 0x13},
		"rs485=rts&rx_during_tx=false&rts_after=100ms&parity=E": {flags: 0x03, after: 100},
	} {
		m, err := ParseMode(query)
		if err != nil || !m.RS485.On || m.RS485.kernel() != want {
			t.Errorf("%s: got %+v, %v; want %+v", query, m.RS485.kernel(), err, want)
		}
	}
}

func TestTheKernelsSerialStructIsAsItStandsInItsHeader(t *testing.T) {
	want := uintptr(72)
	if unsafe.Sizeof(uintptr(0)) == 4 {
		want = 60
	}
	var s kernelSerial
	if size, at := unsafe.Sizeof(s), unsafe.Offsetof(s.flags); size != want || at != 16 {
		t.Errorf("struct serial_struct is %d bytes with its flags at %d, want %d and 16", size, at, want)
	}
}

func TestWrongRS485SettingsSayWhatWouldBeRight(t *testing.T) {
	for query, want := range map[string]string{
		"rs485=on":                    "want rts (high",
		"rts_before=1ms":              "want rs485=rts",
		"rs485=rts&rts_after=1s":      "up to 100ms",
		"rs485=rts&rts_after=1500us":  "whole milliseconds",
		"rs485=rts&rx_during_tx=both": "true or false",
	} {
		if _, err := ParseMode(query); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", query, err, want)
		}
	}
}

func TestAPortThatCannotSwitchRS485SaysSo(t *testing.T) {
	path, far, err := Pair(Mode{})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	mode := DefaultMode()
	mode.RS485.On = true
	if p, err := Open(path, mode); err == nil || !strings.Contains(err.Error(), "cannot switch RS485") {
		t.Errorf("got %v, %v", p, err)
	}
}

func TestAPauseIsNoShorterThanAskedAndEndsWithItsContext(t *testing.T) {
	for _, d := range []time.Duration{0, 300 * time.Microsecond, 1750 * time.Microsecond, 6 * time.Millisecond} {
		begin := time.Now()
		if err := Pause(t.Context(), d); err != nil || time.Since(begin) < d {
			t.Errorf("%v: %v after %v", d, err, time.Since(begin))
		}
	}
}
