package web

import (
	"crypto/tls"
	"fmt"
	"net"
)

// Change is another configuration for a server that runs, of which everything is
// there that may not come off. Make one with Prepare, and end it with Apply or Cancel.
type Change struct {
	s           *Server
	listen      string
	history     HistoryLimit
	certificate *tls.Config
	accounts    *accounts
	listener    net.Listener // where the page goes; nil: it stays, or is off
	paused      *port        // whose address has been in the way
}

// Prepare makes ready what cfg changes, but for HistoryDir; cfg is as New takes it. The
// error says what of it is not possible, and then nothing is changed. There is one Change
// at a time.
func (s *Server) Prepare(cfg Config) (*Change, error) {
	c := &Change{s: s, listen: cfg.Listen, history: cfg.HistoryBytes}
	var err error
	if c.certificate, err = cfg.tls(); err != nil {
		return nil, err
	}
	if c.accounts, err = newAccounts(&cfg, s.access.now.Load()); err != nil {
		return nil, err
	}
	s.binding.Lock()
	defer s.binding.Unlock()
	if c.stays() || c.listen == Off {
		return c, nil
	}
	if c.listener, err = net.Listen("tcp", c.listen); err != nil && s.port.blocks(c.listen) {
		// It may be the page itself that is in the way: 127.0.0.1:8080 is in that of :8080.
		c.paused = s.port
		c.paused.pause()
		if c.listener, err = net.Listen("tcp", c.listen); err != nil {
			c.resume()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("web.listen: %w: nothing is changed", err)
	}
	return c, nil
}

// stays says whether the page stays where it is, by http or https as it was. The
// caller holds binding.
func (c *Change) stays() bool {
	return c.listen == c.s.listen && (c.s.port == nil || (c.certificate == nil) == (c.s.certificate == nil))
}

// Apply puts it into force. What goes on at the same address goes on, but for users
// whose password or role is another, or who are gone.
func (c *Change) Apply() {
	s := c.s
	s.binding.Lock()
	defer s.binding.Unlock()
	stays := c.stays()
	if !stays {
		s.leave() // before what it has served may be open to everybody
	}
	s.access.change(c.accounts)
	s.days.setLimit(c.history)
	s.listen, s.certificate = c.listen, c.certificate
	switch {
	case c.listener != nil && s.ended:
		c.listener.Close()
	case c.listener != nil:
		s.openPort(c.listener)
	case stays && s.port != nil:
		s.port.tls.Store(c.certificate)
	}
}

// Cancel leaves everything as it was.
func (c *Change) Cancel() {
	if c.listener != nil {
		c.listener.Close()
	}
	c.s.binding.Lock()
	defer c.s.binding.Unlock()
	if c.paused != nil && c.paused == c.s.port {
		c.resume()
	}
}

// resume has the port go on that was in the way. The caller holds binding.
func (c *Change) resume() {
	if err := c.paused.resume(); err != nil {
		c.s.log.Warn("the page has lost its port: it goes on trying", "err", err)
		c.s.leave()
	}
}
