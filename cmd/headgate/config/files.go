package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
)

// Check is Load for whoever wants to know whether a configuration would do: it
// also looks for the files that a bridge reads only when it connects, and that
// run would wait for, and for what can be run but will hardly do what is wanted.
// That, and what it cannot tell, are the notes; there are none with an error.
func Check(path string) (f *File, notes []Fault, err error) {
	sources, faults := readAll(path)
	l := newLoader(faults)
	l.wantFiles = true
	f, err = l.load(sources)
	if err != nil {
		return nil, nil, err
	}
	return f, Faults(l.notes).sort(f.Paths), nil
}

// Reload is Load for a gateway that runs already: a file that a bridge or a link would
// wait for at the start is a fault here, for it is not to give up a connection that
// stands for one that cannot be made. id is the gateway's, which a restart alone changes:
// what bridges make of it, such as their client identifiers, is made of that.
func Reload(path, id string) (*File, error) {
	sources, faults := readAll(path)
	l := newLoader(faults)
	l.wantFiles, l.reads, l.gatewayID = true, true, id
	return l.load(sources)
}

// checkFiles looks for the files that bridges and links name.
func (l *loader) checkFiles() {
	for i := range l.file.Bridge {
		b, table := &l.file.Bridge[i], joinIndex("bridge", i)
		l.checkFile(table+".credentials.password_file", b.Credentials.PasswordFile)
		l.checkFile(table+".credentials.shared_access_key_file", b.Credentials.SharedAccessKeyFile)
		l.checkCertificates(table+".tls", b.TLS.CAFile, b.TLS.CertFile, b.TLS.KeyFile)
	}
	for i := range l.file.Modbus {
		m := &l.file.Modbus[i]
		l.checkCertificates(joinIndex("modbus", i)+".tls", m.TLS.CAFile, m.TLS.CertFile, m.TLS.KeyFile)
	}
}

// checkCertificates looks for the files of a table tls, and into them.
func (l *loader) checkCertificates(table, ca, cert, key string) {
	if l.checkFile(table+".ca_file", ca) {
		text, err := os.ReadFile(ca)
		switch {
		case err != nil:
			l.add(table+".ca_file", "%q: %v", ca, err)
		case !x509.NewCertPool().AppendCertsFromPEM(text):
			l.add(table+".ca_file", "%q holds no certificate: want PEM, which begins with -----BEGIN CERTIFICATE-----", ca)
		}
	}
	haveCert, haveKey := l.checkFile(table+".cert_file", cert), l.checkFile(table+".key_file", key)
	if !haveCert || !haveKey {
		return
	}
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		l.add(table+".cert_file", "%q with the key in %q: %v", cert, key, err)
	}
}

// checkFile looks for the file that the key at path names, and says whether it is there
// to be read. Whoever checks need not be the user that runs the gateway: then a file
// that may not be read is noted.
func (l *loader) checkFile(path, name string) bool {
	if name == "" || l.faulty[path] {
		return false
	}
	err := readable(name)
	var pathErr *fs.PathError
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		l.add(path, "%q: there is no such file", name)
	case errors.Is(err, fs.ErrPermission) && !l.reads:
		l.warn(Note, path, "%q may not be read by this user: check as the user that runs headgate to be sure", name)
	case errors.As(err, &pathErr):
		l.add(path, "%q cannot be read: %v", name, pathErr.Err)
	default:
		l.add(path, "%q: %v", name, err)
	}
	return err == nil
}

// readable says why a file cannot be read.
func readable(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = errors.New("is a directory, want a file")
	}
	return err
}
