package listen

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// tlsConfig makes the TLS configuration of what stands in the files now; nil
// when that has a fault. What is out of date is no fault but goes to late: a
// gateway whose certificate has expired still polls its devices. Each has session tickets of its own, so that none
// outlives the CAs and the revocations that it was given under.
func (c *Config) tlsConfig(now time.Time, report, late faultFunc) *tls.Config {
	faulty := false
	fault := func(key, format string, args ...any) {
		faulty = true
		report(key, format, args...)
	}
	t := &tls.Config{
		Certificates: []tls.Certificate{readKeyPair(c.CertFile, c.KeyFile, now, fault, late)},
		MinVersion:   tlsVersions[c.MinTLS],
		NextProtos:   c.ALPN,
	}
	if c.ClientCAFile != "" {
		cas := readCAs(c.ClientCAFile, now, fault, late)
		var revoked *revocations
		if c.CRLFile != "" && len(cas) > 0 {
			var err error
			if revoked, err = readCRLs(c.CRLFile, cas, now, late); err != nil {
				fault("crl_file", "%v", err)
			}
		}
		t.ClientCAs = x509.NewCertPool()
		for _, ca := range cas {
			t.ClientCAs.AddCert(ca)
		}
		t.ClientAuth = tls.VerifyClientCertIfGiven
		if c.RequireCertificate == nil || *c.RequireCertificate {
			t.ClientAuth = tls.RequireAndVerifyClientCert
		}
		// Not VerifyPeerCertificate, which a resumed session passes by.
		t.VerifyConnection = func(s tls.ConnectionState) error { return c.verify(s, revoked) }
	}
	if faulty {
		return nil
	}
	return t
}

// verify checks what a client's certificate must be beside valid.
func (c *Config) verify(s tls.ConnectionState, revoked *revocations) error {
	if len(s.PeerCertificates) == 0 {
		return nil // ClientAuth has decided
	}
	if revoked != nil {
		if err := revoked.check(s.VerifiedChains, time.Now()); err != nil {
			return err
		}
	}
	_, err := c.username(s.PeerCertificates[0])
	return err
}

// username is the name that a client's certificate gives its user; "" where
// the config does not want it.
func (c *Config) username(cert *x509.Certificate) (string, error) {
	var name string
	switch c.UsernameFrom {
	case "cn":
		name = cert.Subject.CommonName
	case "subject":
		// From the raw form: pkix.Name does not keep the order.
		var rdns pkix.RDNSequence
		if _, err := asn1.Unmarshal(cert.RawSubject, &rdns); err != nil {
			return "", fmt.Errorf("subject of the client's certificate: %w", err)
		}
		name = rdns.String()
	default:
		return "", nil
	}
	if name == "" {
		return "", fmt.Errorf("client's certificate (serial %x) has no %s to be the user name", cert.SerialNumber, c.UsernameFrom)
	}
	// What no MQTT user name may hold must not come in by a certificate.
	if !utf8.ValidString(name) || len(name) > 65535 || strings.ContainsFunc(name, unicode.IsControl) {
		return "", fmt.Errorf("client's certificate: %s %q cannot be a user name", c.UsernameFrom, name)
	}
	return name, nil
}

// readKeyPair reads the server's certificate and its key. One that is not valid
// yet is taken: many a gateway starts before its clock is set.
func readKeyPair(certFile, keyFile string, now time.Time, fault, late faultFunc) tls.Certificate {
	certs, certPEM, err := readCertificates(certFile)
	if err != nil {
		fault("cert_file", "%v", err)
	}
	keyPEM, keyErr := os.ReadFile(keyFile)
	if keyErr != nil {
		fault("key_file", "%v", keyErr)
	}
	if err != nil || keyErr != nil {
		return tls.Certificate{}
	}
	if isEncrypted(keyPEM) {
		fault("key_file", "%s: the key is locked by a pass phrase, which nobody could type: store it without", keyFile)
		return tls.Certificate{}
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		fault("key_file", "%s is not the key of the certificate in %s: %v", keyFile, certFile, err)
	}
	if leaf := certs[0]; now.After(leaf.NotAfter) {
		late("cert_file", "%s: the certificate of %q expired on %s: renew it", certFile, nameOf(leaf), date(leaf.NotAfter))
	}
	return pair
}

// readCAs reads the CAs of clients. Of many some may be out of date, not all.
func readCAs(file string, now time.Time, fault, late faultFunc) []*x509.Certificate {
	cas, _, err := readCertificates(file)
	if err != nil {
		fault("client_ca_file", "%v", err)
		return nil
	}
	var last *x509.Certificate
	for _, ca := range cas {
		if !ca.IsCA {
			fault("client_ca_file", "%s: the certificate of %q is not that of a CA", file, nameOf(ca))
			return nil
		}
		if last == nil || ca.NotAfter.After(last.NotAfter) {
			last = ca
		}
	}
	if now.After(last.NotAfter) {
		late("client_ca_file", "%s: the CA %q expired on %s: no client can be verified", file, nameOf(last), date(last.NotAfter))
	}
	return cas
}

// readCertificates reads the certificates of a PEM file, at least one; text is
// the file.
func readCertificates(file string) (certs []*x509.Certificate, text []byte, err error) {
	text, err = os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: certificate %d: %w", file, len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, nil, fmt.Errorf("%s holds no certificate: want PEM, which begins with -----BEGIN CERTIFICATE-----", file)
	}
	return certs, text, nil
}

func isEncrypted(key []byte) bool {
	return bytes.Contains(key, []byte("BEGIN ENCRYPTED PRIVATE KEY")) || bytes.Contains(key, []byte("Proc-Type: 4,ENCRYPTED"))
}

// loadTLS is tlsConfig with its faults as one error, and what is out of date as
// another.
func (c *Config) loadTLS() (t *tls.Config, late, err error) {
	var faults, lates []error
	t = c.tlsConfig(time.Now(), func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf(key+": "+format, args...))
	}, func(key, format string, args ...any) {
		lates = append(lates, fmt.Errorf(key+": "+format, args...))
	})
	return t, errors.Join(lates...), errors.Join(faults...)
}

func nameOf(cert *x509.Certificate) string {
	switch {
	case cert.Subject.CommonName != "":
		return cert.Subject.CommonName
	case len(cert.DNSNames) > 0:
		return cert.DNSNames[0]
	}
	return cert.Subject.String()
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
