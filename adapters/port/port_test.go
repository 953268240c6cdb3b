package port

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.bug.st/serial"
)

// pair gives an open port and its other end.
func pair(t *testing.T, mode Mode) (*Port, io.ReadWriteCloser, string) {
	t.Helper()
	path, far, err := Pair(mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	p, err := Open(path, DefaultMode())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, far, path
}

// soon bounds what should not take long.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestEveryByteGoesThroughBothWays(t *testing.T) {
	p, far, _ := pair(t, Mode{})
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	if _, err := p.Write(soon(t), all); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(all))
	if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, all) {
		t.Fatalf("the far end got % x, %v", got, err)
	}
	if _, err := far.Write(all); err != nil {
		t.Fatal(err)
	}
	var back []byte
	for len(back) < len(all) {
		n, err := p.Read(soon(t), got)
		if err != nil || n == 0 {
			t.Fatalf("read %d bytes, %v", n, err)
		}
		back = append(back, got[:n]...)
	}
	if !bytes.Equal(back, all) {
		t.Fatalf("the port got % x", back)
	}
}

func TestAReadEndsWithItsContext(t *testing.T) {
	p, far, _ := pair(t, Mode{})
	b := make([]byte, 8)
	short, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if n, err := p.Read(short, b); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silence gave %d bytes, %v", n, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	time.AfterFunc(5*time.Millisecond, stop)
	if _, err := p.Read(ctx, b); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
	// And neither harms the next one.
	far.Write([]byte("x"))
	if n, err := p.Read(soon(t), b); n != 1 || err != nil {
		t.Errorf("got %d bytes, %v", n, err)
	}
}

func TestAReadEndsAtItsTimeAndIsNotHarmedByThoseBefore(t *testing.T) {
	p, far, _ := pair(t, Mode{})
	b := make([]byte, 8)
	for range 2 {
		// The same time again: it has passed, and still says so.
		if n, err := p.ReadBy(time.Unix(1_000_000_000, 0), b); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("silence gave %d bytes, %v", n, err)
		}
	}
	far.Write([]byte("x"))
	if n, err := p.Read(soon(t), b); n != 1 || err != nil {
		t.Errorf("got %d bytes, %v", n, err)
	}
	if n, err := p.ReadBy(time.Unix(1_000_000_000, 0), b); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after another kind of read: %d bytes, %v", n, err)
	}
	time.AfterFunc(5*time.Millisecond, func() { p.Close() })
	if _, err := p.ReadBy(time.Now().Add(10*time.Second), b); !errors.Is(err, ErrGone) {
		t.Errorf("got %v, want ErrGone", err)
	}
}

func TestAWriteThatNobodyTakesEnds(t *testing.T) {
	p, _, _ := pair(t, Mode{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	n, err := p.Write(ctx, make([]byte, 1<<20))
	if n == 0 || n == 1<<20 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestUnpluggingEndsAReadAtOnce(t *testing.T) {
	p, far, _ := pair(t, Mode{})
	time.AfterFunc(5*time.Millisecond, func() { far.Close() })
	if _, err := p.Read(soon(t), make([]byte, 8)); !errors.Is(err, ErrGone) {
		t.Errorf("got %v, want ErrGone", err)
	}
	if _, err := p.Write(soon(t), []byte("x")); !errors.Is(err, ErrGone) {
		t.Errorf("got %v, want ErrGone", err)
	}
}

func TestClosingEndsARead(t *testing.T) {
	p, _, _ := pair(t, Mode{})
	time.AfterFunc(5*time.Millisecond, func() { p.Close() })
	if _, err := p.Read(soon(t), make([]byte, 8)); !errors.Is(err, ErrGone) {
		t.Errorf("got %v, want ErrGone", err)
	}
	p.Close()
}

func TestTwoCannotHaveOnePort(t *testing.T) {
	p, _, path := pair(t, Mode{})
	link := filepath.Join(t.TempDir(), "by-id")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(link, DefaultMode()); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), link) {
		t.Errorf("got %v, want ErrBusy with the path", err)
	}
	p.Close()
	again, err := Open(link, DefaultMode())
	if err != nil {
		t.Fatalf("after the first was closed: %v", err)
	}
	again.Close()
}

func TestWhatCannotBeOpenedIsSaidWithWhatToDo(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing")
	_, err := Open(missing, DefaultMode())
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) || !strings.Contains(err.Error(), "headgate serial list") {
		t.Errorf("got %v", err)
	}
	if _, err := Open(plain, DefaultMode()); err == nil || !strings.HasSuffix(err.Error(), "it is not a serial port, or cannot do 9600 8N1: inappropriate ioctl for device") {
		t.Errorf("a plain file: got %v", err)
	}
	if err := explain(missing, fs.ErrPermission); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "dialout") {
		t.Errorf("got %v", err)
	}
}

func TestADescriptorAbove1023IsNoPanic(t *testing.T) {
	var held []*os.File
	defer func() {
		for _, f := range held {
			f.Close()
		}
	}()
	for range 1100 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Skipf("this machine does not allow so many files: %v", err)
		}
		held = append(held, f)
	}
	p, far, _ := pair(t, Mode{})
	if p.fd < 1024 {
		t.Fatalf("the port has the descriptor %d: too low to show anything", p.fd)
	}
	far.Write([]byte("x"))
	if n, err := p.Read(soon(t), make([]byte, 8)); n != 1 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if n, err := p.Write(soon(t), []byte("y")); n != 1 || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
}

func TestAPacedPairTakesAsLongAsTheLine(t *testing.T) {
	mode := Mode{Baud: 9600, DataBits: 8, Parity: None, StopBits: 1}
	p, far, _ := pair(t, mode)
	start := time.Now()
	go far.Write(make([]byte, 48))
	b := make([]byte, 64)
	for got := 0; got < 48; {
		n, err := p.Read(soon(t), b)
		if err != nil {
			t.Fatal(err)
		}
		got += n
	}
	if took, want := time.Since(start), mode.WireTime(48); took < want {
		t.Errorf("48 bytes took %v, want %v at least", took, want)
	}
}

func TestURLs(t *testing.T) {
	for text, want := range map[string]string{
		"serial:///dev/ttyUSB1":                                       "/dev/ttyUSB1 9600 8N1",
		"rtu:///dev/serial/by-id/x?baud=19200&parity=E":               "/dev/serial/by-id/x 19200 8E1",
		"rtu:///dev/ttyS0?baud=1200&parity=o&data_bits=7&stop_bits=2": "/dev/ttyS0 1200 7O2",
		"serial:///dev/ttyS0?data_bits=5&stop_bits=1.5&parity=M":      "/dev/ttyS0 9600 5M1.5",
		"serial:///dev/ttyS0?parity=space&dtr=off&rts=on":             "/dev/ttyS0 9600 8S1",
		"serial:usb:0403:6001?baud=19200":                             "usb:0403:6001 19200 8N1",
		"rtu:usb:1A86:7523:0001":                                      "usb:1A86:7523:0001 9600 8N1",
	} {
		a, err := ParseURL(text, "serial", "rtu")
		if got := a.Path + " " + a.Mode.String(); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                                "no scheme",
		"/dev/ttyUSB1":                    "no scheme",
		"tcp://host:502":                  "none of serial, rtu",
		"serial://dev/ttyUSB1":            `"serial:///dev/ttyUSB1"`,
		"serial:///":                      "no absolute path",
		"serial:///dev/ttyUSB1?baud=fast": "baud=fast",
		"serial:///dev/ttyUSB1?baud=0":    "50 to 4000000",
		"serial:///x?baudrate=9600":       "did you mean baud?",
		"serial:///x?colour=red":          "there are baud",
		"serial:///x?parity=X":            "N (none)",
		"serial:///x?data_bits=9":         "5, 6, 7 or 8",
		"serial:///x?stop_bits=3":         "1 or 2",
		"serial:///x?stop_bits=1.5":       "with data_bits=5",
		"serial:///x?dtr=low":             "on or off",
		"serial:usb:0403":                 "want usb:VID:PID",
		"serial:usb:0403:600g":            "want usb:VID:PID",
		"serial:usb:0403:6001:":           "no serial number",
		"serial:ttyUSB0":                  "no absolute path",
		"serial:///x?baud=1200&baud=2400": "given 2 times",
	} {
		if _, err := ParseURL(text, "serial", "rtu"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", text, err, want)
		}
	}
}

func TestEveryModeOfTheLibraryCanBeAskedFor(t *testing.T) {
	for query, want := range map[string]serial.Mode{
		"baud=250000":               {BaudRate: 250000, DataBits: 8},
		"data_bits=5&stop_bits=1.5": {BaudRate: 9600, DataBits: 5, StopBits: serial.OnePointFiveStopBits},
		"data_bits=7&parity=M":      {BaudRate: 9600, DataBits: 7, Parity: serial.MarkParity},
		"parity=S&stop_bits=2":      {BaudRate: 9600, DataBits: 8, Parity: serial.SpaceParity, StopBits: serial.TwoStopBits},
		"parity=E&data_bits=6":      {BaudRate: 9600, DataBits: 6, Parity: serial.EvenParity},
		"parity=O":                  {BaudRate: 9600, DataBits: 8, Parity: serial.OddParity},
		"dtr=off":                   {BaudRate: 9600, DataBits: 8, InitialStatusBits: &serial.ModemOutputBits{RTS: true}},
		"rts=off&dtr=on":            {BaudRate: 9600, DataBits: 8, InitialStatusBits: &serial.ModemOutputBits{DTR: true}},
	} {
		mode, err := ParseMode(query)
		if got := mode.library(); err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: got %+v, %v; want %+v", query, *got, err, want)
		}
	}
}

func TestAPortOpensInEveryMode(t *testing.T) {
	path, far, err := Pair(Mode{})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	for _, query := range []string{"baud=1200&parity=E", "baud=250000", "parity=O&data_bits=7&stop_bits=2", "parity=M", "parity=S"} {
		mode, err := ParseMode(query)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Open(path, mode)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		p.Close()
	}
}
