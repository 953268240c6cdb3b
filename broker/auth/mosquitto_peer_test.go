package auth

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mosquittoPasswd runs mosquitto_passwd, or skips where it is missing.
func mosquittoPasswd(t *testing.T, args ...string) {
	t.Helper()
	program, err := exec.LookPath("mosquitto_passwd")
	if err != nil {
		const hint = "mosquitto_passwd is missing: apt-get install mosquitto"
		if os.Getenv("HEADGATE_PEERS") == "required" {
			t.Fatal(hint)
		}
		t.Skip(hint)
	}
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestFilesOfMosquittoPasswdAreUnderstood(t *testing.T) {
	users := map[string]string{"plant7": "secret", "höhe": "größe €", "a b": strings.Repeat("x", 200), "c": "$6$a$b:#"}
	for _, c := range []struct {
		name, prefix string
		args         []string
	}{
		{"SHA-512", "$6$", []string{"-H", "sha512"}},
		{"PBKDF2", "$7$", []string{"-H", "sha512-pbkdf2"}},
		{"the default", "$", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "passwords")
			create := []string{"-c"}
			for name, password := range users {
				mosquittoPasswd(t, append(append(append([]string(nil), c.args...), create...), "-b", file, name, password)...)
				create = nil
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(b), ":"+c.prefix); n != len(users) {
				t.Fatalf("%d lines with a hash %s, want %d", n, c.prefix, len(users))
			}
			p := mustNew(t, Config{PasswordFile: file}, nil)
			for name, password := range users {
				if got, err := p.Authenticate(t.Context(), login(name, password), false); err != nil || got != name {
					t.Errorf("got %q and %v, want %q", got, err, name)
				}
				if _, err := p.Authenticate(t.Context(), login(name, password+"x"), false); !errors.Is(err, ErrBadCredentials) {
					t.Errorf("a wrong password of %q: got %v, want %v", name, err, ErrBadCredentials)
				}
			}
		})
	}
}

// The advice that a plain password in a file is answered with must be right.
func TestAFileThatMosquittoPasswdHasHashedLaterIsUnderstood(t *testing.T) {
	file := writeFile(t, "plant7:secret\nplant8:other\n")
	faults := faultsOf(Config{PasswordFile: file})
	if len(faults) != 2 || !strings.Contains(faults[0], "mosquitto_passwd -U FILE") {
		t.Errorf("got %q, want the advice for each of two lines", faults)
	}
	mosquittoPasswd(t, "-U", file)
	p := mustNew(t, Config{PasswordFile: file}, nil)
	if _, err := p.Authenticate(t.Context(), login("plant7", "secret"), false); err != nil {
		t.Error(err)
	}
}
