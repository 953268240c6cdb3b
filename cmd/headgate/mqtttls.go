package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// tlsOptions are the flags that are about TLS.
type tlsOptions struct {
	wanted         bool // by the URL's scheme
	system         bool
	caFile, caPath string
	cert, key      string
	insecure       bool
	alpn           string
	version        uint16 // 0: any from 1.2
}

const tlsPort = 8883

func (o *mqttOptions) setTLSVersion(a []string) error {
	v, ok := map[string]uint16{"tlsv1.3": tls.VersionTLS13, "tlsv1.2": tls.VersionTLS12, "tlsv1.1": tls.VersionTLS11}[a[0]]
	if !ok {
		return errors.New("the versions are tlsv1.3, tlsv1.2 and tlsv1.1")
	}
	o.tls.version = v
	return nil
}

// config gives nil for a connection without TLS. The port of TLS means TLS.
func (t *tlsOptions) config(host string, port int) (*tls.Config, error) {
	if !t.wanted && !t.system && t.caFile == "" && t.caPath == "" && port != tlsPort {
		return nil, nil
	}
	cfg := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if t.version != 0 {
		cfg.MinVersion, cfg.MaxVersion = t.version, t.version
	}
	if t.alpn != "" {
		cfg.NextProtos = []string{t.alpn}
	}
	var err error
	if cfg.RootCAs, err = t.roots(); err != nil {
		return nil, err
	}
	if t.cert != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, fmt.Errorf("--cert %s --key %s: %w", t.cert, t.key, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	if t.insecure {
		// The name alone is not checked; who has signed the certificate is.
		cfg.InsecureSkipVerify = true
		cfg.VerifyConnection = func(s tls.ConnectionState) error {
			return verifyChain(s.PeerCertificates, cfg.RootCAs)
		}
	}
	return cfg, nil
}

// roots gives who is trusted; nil is whom the system trusts.
func (t *tlsOptions) roots() (*x509.CertPool, error) {
	if t.caFile == "" && t.caPath == "" {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if t.system {
		var err error
		if pool, err = x509.SystemCertPool(); err != nil {
			return nil, fmt.Errorf("--tls-use-os-certs: %w", err)
		}
	}
	if t.caFile != "" {
		pem, err := os.ReadFile(t.caFile)
		if err != nil {
			return nil, fmt.Errorf("--cafile: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--cafile: no certificate in %s", t.caFile)
		}
	}
	if t.caPath == "" {
		return pool, nil
	}
	entries, err := os.ReadDir(t.caPath)
	if err != nil {
		return nil, fmt.Errorf("--capath: %w", err)
	}
	found := false
	for _, e := range entries {
		switch ext := filepath.Ext(e.Name()); {
		case ext != ".crt" && ext != ".pem" && strings.Trim(ext, ".0123456789") != "", e.IsDir():
			continue
		}
		pem, err := os.ReadFile(filepath.Join(t.caPath, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("--capath: %w", err)
		}
		found = pool.AppendCertsFromPEM(pem) || found
	}
	if !found {
		return nil, fmt.Errorf("--capath: no certificate in %s", t.caPath)
	}
	return pool, nil
}

func verifyChain(certs []*x509.Certificate, roots *x509.CertPool) error {
	if len(certs) == 0 {
		return errors.New("the server shows no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range certs[1:] {
		between.AddCert(c)
	}
	_, err := certs[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
	return err
}
