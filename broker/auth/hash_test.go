package auth

import (
	"strings"
	"testing"
)

func TestHashesOfEachFormVerifyTheirPassword(t *testing.T) {
	for _, c := range []struct{ name, encoded, password string }{
		// Made by mosquitto_passwd 2.0.11.
		{"mosquitto's SHA-512", "$6$ygUll4YGYAZxyrIf$tNfQEDoAkX6/2LRL6tlCD6fvw3Xqd3Yn9+T+/rMaGF+Y1UBT3iYSSZb8CA5qjOAGyWswU1GUkchKBW7YAaJZbg==", "secret"},
		{"mosquitto's PBKDF2", "$7$101$H2frgSvQ8QI+cyGW$JB7LyNQ+ckvOCKaK952qRnNTbTPrL/OYrP0UL439xm64ULSOnMUvZndAWU3kWF8bRMAXl9MNswqOWaJdFacmiw==", "secret"},
		// Made by mosquitto_passwd 2.1.2, whose salt is longer; as an issue of theirs quotes it.
		{"mosquitto's PBKDF2 with a long salt", "$7$1000$uKtJR1y2kI+tdzwxyMdaN1R3XfHauE742GUjuVZZGSifRdHMz2HBUWNb4bcaFJt8vFV47nH6dXIW1B8M7gVY1A==$n/lxUluMJMoxxnBdUW7vn7Dx93iO0tsAOlzcmvPuDLfqohObyzDg2P2yiIBtYYrPNR30bm7yCfBcLXjhxQc3dA==", "password"},
		{"argon2id", smallHash, "password"},
		{"PostgreSQL's SCRAM", pencil, "pencil"},
		{"our own", Hash("höhe"), "höhe"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := parseHash(c.encoded)
			if err != nil {
				t.Fatal(err)
			}
			if !h.verify([]byte(c.password)) {
				t.Errorf("the right password is wrong")
			}
			// Zeros behind a password are no case: HMAC pads its key with them.
			for _, wrong := range []string{"", c.password + "x", c.password[1:], "\x00" + c.password, strings.ToUpper(c.password)} {
				if h.verify([]byte(wrong)) {
					t.Errorf("%q is right, want wrong", wrong)
				}
			}
		})
	}
}

func TestTwoHashesOfOnePasswordDiffer(t *testing.T) {
	a, b := Hash("secret"), Hash("secret")
	if a == b {
		t.Errorf("got %s twice", a)
	}
	if want := "$argon2id$v=19$m=19456,t=2,p=1$"; !strings.HasPrefix(a, want) {
		t.Errorf("got %s, want it to begin with %s", a, want)
	}
}

func TestFaultyHashesAreRefusedWithoutBeingShown(t *testing.T) {
	const key32 = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	for _, c := range []struct{ encoded, want string }{
		{"", "not a hash"},
		{"SECRET", "mosquitto_passwd -U"},
		{"$SECRET", "not a hash"},
		{"$2b$12$SECRET", "unknown form"},
		{"$5$SECRET", "unknown form"},
		{"$argon2i$v=19$m=256,t=2,p=1$SECRETSALT1$" + key32, "unknown form"},
		{"$argon2id$m=256,t=2,p=1$SECRETSALT1$" + key32, "want $argon2id$v=19$"},
		{"$argon2id$v=16$m=256,t=2,p=1$SECRETSALT1$" + key32, "v=19"},
		{"$argon2id$v=19$m=256,t=2$SECRETSALT1$" + key32, "want m="},
		{"$argon2id$v=19$t=2,m=256,p=1$SECRETSALT1$" + key32, "m=: a number"},
		{"$argon2id$v=19$m=65537,t=2,p=1$SECRETSALT1$" + key32, "m=65537 is not within 8 to 65536"},
		{"$argon2id$v=19$m=4294967552,t=2,p=1$SECRETSALT1$" + key32, "m=: a number"},
		{"$argon2id$v=19$m=256,t=11,p=1$SECRETSALT1$" + key32, "t=11 is not within 1 to 10"},
		{"$argon2id$v=19$m=256,t=0,p=1$SECRETSALT1$" + key32, "t=0 is not within"},
		{"$argon2id$v=19$m=256,t=2,p=5$SECRETSALT1$" + key32, "p=5 is not within 1 to 4"},
		{"$argon2id$v=19$m=256,t=2,p=0$SECRETSALT1$" + key32, "p=0 is not within"},
		{"$argon2id$v=19$m=8,t=2,p=4$SECRETSALT1$" + key32, "below 8 for each"},
		{"$argon2id$v=19$m=-8,t=2,p=4$SECRETSALT1$" + key32, "m=: a number"},
		{"$argon2id$v=19$m=256,t=2,p=1$SECRET$" + key32, "salt has 4 bytes"},
		{"$argon2id$v=19$m=256,t=2,p=1$SECRETSALT1$SECRET", "it has 4 bytes"},
		{"$argon2id$v=19$m=256,t=2,p=1$SECRETSALT1$" + key32 + "=", "not base64"},
		{"$7$101$U0VDUkVU$" + strings.Repeat("A", 88), "it has 66 bytes"},
		{"$7$0$U0VDUkVU$" + strings.Repeat("A", 84), "0 iterations"},
		{"$7$1000001$U0VDUkVU$" + strings.Repeat("A", 84), "1000001 iterations"},
		{"$7$x$U0VDUkVU$" + strings.Repeat("A", 84), "iterations: a number"},
		{"$7$101$$" + strings.Repeat("A", 84), "salt has 0 bytes"},
		{"$7$101$U0VDUkVU", "want $7$"},
		{"$6$U0VDUkVU", "want $6$"},
		{"$6$U0VDUkVU$" + strings.Repeat("A", 84), "63 bytes"},
		{"$6$U0VDUkV$" + strings.Repeat("A", 84), "salt is not base64"},
		{"SCRAM-SHA-256$4095:U0VDUkVU$" + keyPair, "4095 iterations are not within 4096"},
		{"SCRAM-SHA-256$4096:$" + keyPair, "salt is not"},
		{"SCRAM-SHA-256$4096:U0VDUkVU$" + keyPair[:len(keyPair)-2], "server key is not"},
		{"SCRAM-SHA-256$4096:U0VDUkVU$x" + keyPair, "stored key is not"},
		{"SCRAM-SHA-256$4096$U0VDUkVU", "want SCRAM-SHA-256$"},
		{"SCRAM-SHA-1$4096:U0VDUkVU$" + keyPair, "not a hash"},
	} {
		_, err := parseHash(c.encoded)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.encoded, err, c.want)
		} else if strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "U0VD") {
			t.Errorf("%s: %v shows what is in it", c.encoded, err)
		}
	}
}

// FuzzParseHash: whatever is taken stays within the limits, and reads the same
// when it is written again.
func FuzzParseHash(f *testing.F) {
	f.Add(smallHash)
	f.Add(pencil)
	f.Add("$7$101$H2frgSvQ8QI+cyGW$JB7LyNQ+ckvOCKaK952qRnNTbTPrL/OYrP0UL439xm64ULSOnMUvZndAWU3kWF8bRMAXl9MNswqOWaJdFacmiw==")
	f.Add("$6$ygUll4YGYAZxyrIf$tNfQEDoAkX6/2LRL6tlCD6fvw3Xqd3Yn9+T+/rMaGF+Y1UBT3iYSSZb8CA5qjOAGyWswU1GUkchKBW7YAaJZbg==")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parseHash(s)
		if err != nil {
			return
		}
		switch h := h.(type) {
		case argonHash:
			if h.memory > maxArgonMemory || h.time < 1 || h.time > maxArgonTime || h.threads < 1 || h.threads > maxArgonThreads {
				t.Errorf("%q is taken", s)
			}
			if again, err := parseHash(h.String()); err != nil || again.(argonHash).String() != h.String() {
				t.Errorf("%q reads %v when it is written again: %v", s, again, err)
			}
		case pbkdf2Hash:
			if h.iterations < 1 || h.iterations > maxIterations {
				t.Errorf("%q is taken", s)
			}
		case *credentials:
			if h.iterations < minScramIterations || h.iterations > maxIterations || len(h.salt) > maxScramSalt {
				t.Errorf("%q is taken", s)
			}
			if again, err := parseHash(h.String()); err != nil || again.(*credentials).String() != h.String() {
				t.Errorf("%q reads %v when it is written again: %v", s, again, err)
			}
		}
	})
}

func BenchmarkHash(b *testing.B) {
	for _, c := range []struct{ name, encoded string }{
		{"argon2id as Hash makes it", "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"},
		{"PBKDF2 of 1000", "$7$1000$uKtJR1y2kI+tdzwxyMdaN1R3XfHauE742GUjuVZZGSifRdHMz2HBUWNb4bcaFJt8vFV47nH6dXIW1B8M7gVY1A==$n/lxUluMJMoxxnBdUW7vn7Dx93iO0tsAOlzcmvPuDLfqohObyzDg2P2yiIBtYYrPNR30bm7yCfBcLXjhxQc3dA=="},
		{"SCRAM of 4096", pencil},
	} {
		b.Run(c.name, func(b *testing.B) {
			h, err := parseHash(c.encoded)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				h.verify([]byte("wrong"))
			}
		})
	}
}
