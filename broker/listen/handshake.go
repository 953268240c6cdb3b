package listen

import (
	"crypto/tls"
	"fmt"
	"net"
)

// plain says that MQTT comes first: there is no handshake.
func (l *Listener) plain() bool {
	return !l.cfg.ProxyProtocol && !l.address.tls && !l.address.websocket
}

func peerOf(raw net.Conn) Peer {
	return Peer{Remote: raw.RemoteAddr(), Local: isLoopback(raw.RemoteAddr())}
}

// handshake does all that comes before MQTT. The deadline that stands on raw
// bounds every step of it. The peer has its address even when there is an error.
func (l *Listener) handshake(raw net.Conn) (nc net.Conn, p Peer, err error) {
	nc = raw
	p = peerOf(raw)
	if l.cfg.ProxyProtocol {
		p.Local = false
		remote, err := readProxyHeader(raw)
		if err != nil {
			return nil, p, fmt.Errorf("PROXY header: %w", err)
		}
		if remote != nil {
			p.Remote = remote
			nc = proxiedConn{raw, remote}
		}
	}
	if t := l.tls.Load(); t != nil {
		p.TLS = true
		secured := tls.Server(nc, t)
		if err := secured.Handshake(); err != nil {
			return nil, p, fmt.Errorf("TLS handshake: %w", err)
		}
		if certs := secured.ConnectionState().PeerCertificates; len(certs) > 0 && l.cfg.UsernameFrom != "" {
			if p.Username, err = l.cfg.username(certs[0]); err != nil {
				return nil, p, err
			}
			p.HasUsername = true
		}
		nc = secured
	}
	if l.address.websocket {
		p.WebSocket = true
		if nc, err = l.upgrade(nc); err != nil {
			return nil, p, fmt.Errorf("WebSocket handshake: %w", err)
		}
	}
	return nc, p, nil
}

// proxiedConn is a connection through a proxy, at the client's own address.
type proxiedConn struct {
	net.Conn
	remote net.Addr
}

func (c proxiedConn) RemoteAddr() net.Addr { return c.remote }
