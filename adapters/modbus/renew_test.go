package modbus

import (
	"context"
	"crypto/tls"
	"slices"
	"sync"
	"testing"
	"time"

	"headgate/adapters/modbus/modbussim"
	"headgate/gateway/point"
)

// A certificate that was exchanged in its file is shown without the device going offline.
func TestAnExchangedCertificateIsUsedWhenTheLinkIsTold(t *testing.T) {
	ca := newAuthority(t)
	var mu sync.Mutex
	var shown []string // the clients' certificates, by their names
	ln := tls.NewListener(listen(t, "127.0.0.1:0"), &tls.Config{
		Certificates: []tls.Certificate{ca.issue(t, "server")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool,
		VerifyConnection: func(s tls.ConnectionState) error {
			mu.Lock()
			defer mu.Unlock()
			shown = append(shown, s.PeerCertificates[0].Subject.CommonName)
			return nil
		},
	})
	s := modbussim.New()
	s.Unit(7).SetHolding(0, 1)
	serve(t, s, func() error { return s.ServeTCP(context.Background(), ln) })
	ca.issue(t, "first")
	ca.issue(t, "second")
	cfg := Config{Name: "field", URL: "tls://" + ln.Addr().String(), Timeout: 2 * time.Second, Device: []Device{deviceOf("m", 7, holding("x", 0))}, TLS: TLS{
		CAFile: ca.path("ca.pem"), CertFile: ca.path("first.pem"), KeyFile: ca.path("first.key"), ServerName: "server",
	}}
	x := runConfig(t, cfg)
	x.value(0, "m", "x", "1")

	ca.rename(t, "second", "first")
	s.Unit(7).SetHolding(0, 2)
	from := x.value(x.now(), "m", "x", "2")
	x.Renew()
	eventuallyOpened(t, x, 2)
	s.Unit(7).SetHolding(0, 3)
	x.value(from, "m", "x", "3")
	x.stop()

	mu.Lock()
	defer mu.Unlock()
	if want := []string{"first", "second"}; !slices.Equal(shown, want) {
		t.Errorf("it has shown %v, want %v", shown, want)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, u := range x.updates[1:] {
		if u.Status != nil && !u.Status.Online {
			t.Errorf("it was said to be offline: %+v", u.Status)
		}
		if len(u.Samples) > 0 && u.Samples[0].Quality != point.Good {
			t.Errorf("it was bad: %+v", u.Samples[0])
		}
	}
}

// eventuallyOpened waits until a link has been opened so often.
func eventuallyOpened(t *testing.T, x *tested, times uint64) {
	t.Helper()
	for end := time.Now().Add(guard); x.Stats().Opened < times; <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it was opened %d times, want %d", x.Stats().Opened, times)
		}
	}
}
