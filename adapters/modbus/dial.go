package modbus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"headgate/adapters/port"
)

const dialTimeout = 5 * time.Second

// dial opens the stream of a link.
func (l link) dial(ctx context.Context, t TLS) (stream, error) {
	switch l.carrier {
	case serialLine:
		return port.Open(l.path, l.mode)
	case viaUDP:
		return l.connect(ctx, "udp")
	case viaTLS:
		return l.connectTLS(ctx, t)
	}
	return l.connect(ctx, "tcp")
}

func (l link) connect(ctx context.Context, network string) (connection, error) {
	d := net.Dialer{Timeout: dialTimeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}}
	conn, err := d.DialContext(ctx, network, l.host)
	if err != nil {
		return connection{}, fmt.Errorf("connect to %s: %w", l.host, withoutAddress(err))
	}
	return connection{conn, l.host}, nil
}

// connectTLS is Modbus/TCP Security: TLS 1.2 at least, and a certificate of
// each side. [MB-TLS 6]
func (l link) connectTLS(ctx context.Context, t TLS) (connection, error) {
	cfg, err := t.config(l.host)
	if err != nil {
		return connection{}, err
	}
	raw, err := l.connect(ctx, "tcp")
	if err != nil {
		return connection{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn := tls.Client(raw.conn, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		conn.Close()
		return connection{}, fmt.Errorf("TLS handshake with %s: %w", l.host, err)
	}
	return connection{conn, l.host}, nil
}

// config reads the files, at every attempt to connect, so that a renewed
// certificate counts.
func (t TLS) config(host string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if cfg.ServerName == "" {
		cfg.ServerName, _, _ = net.SplitHostPort(host)
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls.ca_file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca_file: no certificate in %s", t.CAFile)
		}
	}
	if t.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls.cert_file: %w", err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return cfg, nil
}

// withoutAddress leaves out of a network error the address, which is said
// already.
func withoutAddress(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// connection is a stream over the network.
type connection struct {
	conn net.Conn
	host string
}

func (c connection) Read(_ context.Context, b []byte) (int, error) {
	n, err := c.conn.Read(b)
	if err != nil {
		err = fmt.Errorf("connection to %s: %w", c.host, cause(err))
	}
	return n, err
}

func (c connection) Write(ctx context.Context, b []byte) (int, error) {
	deadline, _ := ctx.Deadline()
	if err := c.conn.SetWriteDeadline(deadline); err != nil {
		return 0, fmt.Errorf("connection to %s: %w", c.host, cause(err))
	}
	// The context may end before its deadline: when the program does.
	stop := context.AfterFunc(ctx, func() { c.conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	n, err := c.conn.Write(b)
	if err != nil {
		err = fmt.Errorf("connection to %s: %w", c.host, cause(err))
	}
	return n, err
}

func (c connection) Close() error { return c.conn.Close() }
