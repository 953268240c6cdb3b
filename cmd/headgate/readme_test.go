package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"
)

// writeKeyPair writes a certificate that signs itself, and its key.
func writeKeyPair(t *testing.T, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheFilesThatTheREADMENamesAreThere(t *testing.T) {
	text := docPage(t, "README.md").text
	names := regexp.MustCompile("`([A-Za-z/]+\\.(?:go|md))`").FindAllStringSubmatch(text, -1)
	if len(names) < 8 {
		t.Errorf("got %d files, want 8", len(names))
	}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(moduleRoot(t), name[1])); err != nil {
			t.Error(err)
		}
	}
}

// Who follows the README makes these beside the sources: neither git nor the test
// of what stands at the top may take them for ours.
func TestWhatTheREADMEHasANewcomerMakeIsIgnored(t *testing.T) {
	text := docPage(t, "README.md").text
	ignored := ignoredAtTop(filepath.Join(moduleRoot(t), ".gitignore"))
	for _, pattern := range []string{`go build -o (\S+)`, "Save it as `([^`]+)`", `data_dir = "([^"/]+)"`, `password_file = "([^"/]+)"`, `password_file = "([^"/]+\.password)"`} {
		found := regexp.MustCompile(pattern).FindStringSubmatch(text)
		if found == nil {
			t.Errorf("README.md says nothing like %s any more", pattern)
		} else if !slices.Contains(ignored, found[1]) {
			t.Errorf("%s is not in .gitignore", found[1])
		}
	}
}
