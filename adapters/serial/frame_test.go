package serial

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// mustFramer is the framer of a frame table.
func mustFramer(t testing.TB, cfg Frame) framer {
	t.Helper()
	cfg.setDefaults()
	cfg.check(func(key, format string, args ...any) { t.Fatalf("%s: "+format, append([]any{key}, args...)...) })
	f, err := newFramer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestMessagesAreToldApartInEachWay(t *testing.T) {
	hexed := func(s string) string {
		b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, c := range []struct {
		name     string
		frame    Frame
		in, want string
	}{
		{"delimiter", Frame{Kind: "delimiter", End: ";"}, "a;b;;c\n;d", "a|b|c\n"},
		{"delimiter of two", Frame{Kind: "delimiter", End: "\r\n", Max: 4}, "a\rb\r\r\n1234\r\n12345\r\nc\r\n", "a\rb\r|1234|!|c"},
		{"delimiter in the skipped", Frame{Kind: "delimiter", End: "--", Max: 2}, "1234-5--a--", "!|a"},
		{"fixed with a start", Frame{Kind: "fixed", Length: 4, Start: "hex:aa"}, "xx\xaa123y\xaa456\xaa7", "\xaa123|\xaa456"},
		{"fixed with a checksum", Frame{Kind: "fixed", Length: 3, Checksum: Checksum{Kind: "sum"}}, "\x01\x02\x03zz\x04\x05\x09", "\x01\x02|!sum|\x04\x05"},
		{"a start of two in garbage", Frame{Kind: "fixed", Length: 4, Start: "hex:42 4d"}, "BBM12BBBM34B", "BM12|BM34"},
		{"length", Frame{Kind: "length", Start: "hex:aa", LengthAt: 1, LengthAdd: 2}, "q\xaa\x02hi\xaa\x00\xaa\x01x", "\xaa\x02hi|\xaa\x00|\xaa\x01x"},
		{"length of two, low first", Frame{Kind: "length", Start: "hex:aa", LengthAt: 1, LengthBytes: 2, LengthOrder: "BA", LengthAdd: 3}, "\xaa\x02\x00hi", "\xaa\x02\x00hi"},
		{"length that cannot be", Frame{Kind: "length", Start: "hex:aa", LengthAt: 1, Max: 8}, "\xaa\x01\xaa\xff\xaa\x03x", "!broken|\xaa\x03x"},
		{"stx_etx", Frame{Kind: "stx_etx"}, "noise\x02one\x03\r\n\x02two\x03", "one|two"},
		{"an end that is missing", Frame{Kind: "stx_etx"}, "\x02on\x02two\x03\x02three\x03", "!broken|two|three"},
		{"an end that never comes", Frame{Kind: "stx_etx", Max: 4}, "\x0212345678\x02ab\x03", "!|ab"},
		{"a BCC behind ETX", Frame{Kind: "stx_etx", Trailer: 1, Checksum: Checksum{Kind: "xor", From: 1}}, "\x02AB\x03\x00\x02AB\x03\x01\x02AB\x03\x00", "AB|!sum|AB"},
		{"a checksum before ETX", Frame{Kind: "stx_etx", Checksum: Checksum{Kind: "sum", From: 1, Tail: 1, Hex: true}}, "\x02AB83\x03\x02AB84\x03", "AB|!sum"},
		{"a start in a checked message", Frame{Kind: "stx_etx", Trailer: 1, Checksum: Checksum{Kind: "xor"}}, "\x02a\x02\x03\x62\x02lost\x02b\x03\x63", "a\x02|!sum|b"},
		{"slip", Frame{Kind: "slip"}, hexed("c0 01 db dc 02 db dd c0 c0 03 c0 04"), "\x01\xc0\x02\xdb|\x03"},
		{"slip with a wrong escape", Frame{Kind: "slip"}, hexed("01 db 55 02 c0 03 c0 db c0 04 c0"), "!broken|\x03|!broken|\x04"},
		{"slip too long", Frame{Kind: "slip", Max: 2}, hexed("01 02 03 04 c0 03 c0"), "!|\x03"},
		{"nmea", Frame{Checksum: Checksum{Kind: "nmea"}}, "$GPGLL,5057.970,N,00146.110,E,142451,A*27\r\n$GPGLL,5057.971,N*27\r\n$GPGLL\r\n",
			"$GPGLL,5057.970,N,00146.110,E,142451,A|!sum|!sum"},
	} {
		for size := 1; size <= len(c.in); size++ {
			if got := strings.Join(frames(mustFramer(t, c.frame), []byte(c.in), size), "|"); got != c.want {
				t.Errorf("%s in pieces of %d: got %q, want %q", c.name, size, got, c.want)
				break
			}
		}
	}
}

// The check values of the catalogue of parametrised CRC algorithms, which are
// those of "123456789".
func TestChecksumsAreThoseOfTheCatalogue(t *testing.T) {
	want := map[string]uint16{
		"crc8-maxim": 0xa1, "crc16-modbus": 0x4b37, "crc16-arc": 0xbb3d, "crc16-ccitt-false": 0x29b1, "crc16-xmodem": 0x31c3,
		"crc16-kermit": 0x2189, "crc16-x25": 0x906e, "xor": 0x31, "sum": 0xdd, "sum-neg": 0x23, "sum16": 0x1dd, "nmea": 0x31,
	}
	for _, a := range algorithms() {
		if got := a.of([]byte("123456789")); got != want[a.name] {
			t.Errorf("%s: got %#x, want %#x", a.name, got, want[a.name])
		}
	}
	// The order on the wire of Modbus RTU: the low byte first.
	f := mustFramer(t, Frame{Kind: "fixed", Length: 8, Checksum: Checksum{Kind: "crc16-modbus"}})
	if got := frames(f, []byte("\x01\x03\x00\x00\x00\x02\xc4\x0b")); !slices.Equal(got, []string{"\x01\x03\x00\x00\x00\x02"}) {
		t.Errorf("got %q", got)
	}
}

func TestASilenceEndsAMessage(t *testing.T) {
	e := listen(t, Config{
		Frame: Frame{Kind: "idle", Gap: 20 * time.Millisecond},
		Parse: Parse{Regexp: `^(?P<x>.*)$`},
	})
	e.open(e.now)
	e.after(time.Second)
	e.got = nil
	e.hear("12")
	e.after(19 * time.Millisecond).hear("34")
	e.want()
	e.after(20 * time.Millisecond)
	e.want("x=1234 at 1.019s") // the time is that of its last byte
	// What comes late enough begins another, though nobody looked in between.
	e.hear("5")
	e.now = e.now.Add(30 * time.Millisecond)
	e.hear("6")
	e.after(time.Second)
	e.want("x=5 at 1.039s", "x=6 at 1.069s")
}

func TestASilenceDropsWhatHasNotEnded(t *testing.T) {
	e := listen(t, Config{
		Frame: Frame{Kind: "fixed", Length: 3, Gap: 20 * time.Millisecond},
		Parse: Parse{Regexp: `^(?P<x>.*)$`},
	})
	e.open(e.now)
	e.after(time.Millisecond).hear("0") // of what began unheard
	e.after(time.Second)
	e.got = nil
	e.hear("12")
	e.after(time.Second).hear("345")
	e.want("x=345 at 2.001s")
	if e.stats.Broken != 1 {
		t.Errorf("stats are %+v", e.stats)
	}
}

func TestAMessageWithoutValuesKeepsNoneFresh(t *testing.T) {
	e := listen(t, Config{
		Parse: Parse{Kind: "nmea"}, Points: []Point{{Name: "height", From: "GGA:9", Unit: "m"}}, StaleAfter: 10 * time.Second,
	})
	e.open(e.now)
	e.after(time.Second).hear("$GPGGA,1,2,N,3,E,1,08,0.9,545.4,M\r\n")
	e.got = nil
	for range 9 {
		e.after(time.Second).hear("$GPGSV,1,1,01\r\n")
	}
	e.want()
	e.after(time.Second)
	e.want("offline: no message matched parse for 10s", "height=545.4m(stale: no message matched parse for 10s) at 1s")
	if e.stats.Unmatched != 0 {
		t.Errorf("stats are %+v: a sentence that no point is of is understood", e.stats)
	}
}

// fuzzFrames are framings of every kind.
func fuzzFrames() []Frame {
	return []Frame{
		{Max: 16, Checksum: Checksum{Kind: "nmea"}},
		{Kind: "delimiter", End: "\r\n", Max: 16},
		{Kind: "fixed", Length: 5, Start: "hex:02"},
		{Kind: "fixed", Length: 4, Checksum: Checksum{Kind: "sum"}, Max: 16},
		{Kind: "length", Start: "hex:02", LengthAt: 1, LengthAdd: 2, Max: 16},
		{Kind: "length", LengthBytes: 2, LengthOrder: "BA", Max: 16, Checksum: Checksum{Kind: "crc16-modbus"}},
		{Kind: "length", Start: "hex:02", LengthAt: 1, LengthBytes: 4, LengthAdd: -7, Max: 16},
		{Kind: "stx_etx", Max: 16},
		{Kind: "stx_etx", Max: 16, Trailer: 2, Checksum: Checksum{Kind: "xor", From: 1, Hex: true}},
		{Kind: "stx_etx", Start: "aa", End: "aa", Max: 16},
		{Kind: "p1", Max: 16},
		{Kind: "slip", Max: 16},
		{Kind: "idle", Max: 16},
	}
}

// framerHolds gives how many bytes a framer holds.
func framerHolds(f framer) int {
	switch f := f.(type) {
	case *lineFramer:
		return cap(f.line)
	case *delimiterFramer:
		return cap(f.message)
	case *windowFramer:
		return cap(f.held)
	case *slipFramer:
		return cap(f.held)
	case *idleFramer:
		return cap(f.held)
	}
	panic(fmt.Sprintf("%T", f))
}

// FuzzFrames has every framing cut any bytes in any pieces: the messages are the
// same, and none is longer than it may be.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x02abc\x03\x02\x02de\x0300\r\n$a*61\r\n/x!d1d3"), uint8(3), uint8(1))
	f.Add([]byte("\x01\x02\x03\x02\x03xyz\xc0\xdb\xdc\xdb\xdd\xc0aaxaaaa"), uint8(1), uint8(2))
	f.Add([]byte("\x02\x00\x00\x00\x0c12345\x02\x00\x00\xff\xff\r\r\n"), uint8(7), uint8(5))
	f.Fuzz(func(t *testing.T, in []byte, a, b uint8) {
		for _, cfg := range fuzzFrames() {
			x, y := mustFramer(t, cfg), mustFramer(t, cfg)
			whole, cut := frames(x, in), frames(y, in, int(a), int(b))
			if cfg.Kind == "idle" { // where there is no silence is one message, or none
				whole, cut = nil, nil
			}
			after := func(f framer, got []string) []string {
				f.idle(func(m []byte) { got = append(got, string(m)) }, func(damage) { got = append(got, "!") })
				if f.pending() {
					t.Fatalf("%+v of %q: still pending after a silence", cfg, in)
				}
				return got
			}
			whole, cut = after(x, whole), after(y, cut)
			if !slices.Equal(whole, cut) {
				t.Fatalf("%+v of %q: whole %q, in pieces %q", cfg, in, whole, cut)
			}
			for _, m := range whole {
				if len(m) > 16 {
					t.Fatalf("%+v of %q: a message of %d bytes", cfg, in, len(m))
				}
			}
			if n := max(framerHolds(x), framerHolds(y)); n > 64 {
				t.Fatalf("%+v of %q: it holds %d bytes", cfg, in, n)
			}
		}
	})
}

func TestAMessageIsFoundAfterTenMegabytesOfRandomBytes(t *testing.T) {
	size := 10 << 20
	if testing.Short() {
		size = 1 << 20
	}
	for _, c := range []struct {
		frame Frame
		send  string
		want  string
	}{
		{Frame{Kind: "delimiter", End: "\r\n"}, "\r\nhello\r\n", "hello"},
		{Frame{Kind: "fixed", Length: 32, Checksum: Checksum{Kind: "sum"}}, strings.Repeat("\x03", 31) + "\x5d", strings.Repeat("\x03", 31)},
		{Frame{Kind: "stx_etx", Trailer: 1, Checksum: Checksum{Kind: "xor", From: 1}}, "\x02AB\x03\x00", "AB"},
		{Frame{Kind: "length", Start: "hex:aa", LengthAt: 1, LengthBytes: 2, LengthAdd: 3}, "\xaa\x00\x01x", "\xaa\x00\x01x"},
		{Frame{Kind: "p1"}, "/x!d1d3\r\n", "x"},
		{Frame{Kind: "slip"}, "\xc0hello\xc0", "hello"},
	} {
		f := mustFramer(t, c.frame)
		noise := rand.New(rand.NewPCG(7, 8))
		chunk := make([]byte, 4096)
		messages := 0
		message := func(b []byte) {
			messages++
			if len(b) > defaultMaxFrame {
				t.Fatalf("%s: a message of %d bytes", c.frame.Kind, len(b))
			}
		}
		bad := func(damage) {}
		feed := func() { f.feed(chunk, message, bad) }
		for range size / len(chunk) {
			for i := 0; i < len(chunk); i += 8 {
				n := noise.Uint64()
				for j := range 8 {
					chunk[i+j] = byte(n >> (8 * j))
				}
			}
			feed()
		}
		if n := framerHolds(f); n > 2*defaultMaxFrame {
			t.Errorf("%s: it holds %d bytes", c.frame.Kind, n)
		}
		if n := testing.AllocsPerRun(10, feed); n != 0 {
			t.Errorf("%s: %v allocations for 4 kB of noise", c.frame.Kind, n)
		}
		if messages == 0 && c.frame.Kind != "p1" && c.frame.Kind != "delimiter" {
			t.Errorf("%s: no message in all the noise: it was not read", c.frame.Kind)
		}
		// One that has begun in the noise may take the first ones with it.
		got := frames(f, []byte(strings.Repeat(c.send, 70_000/len(c.send))))
		if got[len(got)-1] != c.want {
			t.Errorf("%s: got %q at the end", c.frame.Kind, got[len(got)-1])
		}
	}
}
