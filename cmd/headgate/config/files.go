package config

import (
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

// checkFiles looks for the files that bridges and links name.
func (l *loader) checkFiles() {
	for i := range l.file.Bridge {
		b, table := &l.file.Bridge[i], joinIndex("bridge", i)
		l.checkFile(table+".credentials.password_file", b.Credentials.PasswordFile)
		l.checkFile(table+".credentials.shared_access_key_file", b.Credentials.SharedAccessKeyFile)
		l.checkFile(table+".tls.ca_file", b.TLS.CAFile)
		l.checkFile(table+".tls.cert_file", b.TLS.CertFile)
		l.checkFile(table+".tls.key_file", b.TLS.KeyFile)
	}
	for i := range l.file.Modbus {
		m, table := &l.file.Modbus[i], joinIndex("modbus", i)
		l.checkFile(table+".tls.ca_file", m.TLS.CAFile)
		l.checkFile(table+".tls.cert_file", m.TLS.CertFile)
		l.checkFile(table+".tls.key_file", m.TLS.KeyFile)
	}
}

// checkFile looks for the file that the key at path names. Whoever checks need
// not be the user that runs the gateway: a file that may not be read is noted.
func (l *loader) checkFile(path, name string) {
	if name == "" || l.faulty[path] {
		return
	}
	err := readable(name)
	var pathErr *fs.PathError
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		l.add(path, "%q: there is no such file", name)
	case errors.Is(err, fs.ErrPermission):
		l.warn(Note, path, "%q may not be read by this user: check as the user that runs headgate to be sure", name)
	case errors.As(err, &pathErr):
		l.add(path, "%q cannot be read: %v", name, pathErr.Err)
	default:
		l.add(path, "%q: %v", name, err)
	}
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
