package listen

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"io"
	"net"
	"strings"
	"testing"
)

// v2 makes a header of version 2 with the right length; text is hexadecimal.
func v2(command, family byte, text string) []byte {
	body, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		panic(err)
	}
	h := append([]byte(proxySignature), command, family)
	h = binary.BigEndian.AppendUint16(h, uint16(len(body)))
	return append(h, body...)
}

// withChecksum puts the right checksum into a header that ends in an empty one.
func withChecksum(h []byte) []byte {
	at := len(h) - 4
	binary.BigEndian.PutUint32(h[at:], crc32.Checksum(h, crc32.MakeTable(crc32.Castagnoli)))
	return h
}

const (
	v4Addrs = "c0000201 c6336401 dc04 075b" // 192.0.2.1:56324 to 198.51.100.1:1883
	v6Addrs = "20010db8000000000000000000000001 20010db8000000000000000000000002 dc04 075b"
)

var unixAddrs = hex.EncodeToString([]byte("/run/client")) + strings.Repeat("00", 97) + strings.Repeat("00", 108)

var proxyCases = []struct {
	name   string
	header []byte
	want   string // "": the connection's own address
}{
	{"v1 TCP4", []byte("PROXY TCP4 192.0.2.1 198.51.100.1 56324 1883\r\n"), "192.0.2.1:56324"},
	{"v1 TCP4, the longest", []byte("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255:65535"},
	{"v1 TCP6", []byte("PROXY TCP6 2001:db8::1 2001:db8::2 56324 1883\r\n"), "[2001:db8::1]:56324"},
	{"v1 UNKNOWN", []byte("PROXY UNKNOWN\r\n"), ""},
	{"v1 UNKNOWN with more, the longest line", []byte("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"), ""},
	{"v2 TCP over IPv4", v2(0x21, 0x11, v4Addrs), "192.0.2.1:56324"},
	{"v2 TCP over IPv6", v2(0x21, 0x21, v6Addrs), "[2001:db8::1]:56324"},
	{"v2 unix", v2(0x21, 0x31, unixAddrs), "/run/client"},
	{"v2 with TLVs", v2(0x21, 0x11, v4Addrs+"02 0003 616263 04 0000"), "192.0.2.1:56324"},
	{"v2 with a checksum", withChecksum(v2(0x21, 0x11, v4Addrs+"04 0001 00 03 0004 00000000")), "192.0.2.1:56324"},
	{"v2 LOCAL", v2(0x20, 0x00, ""), ""},
	{"v2 LOCAL with what is to be ignored", v2(0x20, 0x11, "0102"), ""},
	{"v2 of an unknown family", v2(0x21, 0x00, "04 0000"), ""},
	{"v2, the largest", v2(0x21, 0x11, v4Addrs+"04 0ff1"+strings.Repeat("00", maxProxyHeader-12-3)), "192.0.2.1:56324"},
}

func TestAProxyHeaderNamesTheClient(t *testing.T) {
	for _, c := range proxyCases {
		t.Run(c.name, func(t *testing.T) {
			r := bytes.NewReader(append(bytes.Clone(c.header), "MQTT"...))
			addr, err := readProxyHeader(r)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if addr != nil {
				got = addr.String()
			}
			rest, _ := io.ReadAll(r)
			if got != c.want || string(rest) != "MQTT" {
				t.Errorf("got %q and the rest %q, want %q and \"MQTT\"", got, rest, c.want)
			}
			// Cut anywhere, it is never taken for another.
			for n := range c.header {
				if addr, err := readProxyHeader(bytes.NewReader(c.header[:n])); err == nil {
					t.Errorf("its first %d bytes: got %v, want an error", n, addr)
				}
			}
		})
	}
}

var badProxyHeaders = []struct {
	name   string
	header []byte
	want   string
}{
	{"none", []byte("\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00"), "there is none"},
	{"TLS", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00"), "there is none"},
	{"lower case", []byte("proxy TCP4 192.0.2.1 198.51.100.1 56324 1883\r\n"), "there is none"},
	{"v1 of another family", []byte("PROXY UDP4 192.0.2.1 198.51.100.1 56324 1883\r\n"), "want \"PROXY TCP4\""},
	{"v1 too short", []byte("PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n"), "two addresses and two ports"},
	{"v1 too many", []byte("PROXY TCP4 192.0.2.1 198.51.100.1 56324 1883 1\r\n"), "two addresses and two ports"},
	{"v1 two blanks", []byte("PROXY TCP4  192.0.2.1 198.51.100.1 56324 1883\r\n"), "two addresses and two ports"},
	{"v1 with the wrong address", []byte("PROXY TCP4 2001:db8::1 2001:db8::2 56324 1883\r\n"), "source: \"2001:db8::1\" is no address of TCP4"},
	{"v1 with the wrong address of 6", []byte("PROXY TCP6 192.0.2.1 198.51.100.1 56324 1883\r\n"), "is no address of TCP6"},
	{"v1 with a zone", []byte("PROXY TCP6 fe80::1%eth0 fe80::2 56324 1883\r\n"), "is no address of TCP6"},
	{"v1 with a name", []byte("PROXY TCP4 localhost 198.51.100.1 56324 1883\r\n"), "is no address"},
	{"v1 with leading zeros", []byte("PROXY TCP4 192.0.2.1 198.51.100.1 0080 1883\r\n"), "\"0080\" is no port"},
	{"v1 with a port too large", []byte("PROXY TCP4 192.0.2.1 198.51.100.1 1 65536\r\n"), "destination: \"65536\" is no port"},
	{"v1 with a sign", []byte("PROXY TCP4 192.0.2.1 198.51.100.1 +1 1883\r\n"), "\"+1\" is no port"},
	{"v1 with a line feed only", []byte("PROXY TCP4 192.0.2.1 198.51.100.1 1 2\nx" + strings.Repeat("x", 200)), "no end of line within 107 bytes"},
	{"v1 without end", []byte("PROXY UNKNOWN " + strings.Repeat("x", 200) + "\r\n"), "no end of line within 107 bytes"},
	{"v2 of version 1", v2(0x11, 0x11, v4Addrs), "version 1 after the signature"},
	{"v2 of another command", v2(0x22, 0x11, v4Addrs), "command 2 is neither"},
	{"v2 of UDP", v2(0x21, 0x12, v4Addrs), "0x12: want TCP"},
	{"v2 of another family", v2(0x21, 0x41, v4Addrs), "0x41: want TCP"},
	{"v2 too short for IPv4", v2(0x21, 0x11, "c0000201 c6336401 dc04"), "10 bytes are too few"},
	{"v2 too short for IPv6", v2(0x21, 0x21, v4Addrs), "12 bytes are too few"},
	{"v2 too short for unix", v2(0x21, 0x31, v4Addrs), "want 216"},
	{"v2 too large", v2(0x21, 0x11, v4Addrs+strings.Repeat("00", maxProxyHeader)), "4108 bytes are more than 4096"},
	{"v2 with half a TLV", v2(0x21, 0x11, v4Addrs+"02 00"), "a TLV is cut off"},
	{"v2 with a TLV past its end", v2(0x21, 0x11, v4Addrs+"02 0003 6162"), "reach past the header"},
	{"v2 with a short checksum", v2(0x21, 0x11, v4Addrs+"03 0002 0000"), "checksum of 2 bytes"},
	{"v2 with a wrong checksum", v2(0x21, 0x11, v4Addrs+"03 0004 00000000"), "checksum is 0x00000000, computed"},
}

func TestAMalformedProxyHeaderIsRefused(t *testing.T) {
	for _, c := range badProxyHeaders {
		t.Run(c.name, func(t *testing.T) {
			addr, err := readProxyHeader(bytes.NewReader(c.header))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v, want %q", addr, err, c.want)
			}
		})
	}
}

// FuzzProxyHeader: nothing panics or takes more than the limits say; what is
// taken does not depend on what follows it, and names an address that can be
// printed.
func FuzzProxyHeader(f *testing.F) {
	for _, c := range proxyCases {
		f.Add(c.header)
	}
	for _, c := range badProxyHeaders {
		f.Add(c.header)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		addr, err := readProxyHeader(r)
		used := len(b) - r.Len()
		if used > 16+maxProxyHeader {
			t.Fatalf("%d bytes were taken", used)
		}
		if err != nil {
			return
		}
		again, err := readProxyHeader(bytes.NewReader(b[:used:used]))
		if err != nil {
			t.Fatalf("alone: %v", err)
		}
		if (addr == nil) != (again == nil) || addr != nil && addr.String() != again.String() {
			t.Fatalf("got %v, alone %v", addr, again)
		}
		if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.To16() == nil {
			t.Fatalf("got an address without IP: %v", addr)
		}
	})
}
