package main

import (
	"crypto/sha256"
	"io"
	"os"
)

// connected is a part that reads files when it connects, and only then.
type connected struct {
	part  interface{ Renew() } // a *modbus.Adapter or a *bridge.Bridge
	name  string
	files []string
}

// connectedParts are those that run, if they have such files.
func (h *house) connectedParts() (list []connected) {
	add := func(part interface{ Renew() }, name string, files ...string) {
		c := connected{part: part, name: name}
		for _, file := range files {
			if file != "" {
				c.files = append(c.files, file)
			}
		}
		if len(c.files) > 0 {
			list = append(list, c)
		}
	}
	for _, p := range h.pump.Load().modbus {
		t := p.config.TLS
		add(p.adapter, "modbus link "+p.config.Name, t.CAFile, t.CertFile, t.KeyFile)
	}
	h.bridging.mu.Lock()
	defer h.bridging.mu.Unlock()
	for _, p := range h.bridging.parts {
		t, c := p.config.TLS, p.config.Credentials
		add(p.bridge, "bridge "+p.config.Name, t.CAFile, t.CertFile, t.KeyFile, c.PasswordFile, c.SharedAccessKeyFile)
	}
	return list
}

// fileSums are the sums of the files of each part: they tell which were exchanged.
type fileSums map[any][sha256.Size]byte

// renew has those of the parts connect anew whose files were exchanged since the sums
// were made, and gives their names, and the sums as they are now. Of a part that is new
// there is nothing to renew.
func (s fileSums) renew(parts []connected) (now fileSums, names []string) {
	now = fileSums{}
	for _, c := range parts {
		before, known := s[c.part]
		sum, err := sumOf(c.files)
		if err != nil { // it goes on with what it has
			if known {
				now[c.part] = before
			}
			continue
		}
		now[c.part] = sum
		if known && sum != before {
			c.part.Renew()
			names = append(names, c.name)
		}
	}
	return now, names
}

// sumBytes of a file are looked at: a certificate with its chain has some kilobytes.
const sumBytes = 4 << 20

// sumOf gives the SHA-256 of what is in files.
func sumOf(files []string) (sum [sha256.Size]byte, err error) {
	all := sha256.New()
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return sum, err
		}
		one := sha256.New()
		_, err = io.Copy(one, io.LimitReader(file, sumBytes))
		file.Close()
		if err != nil {
			return sum, err
		}
		all.Write(one.Sum(nil))
	}
	return [sha256.Size]byte(all.Sum(nil)), nil
}
