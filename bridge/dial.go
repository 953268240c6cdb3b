package bridge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	maxPEM = 1 << 20 // bytes of a file with certificates

	// dialPatience is how long a dial is left alone: TCP itself tries again a second
	// after its beginning.
	dialPatience = time.Second
)

var errNetworkChanged = errors.New("the network has changed meanwhile")

// dial connects to the upstream whose turn it is, or to the proxy.
func (b *Bridge) dial(ctx context.Context) (net.Conn, error) {
	address := b.endpoints[b.turn].address
	if b.proxy != nil {
		address = b.proxy.address
	}
	// Keep alive is MQTT's: the kernel's probes would cost on a metered link.
	dialer := net.Dialer{KeepAlive: -1}
	if b.cfg.Replay == ReplayLiveFirst {
		dialer.Control = boundUnsent
	}
	ctx, stop := b.untilRetry(ctx)
	conn, err := dialer.DialContext(ctx, "tcp", address)
	stop()
	if err != nil {
		if context.Cause(ctx) == errNetworkChanged {
			return nil, errNetworkChanged
		}
		err = fmt.Errorf("dial: %w", b.dialCause(err))
		if b.proxy != nil {
			err = fmt.Errorf("proxy %s: %w", b.proxy.address, err)
		}
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		// We gather packets ourselves; what is written must go. A failure here shows in the first write.
		_ = tcp.SetNoDelay(true)
	}
	return conn, nil
}

// untilRetry gives a context for a dial that Retry ends after dialPatience: what
// was sent into a network that was not there is sent again too late. A Retry before
// that counts for the wait after the dial. stop ends the context.
func (b *Bridge) untilRetry(ctx context.Context) (c context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		early := false
		for began := time.Now(); ; {
			select {
			case <-b.retry:
				if time.Since(began) >= dialPatience {
					cancel(errNetworkChanged)
					return
				}
				early = true
			case <-ctx.Done():
				if early {
					wake(b.retry)
				}
				return
			}
		}
	})
	return ctx, func() {
		cancel(context.Canceled)
		wg.Wait()
	}
}

// boundUnsent has the kernel take no more than unsentMax before it has sent it.
func boundUnsent(_, _ string, c syscall.RawConn) error {
	const tcpNotsentLowat = 25 // TCP_NOTSENT_LOWAT of linux/tcp.h
	return c.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotsentLowat, unsentMax) // it is a matter of speed only
	})
}

// handshakeTLS reads the certificates, so that a renewed one counts, and makes
// TLS of the connection.
func (b *Bridge) handshakeTLS(ctx context.Context, conn net.Conn, host string) (net.Conn, error) {
	t := &b.cfg.TLS
	cfg := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         host,
		NextProtos:         t.ALPN,
		InsecureSkipVerify: t.InsecureSkipVerify,
	}
	if t.ServerName != "" {
		cfg.ServerName = t.ServerName
	}
	if t.CAFile != "" {
		pem, err := readFile(t.CAFile, maxPEM)
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
	over := tls.Client(conn, cfg)
	if err := over.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", b.timedOut(cause(err)))
	}
	return over, nil
}

// timedOut puts the time that was allowed in place of the many ways to say that
// it is over.
func (b *Bridge) timedOut(err error) error {
	var t net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout() {
		return fmt.Errorf("no answer within %v", b.cfg.ConnectTimeout)
	}
	return err
}

// dialCause gives a dial's error in words that stay the same over attempts: the
// resolver's would name the port that it asked from.
func (b *Bridge) dialCause(err error) error {
	var dns *net.DNSError
	switch {
	case !errors.As(err, &dns):
		return b.timedOut(cause(err))
	case dns.IsNotFound:
		return fmt.Errorf("look up %s: no such host", dns.Name)
	case dns.IsTimeout:
		return fmt.Errorf("look up %s: the name server does not answer", dns.Name)
	}
	return fmt.Errorf("look up %s: the name server cannot say", dns.Name)
}

// deadlineFrom makes reads and writes end when ctx does. release ends that.
func deadlineFrom(ctx context.Context, conn net.Conn) (release func()) {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = conn.SetDeadline(time.Unix(1, 0)) // fails only on a closed connection
	})
	return func() {
		if !stop() {
			<-ended
		}
	}
}

// cause takes the addresses off a network error: they stand in every line
// anyway, and a port that changes would make each one a new trouble.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		err = op.Err
	}
	if err == io.EOF || isReset(err) {
		return errClosed
	}
	return err
}
