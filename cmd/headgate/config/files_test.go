package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const wantsFiles = `[[modbus]]
name = "safe"
url = "tls://127.0.0.1:802"
tls = { ca_file = "DIR/ca.pem", cert_file = "DIR/cert.pem", key_file = "DIR/key.pem" }
device = [ { name = "m", point = [ { name = "x", register = "holding:0" } ] } ]

[[bridge]]
name = "cloud"
url = "mqtts://cloud.example"
up = [ { filter = "#" } ]
credentials = { username = "u", password_file = "DIR/password" }
  [bridge.tls]
  ca_file = "DIR/ca.pem"
`

// A gateway starts without the files that it reads when it connects, and waits for them.
// A reload is refused: what runs is not given up for it.
func TestAFileThatAConnectionNeedsIsAFaultOfAReloadByItsLine(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "headgate.toml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(wantsFiles, "DIR", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err != nil {
		t.Errorf("to start: %v", err)
	}
	says := func(want ...string) {
		t.Helper()
		_, err := Reload(path, "plant")
		_, _, alsoCheck := Check(path)
		for _, err := range []error{err, alsoCheck} {
			if err == nil {
				t.Errorf("nothing is said, want %q", want)
				continue
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(want) {
				t.Errorf("got %q, want %q", lines, want)
				continue
			}
			for i, line := range lines {
				if !strings.Contains(line, strings.ReplaceAll(want[i], "DIR", dir)) {
					t.Errorf("got %q, want %q", line, want[i])
				}
			}
		}
	}
	says(
		`:4: modbus.tls.ca_file: "DIR/ca.pem": there is no such file`,
		`:4: modbus.tls.cert_file: "DIR/cert.pem": there is no such file`,
		`:4: modbus.tls.key_file: "DIR/key.pem": there is no such file`,
		`:11: bridge.credentials.password_file: "DIR/password": there is no such file`,
		`:13: bridge.tls.ca_file: "DIR/ca.pem": there is no such file`,
	)
	for _, name := range []string{"ca.pem", "cert.pem", "key.pem", "password"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("no PEM"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	says(
		`:4: modbus.tls.ca_file: "DIR/ca.pem" holds no certificate: want PEM`,
		`:4: modbus.tls.cert_file: "DIR/cert.pem" with the key in "DIR/key.pem": tls: failed to find any PEM data`,
		`:13: bridge.tls.ca_file: "DIR/ca.pem" holds no certificate`,
	)
}
