package listen

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol, by which a proxy tells whom it speaks for:
// https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, whose sections
// are cited as [PROXY 2.1].

const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n" // of version 2
	maxProxyLine   = 107                      // of version 1, its CRLF included [PROXY 2.1]
	maxProxyHeader = 4096                     // of version 2, after its first 16 bytes; ours
)

// readProxyHeader reads a header of version 1 or 2, and not one byte more. It
// gives nil when the header names no client: then the connection's own address
// counts.
func readProxyHeader(r io.Reader) (net.Addr, error) {
	// The shortest header, "PROXY UNKNOWN\r\n", is longer than this.
	start := make([]byte, len(proxySignature), maxProxyLine)
	if _, err := io.ReadFull(r, start); err != nil {
		return nil, err
	}
	switch {
	case string(start) == proxySignature:
		return readProxyV2(r)
	case bytes.HasPrefix(start, []byte("PROXY ")):
		return readProxyV1(r, start)
	}
	return nil, fmt.Errorf("there is none: the connection begins with %q", start)
}

// readProxyV1 reads "PROXY TCP4 192.0.2.1 192.0.2.9 56324 1883\r\n" on from its
// start. [PROXY 2.1]
func readProxyV1(r io.Reader, line []byte) (net.Addr, error) {
	// Byte by byte: what follows the line is not ours.
	for b := make([]byte, 1); !bytes.HasSuffix(line, []byte("\r\n")); {
		if len(line) == maxProxyLine {
			return nil, fmt.Errorf("version 1: no end of line within %d bytes", maxProxyLine)
		}
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, noEOF(err)
		}
		line = append(line, b[0])
	}
	text := strings.TrimSuffix(string(line), "\r\n")
	fields := strings.Split(text, " ")
	if fields[1] == "UNKNOWN" {
		return nil, nil // whatever follows
	}
	if len(fields) != 6 || fields[1] != "TCP4" && fields[1] != "TCP6" {
		return nil, fmt.Errorf("version 1: %q: want \"PROXY TCP4\" or \"PROXY TCP6\", two addresses and two ports", text)
	}
	source, err := proxyAddr(fields[1], fields[2], fields[4])
	if err != nil {
		return nil, fmt.Errorf("version 1: %q: source: %w", text, err)
	}
	if _, err := proxyAddr(fields[1], fields[3], fields[5]); err != nil {
		return nil, fmt.Errorf("version 1: %q: destination: %w", text, err)
	}
	return source, nil
}

// proxyAddr reads an address in its usual form, and a port without leading
// zeros.
func proxyAddr(family, host, port string) (net.Addr, error) {
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Is4() != (family == "TCP4") || ip.Zone() != "" {
		return nil, fmt.Errorf("%q is no address of %s", host, family)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != port {
		return nil, fmt.Errorf("%q is no port", port)
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(n))), nil
}

// readProxyV2 reads a binary header on from its signature. [PROXY 2.2]
func readProxyV2(r io.Reader) (net.Addr, error) {
	header := make([]byte, 16)
	copy(header, proxySignature)
	if _, err := io.ReadFull(r, header[12:]); err != nil {
		return nil, noEOF(err)
	}
	version, command := header[12]>>4, header[12]&0xf
	family := header[13]
	size := int(binary.BigEndian.Uint16(header[14:]))
	switch {
	case version != 2:
		return nil, fmt.Errorf("version %d after the signature of version 2", version)
	case command > 1:
		return nil, fmt.Errorf("version 2: command %d is neither LOCAL nor PROXY", command)
	case size > maxProxyHeader:
		return nil, fmt.Errorf("version 2: %d bytes are more than %d", size, maxProxyHeader)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, noEOF(err)
	}
	if command == 0 {
		return nil, nil // LOCAL: the proxy speaks for itself, as in health checks
	}
	remote, size, err := proxyV2Addr(family, body)
	if err != nil {
		return nil, fmt.Errorf("version 2: %w", err)
	}
	if err := checkProxyTLVs(append(header, body...), len(header)+size); err != nil {
		return nil, fmt.Errorf("version 2: %w", err)
	}
	return remote, nil
}

// proxyV2Addr reads the source's address, and says how many bytes both
// addresses take.
func proxyV2Addr(family byte, body []byte) (remote net.Addr, size int, err error) {
	short := func(want int) error {
		return fmt.Errorf("%d bytes are too few for the addresses: want %d", len(body), want)
	}
	switch family {
	case 0x00: // not known
		return nil, 0, nil
	case 0x11: // TCP over IPv4: two addresses, two ports
		if len(body) < 12 {
			return nil, 0, short(12)
		}
		ip := netip.AddrFrom4([4]byte(body[:4]))
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, binary.BigEndian.Uint16(body[8:]))), 12, nil
	case 0x21: // over IPv6
		if len(body) < 36 {
			return nil, 0, short(36)
		}
		ip := netip.AddrFrom16([16]byte(body[:16]))
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, binary.BigEndian.Uint16(body[32:]))), 36, nil
	case 0x31: // a unix stream: two paths, filled with NUL
		if len(body) < 216 {
			return nil, 0, short(216)
		}
		name, _, _ := strings.Cut(string(body[:108]), "\x00")
		return &net.UnixAddr{Net: "unix", Name: name}, 216, nil
	}
	return nil, 0, fmt.Errorf("address family and transport %#02x: want TCP or a unix stream", family)
}

// checkProxyTLVs walks through what follows the addresses of a whole header:
// type, length, value. One of them may be a checksum. [PROXY 2.2.3]
func checkProxyTLVs(header []byte, at int) error {
	const crc32c = 0x03
	for at < len(header) {
		if len(header)-at < 3 {
			return errors.New("a TLV is cut off")
		}
		kind, size := header[at], int(binary.BigEndian.Uint16(header[at+1:]))
		at += 3
		if size > len(header)-at {
			return fmt.Errorf("TLV %#02x: its %d bytes reach past the header", kind, size)
		}
		if kind == crc32c {
			if size != 4 {
				return fmt.Errorf("checksum of %d bytes: want 4", size)
			}
			want := binary.BigEndian.Uint32(header[at:])
			whole := bytes.Clone(header)
			clear(whole[at : at+4]) // it is computed with itself as zero
			if got := crc32.Checksum(whole, crc32.MakeTable(crc32.Castagnoli)); got != want {
				return fmt.Errorf("checksum is %#08x, computed %#08x", want, got)
			}
		}
		at += size
	}
	return nil
}

// noEOF makes an end in the middle of something what it is.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
