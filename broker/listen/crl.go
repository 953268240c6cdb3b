package listen

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"
)

// revocations knows which certificates were revoked. It does not change.
type revocations struct {
	file string
	by   map[string]*crl // by the CA: see issuerOf
}

// crl is the latest revocation list of one CA.
type crl struct {
	thisUpdate, nextUpdate time.Time            // a zero nextUpdate: it holds for ever
	revoked                map[string]time.Time // when, by serial number
}

// readCRLs reads the revocation lists of a file; each must be signed by one of
// cas, and be of today.
func readCRLs(file string, cas []*x509.Certificate, now time.Time, late faultFunc) (*revocations, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := &revocations{file: file, by: make(map[string]*crl)}
	if !bytes.Contains(text, []byte("-----BEGIN")) {
		return r, r.add(text, cas, now, late)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			continue
		}
		if err := r.add(block.Bytes, cas, now, late); err != nil {
			return nil, err
		}
	}
	if len(r.by) == 0 {
		return nil, fmt.Errorf("%s holds no revocation list: want PEM, which begins with -----BEGIN X509 CRL-----, or DER", file)
	}
	return r, nil
}

func (r *revocations) add(der []byte, cas []*x509.Certificate, now time.Time, late faultFunc) error {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return fmt.Errorf("%s: revocation list: %w", r.file, err)
	}
	ca, err := signer(list, cas)
	if err != nil {
		return fmt.Errorf("%s: revocation list of %q: %w", r.file, list.Issuer, err)
	}
	// A list that is a part of another, or of other certificates than it seems,
	// says so in an extension that must be understood. RFC 5280, 5.2.
	for _, x := range list.Extensions {
		if x.Critical {
			return fmt.Errorf("%s: revocation list of %q: extension %v is not understood: want a whole list, no delta", r.file, list.Issuer, x.Id)
		}
	}
	if !list.NextUpdate.IsZero() && now.After(list.NextUpdate) {
		late("crl_file", "%s: revocation list of %q expired on %s: no client is let in before there is a new one", r.file, list.Issuer, date(list.NextUpdate))
	}
	key := issuerOf(ca)
	if before := r.by[key]; before != nil && before.thisUpdate.After(list.ThisUpdate) {
		return nil
	}
	l := &crl{thisUpdate: list.ThisUpdate, nextUpdate: list.NextUpdate, revoked: make(map[string]time.Time)}
	for _, e := range list.RevokedCertificateEntries {
		l.revoked[e.SerialNumber.String()] = e.RevocationTime
	}
	r.by[key] = l
	return nil
}

// signer finds the CA that signed a list.
func signer(list *x509.RevocationList, cas []*x509.Certificate) (*x509.Certificate, error) {
	var cause error
	for _, ca := range cas {
		if !bytes.Equal(ca.RawSubject, list.RawIssuer) {
			continue
		}
		err := list.CheckSignatureFrom(ca)
		if err == nil {
			return ca, nil
		}
		cause = err
	}
	if cause != nil {
		return nil, fmt.Errorf("not signed by the CA of that name in client_ca_file: %w", cause)
	}
	return nil, errors.New("no CA of that name in client_ca_file")
}

// check says why a client's certificate is refused: nil when one of its
// verified chains holds.
func (r *revocations) check(chains [][]*x509.Certificate, now time.Time) error {
	err := errors.New("client's certificate has no verified chain")
	for _, chain := range chains {
		if err = r.checkChain(chain, now); err == nil {
			return nil
		}
	}
	return err
}

// checkChain wants a list for the client's own certificate; of the CAs between
// it and the root, it heeds what lists there are.
func (r *revocations) checkChain(chain []*x509.Certificate, now time.Time) error {
	for i, cert := range chain {
		issuer := cert // a CA that is trusted itself has no other
		if i+1 < len(chain) {
			issuer = chain[i+1]
		} else if i > 0 {
			return nil
		}
		l := r.by[issuerOf(issuer)]
		switch {
		case l == nil && i == 0:
			return fmt.Errorf("client's certificate of %q: %s has no revocation list of its CA %q", nameOf(cert), r.file, nameOf(issuer))
		case l == nil:
			continue
		case !l.nextUpdate.IsZero() && now.After(l.nextUpdate):
			return fmt.Errorf("client's certificate of %q: revocation list of its CA %q in %s expired on %s: get a new one",
				nameOf(cert), nameOf(issuer), r.file, date(l.nextUpdate))
		}
		if when, ok := l.revoked[cert.SerialNumber.String()]; ok {
			return fmt.Errorf("certificate of %q (serial %x) was revoked on %s", nameOf(cert), cert.SerialNumber, date(when))
		}
	}
	return nil
}

// issuerOf names a CA by its subject and its key: two CAs may share a subject.
func issuerOf(ca *x509.Certificate) string {
	return string(ca.RawSubject) + string(ca.RawSubjectPublicKeyInfo)
}
