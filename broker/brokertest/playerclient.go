package brokertest

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"headgate/broker/packet"
)

// client is a script's end of one connection.
type client struct {
	name  string
	nc    net.Conn
	v     packet.Version
	scram *scramClient

	mu   sync.Mutex // guards what follows
	room sync.Cond
	buf  []byte // received, not expected yet
	eof  bool   // the server has closed
	gone bool   // nobody looks any more: what comes is thrown away
}

// maxUnread bounds what a client takes before its script looks at it.
const maxUnread = 1 << 20

// writeLimit is how long a write may take, in the script's time.
const writeLimit = 10 * time.Second

// open makes a new connection for a client.
func (p *player) open(name string) error {
	if old := p.clients[name]; old != nil {
		if rest := old.rest(); rest != "" {
			return fmt.Errorf("%s is still connected, or has not been told that it is not: got %s", name, rest)
		}
		if !old.ended() {
			return fmt.Errorf("%s is connected already", name)
		}
	}
	near, far := net.Pipe()
	c := &client{name: name, nc: near, v: p.v}
	c.room.L = &c.mu
	p.clients[name] = c
	b, ctx := p.broker, p.ctx
	p.running.Go(func() { b.ServeConn(ctx, far) })
	p.reading.Go(c.read)
	synctest.Wait()
	return nil
}

// read takes what the server sends.
func (c *client) read() {
	part := make([]byte, 64<<10)
	for {
		n, err := c.nc.Read(part)
		c.mu.Lock()
		for len(c.buf) > maxUnread && !c.gone {
			c.room.Wait()
		}
		if !c.gone {
			c.buf = append(c.buf, part[:n]...)
		}
		if err != nil {
			c.eof = true
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
	}
}

// drain lets the reader end.
func (c *client) drain() {
	c.mu.Lock()
	c.gone, c.buf = true, nil
	c.room.Broadcast()
	c.mu.Unlock()
}

// ended says whether the script knows that the connection has ended.
func (c *client) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// rest says what the script has not spoken of; "" if there is nothing.
func (c *client) rest() string {
	var parts []string
	c.mu.Lock()
	saved, eof, gone := c.buf, c.eof, c.gone
	c.mu.Unlock()
	if gone {
		return ""
	}
	for len(parts) < 10 {
		raw := c.peek()
		if raw == nil {
			break
		}
		parts = append(parts, c.describe(raw))
		c.pop(raw)
	}
	if eof && len(parts) < 10 {
		parts = append(parts, "closed")
	}
	c.mu.Lock()
	c.buf = saved
	c.mu.Unlock()
	return strings.Join(parts, "; ")
}

// peek gives the next packet's bytes, nil if there is none. Bytes that are no
// packet come all together.
func (c *client) peek() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.buf) == 0 {
		return nil
	}
	h, err := packet.ParseHeaderOf(c.v, c.buf)
	if n := h.Size + h.Remaining; err == nil && n <= len(c.buf) {
		return c.buf[:n]
	}
	return c.buf
}

func (c *client) pop(raw []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buf = c.buf[len(raw):]
	c.room.Broadcast()
}

// decode gives a packet's fields.
func (c *client) decode(raw []byte) (fields, error) {
	h, err := packet.ParseHeaderOf(c.v, raw)
	if err == nil && h.Size+h.Remaining != len(raw) {
		err = errors.New("not a whole packet")
	}
	if err != nil {
		return fields{}, err
	}
	return decodeFields(c.v, h, raw[h.Size:])
}

func (c *client) describe(raw []byte) string {
	if raw == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.eof {
			return "closed"
		}
		return "nothing"
	}
	f, err := c.decode(raw)
	if err != nil {
		return fmt.Sprintf("raw %s (%v)", hexDump(raw), err)
	}
	return f.String()
}

func hexDump(b []byte) string {
	if len(b) > 64 {
		return fmt.Sprintf("% x ... (%d bytes)", b[:64], len(b))
	}
	return fmt.Sprintf("% x", b)
}

// send writes a packet, and those that go with it.
func (p *player) send(s *step) error {
	first := s.args[0]
	if c := p.clients[s.client]; c == nil || first == "CONNECT" && c.ended() {
		if first != "CONNECT" {
			return fmt.Errorf("%s has no connection: it sends CONNECT first, or opens one", s.client)
		}
		if err := p.open(s.client); err != nil {
			return err
		}
	}
	c := p.clients[s.client]
	var out []byte
	for _, one := range append([]step{*s}, s.more...) {
		if !one.applies(p.v) {
			continue
		}
		b, err := p.encode(c, one.args)
		if err != nil {
			return err
		}
		out = append(out, b...)
	}
	if c.ended() {
		return fmt.Errorf("%s is not connected any more", s.client)
	}
	c.nc.SetWriteDeadline(time.Now().Add(writeLimit))
	// That the server closes meanwhile is for the next expectation to say.
	c.nc.Write(out)
	synctest.Wait()
	return nil
}

// encode gives a line's bytes.
func (p *player) encode(c *client, args []string) ([]byte, error) {
	if args[0] == "raw" {
		return rawBytes(args[1:], p.expand)
	}
	f, err := parseFields(args, false, p.expand)
	if err != nil {
		return nil, err
	}
	if name, ok := f.get("version"); ok {
		if c.v, err = parseVersion(name); err != nil {
			return nil, err
		}
	}
	if err := c.addScram(&f); err != nil {
		return nil, err
	}
	return f.encode(c.v)
}

// expectOne wants the next packet of a client to be what one of the lines says,
// and gives which.
func (p *player) expectOne(lines []step) (int, error) {
	name := lines[0].client
	c := p.clients[name]
	if c == nil {
		return 0, fmt.Errorf("%s has no connection", name)
	}
	raw := c.peek()
	for i, s := range lines {
		if s.args[0] == "closed" {
			c.mu.Lock()
			ok := len(c.buf) == 0 && c.eof
			c.mu.Unlock()
			if ok {
				c.drain()
				return i, nil
			}
			continue
		}
		if raw == nil {
			continue
		}
		ok, err := p.matches(c, s.args, raw)
		if err != nil {
			return 0, err
		}
		if ok {
			c.pop(raw)
			return i, nil
		}
	}
	var want []string
	got := c.describe(raw)
	for _, s := range lines {
		if s.args[0] == "raw" && raw != nil {
			got = "raw " + hexDump(raw)
		}
		want = append(want, fmt.Sprintf("%s < %s", name, p.wanted(s.args)))
	}
	return 0, fmt.Errorf("\n\tgot:  %s < %s\n\twant: %s", name, got, strings.Join(want, "\n\tor:   "))
}

func (p *player) expect(lines []step) error {
	_, err := p.expectOne(lines)
	return err
}

// expectAny wants for each client as many packets as there are lines for it, in
// whatever order.
func (p *player) expectAny(lines []step) error {
	for len(lines) > 0 {
		var mine, others []step
		for _, s := range lines {
			switch {
			case !s.applies(p.v):
			case len(mine) == 0 || s.client == mine[0].client:
				mine = append(mine, s)
			default:
				others = append(others, s)
			}
		}
		for len(mine) > 0 {
			i, err := p.expectOne(mine)
			if err != nil {
				return err
			}
			mine = append(mine[:i:i], mine[i+1:]...)
		}
		lines = others
	}
	return nil
}

// matches says whether a packet is what a line wants, and takes over what the
// line's variables are then.
func (p *player) matches(c *client, args []string, raw []byte) (bool, error) {
	if args[0] == "raw" {
		return matchRaw(args[1:], raw, p.expand)
	}
	want, err := parseFields(args, true, p.expand)
	if err != nil {
		return false, err
	}
	got, err := c.decode(raw)
	if err != nil {
		return false, nil // the difference is told
	}
	if err := c.checkScram(&want, &got); err != nil {
		return false, err
	}
	vars, ok := want.match(got, c.v)
	if ok {
		for name, v := range vars {
			p.vars[name] = v
		}
	}
	return ok, nil
}

// wanted gives a line's words with what its variables are.
func (p *player) wanted(args []string) string {
	if args[0] != "raw" {
		if f, err := parseFields(args, true, p.expand); err == nil {
			return f.String()
		}
	}
	return strings.Join(args, " ")
}
