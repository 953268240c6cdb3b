package auth

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// What a password file may have: more is refused, so that a wrong file name
// cannot fill the memory.
const (
	maxPasswordLine = 4096
	maxFileUsers    = 100_000
	maxFileFaults   = 20 // reported; the rest is only counted
)

// readPasswordFile adds the users of a mosquitto_passwd file to users. Faults
// name file and line, and never what stands in it behind the user name.
func readPasswordFile(name string, users map[string]source, fault func(key, format string, args ...any)) {
	const key = "password_file"
	f, err := os.Open(name)
	if err != nil {
		fault(key, "%v", err)
		return
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxPasswordLine)
	n, faults, found := 0, 0, 0
	for lines.Scan() && found <= maxFileUsers {
		n++
		line := strings.TrimSuffix(lines.Text(), "\r")
		if blank := strings.TrimSpace(line); blank == "" || blank[0] == '#' {
			continue
		}
		found++
		s, err := parsePasswordLine(line)
		if _, twice := users[s.name]; err == nil && twice {
			err = fmt.Errorf("user %q is listed already", s.name)
		}
		if err == nil {
			users[s.name] = s
			continue
		}
		if faults++; faults <= maxFileFaults {
			fault(key, "%s:%d: %v", name, n, err)
		}
	}
	if faults > maxFileFaults {
		fault(key, "%s: %d more faulty lines", name, faults-maxFileFaults)
	}
	switch {
	case lines.Err() != nil:
		fault(key, "%s:%d: %v: want NAME:HASH of at most %d bytes", name, n+1, lines.Err(), maxPasswordLine)
	case found > maxFileUsers:
		fault(key, "%s:%d: more than %d users", name, n, maxFileUsers)
	}
}

// parsePasswordLine takes NAME:HASH apart. A name cannot have a colon in it, as
// with mosquitto.
func parsePasswordLine(line string) (source, error) {
	name, encoded, ok := strings.Cut(line, ":")
	if !ok {
		return source{}, fmt.Errorf("want NAME:HASH, as mosquitto_passwd writes it")
	}
	if err := checkUserName(name); err != nil {
		return source{}, err
	}
	h, err := parseHash(encoded)
	if err != nil {
		return source{}, fmt.Errorf("user %q: %w", name, err)
	}
	return source{name: name, encoded: encoded, hash: h}, nil
}
