package modbus

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/adapters/modbus/modbussim"
	"headgate/adapters/port"
	"headgate/gateway/point"
)

// serve runs a serving method of the simulator until the test ends.
func serve(t *testing.T, s *modbussim.Server, run func() error) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- run() }()
	t.Cleanup(func() {
		s.Close()
		if err := <-ended; err != nil {
			t.Errorf("the simulator: %v", err)
		}
	})
}

// everyLink gives, for each scheme, the config of a link to a simulator.
func everyLink() map[string]func(t *testing.T, s *modbussim.Server) Config {
	pair := func(t *testing.T) (string, io.ReadWriteCloser) {
		path, far, err := port.Pair(port.Mode{})
		if err != nil {
			t.Fatal(err)
		}
		return path, far
	}
	stream := func(scheme, query string, f modbussim.Framing) func(*testing.T, *modbussim.Server) Config {
		return func(t *testing.T, s *modbussim.Server) Config {
			ln := listen(t, "127.0.0.1:0")
			serve(t, s, func() error { return s.ServeOverTCP(context.Background(), ln, f) })
			return Config{URL: scheme + "://" + ln.Addr().String() + query}
		}
	}
	datagrams := func(scheme string, f modbussim.Framing) func(*testing.T, *modbussim.Server) Config {
		return func(t *testing.T, s *modbussim.Server) Config {
			pc, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			serve(t, s, func() error { return s.ServeUDP(context.Background(), pc, f) })
			return Config{URL: scheme + "://" + pc.LocalAddr().String()}
		}
	}
	return map[string]func(t *testing.T, s *modbussim.Server) Config{
		"rtu": func(t *testing.T, s *modbussim.Server) Config {
			path, far := pair(t)
			serve(t, s, func() error { return s.ServeRTU(context.Background(), far) })
			return Config{URL: "rtu://" + path + "?baud=115200"}
		},
		"rtu with an echo": func(t *testing.T, s *modbussim.Server) Config {
			path, far := pair(t)
			w := &modbussim.Wire{Far: far, Mode: port.Mode{Baud: 115200, DataBits: 8, Parity: port.None, StopBits: 1}}
			w.Echo.Store(true)
			serve(t, s, func() error { return s.ServeRTU(context.Background(), w) })
			return Config{URL: "rtu://" + path + "?baud=115200", LocalEcho: true}
		},
		"ascii": func(t *testing.T, s *modbussim.Server) Config {
			path, far := pair(t)
			serve(t, s, func() error { return s.ServeASCII(context.Background(), far) })
			return Config{URL: "ascii://" + path + "?baud=115200&data_bits=7"}
		},
		"tcp":       stream("tcp", "", modbussim.MBAP),
		"rtu+tcp":   stream("rtu+tcp", "?baud=115200", modbussim.RTU),
		"ascii+tcp": stream("ascii+tcp", "?baud=115200&data_bits=7", modbussim.ASCII),
		"udp":       datagrams("udp", modbussim.MBAP),
		"rtu+udp":   datagrams("rtu+udp", modbussim.RTU),
		"tls": func(t *testing.T, s *modbussim.Server) Config {
			ca := newAuthority(t)
			ln := tls.NewListener(listen(t, "127.0.0.1:0"), &tls.Config{
				Certificates: []tls.Certificate{ca.issue(t, "server")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool,
			})
			serve(t, s, func() error { return s.ServeTCP(context.Background(), ln) })
			ca.issue(t, "client")
			return Config{URL: "tls://" + ln.Addr().String(), TLS: TLS{
				CAFile: ca.path("ca.pem"), CertFile: ca.path("client.pem"), KeyFile: ca.path("client.key"), ServerName: "server",
			}}
		},
	}
}

func TestEveryLinkCarriesReadsWritesExceptionsAndSilence(t *testing.T) {
	for name, open := range everyLink() {
		t.Run(name, func(t *testing.T) {
			s := modbussim.New()
			s.Unit(7).SetHolding(0, 1, 2)
			s.Unit(7).SetCoils(3, true, false, true)
			cfg := open(t, s)
			cfg.Name, cfg.Timeout = "rs485", 2*time.Second
			cfg.Device = []Device{
				deviceOf("m", 7, holding("x", 0, rw), holding("y", 1), holding("hole", 500), Point{Name: "c", Register: "coil:5", Access: "rw"}),
				deviceOf("nobody", 9, holding("x", 0)),
			}
			cfg.Device[1].Timeout = 100 * time.Millisecond
			x := runConfig(t, cfg)
			x.value(0, "m", "y", "2")
			x.value(0, "m", "c", "true")
			x.bad(0, "m", "hole", "exception 2")
			from := x.bad(0, "nobody", "x", "no answer within 100ms")
			for n, v := range map[string]point.Value{"x": point.OfUint(0x1234), "c": point.OfBool(false)} {
				if got, err := x.Write(t.Context(), point.Command{Device: "m", Point: n, Value: v}); err != nil || got != v {
					t.Errorf("a write of %s gave %v, %v", n, got, err)
				}
			}
			from = x.value(from, "m", "x", "4660")
			x.value(from, "m", "c", "false")
		})
	}
}

// TestALinkThatIsCutIsOpenedAgain: of the datagrams nothing is there to be cut.
func TestALinkThatIsCutIsOpenedAgain(t *testing.T) {
	for name, open := range everyLink() {
		if !strings.HasSuffix(name, "tcp") && name != "tls" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			s := modbussim.New()
			s.Unit(7).SetHolding(0, 1)
			cfg := open(t, s)
			cfg.Name, cfg.Timeout, cfg.Device = "rs485", time.Second, []Device{deviceOf("m", 7, holding("x", 0))}
			x := runConfig(t, cfg)
			x.value(0, "m", "x", "1")
			s.Disconnect()
			x.value(x.now()+1, "m", "x", "1")
			x.stop()
			if st := x.Stats(); st.Opened < 2 {
				t.Errorf("stats are %+v", st)
			}
		})
	}
}

func TestAServerWhoseCertificateIsNotTrustedIsToldNothing(t *testing.T) {
	s := modbussim.New()
	s.Unit(7).SetHolding(0, 1)
	cfg := everyLink()["tls"](t, s)
	other := newAuthority(t)
	cfg.TLS.CAFile = other.path("ca.pem")
	cfg.Name, cfg.Timeout, cfg.Device = "rs485", time.Second, []Device{deviceOf("m", 7, holding("x", 0))}
	x := runConfig(t, cfg)
	x.status(0, "m", false, "TLS handshake with")
	if n := s.Unit(7).Counts().Requests; n != 0 {
		t.Errorf("it was asked %d times", n)
	}
}

// TestAnEchoIsNotTakenForTheAnswerToAWrite: function 6 is answered by an echo,
// and so is every byte by an adapter that hears itself.
func TestAnEchoIsNotTakenForTheAnswerToAWrite(t *testing.T) {
	s := modbussim.New()
	s.Unit(7).SetHolding(0, 1)
	cfg := everyLink()["rtu with an echo"](t, s)
	cfg.Name, cfg.Timeout, cfg.Device = "rs485", 50*time.Millisecond, []Device{deviceOf("m", 7, holding("x", 0, rw))}
	x := runConfig(t, cfg)
	x.value(0, "m", "x", "1")
	s.Unit(7).Inject(modbussim.Fault{Writes: true, Silent: true})
	if got, err := x.Write(t.Context(), point.Command{Device: "m", Point: "x", Value: point.OfUint(2)}); point.Outcome(err) != "timeout" {
		t.Errorf("a write that the unit did not answer gave %v, %v", got, err)
	}
}

func TestALinkWithoutTheEchoThatItShouldHaveSaysSo(t *testing.T) {
	s, url, _ := overRTU(t)
	s.Unit(7).SetHolding(0, 1)
	x := runConfig(t, Config{Name: "rs485", URL: url, LocalEcho: true, Timeout: 50 * time.Millisecond, Device: []Device{deviceOf("m", 7, holding("x", 0))}})
	x.bad(0, "m", "x", "local_echo")
}

// authority issues certificates into a directory.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir(), pool: x509.NewCertPool()}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key, _ = a.write(t, "ca", a.cert, a.cert, nil)
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// rename puts the certificate and the key of one name into the files of another.
func (a *authority) rename(t *testing.T, from, to string) {
	t.Helper()
	for _, end := range []string{".pem", ".key"} {
		if err := os.Rename(a.path(from+end), a.path(to+end)); err != nil {
			t.Fatal(err)
		}
	}
}

func (a *authority) issue(t *testing.T, name string) tls.Certificate {
	t.Helper()
	_, pair := a.write(t, name, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, a.key)
	return pair
}

// write makes a key and a certificate, and writes both; signer is nil for one
// that is signed by itself.
func (a *authority) write(t *testing.T, name string, cert, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*ecdsa.PrivateKey, tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	if parsed, err := x509.ParseCertificate(der); err == nil && cert == parent {
		*cert = *parsed
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})
	for file, b := range map[string][]byte{name + ".pem": certPEM, name + ".key": keyPEM} {
		if err := os.WriteFile(a.path(file), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return key, pair
}
