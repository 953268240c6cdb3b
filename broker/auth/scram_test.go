package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// pencil is the password "pencil" with the salt of RFC 7677's example, as
// PostgreSQL would store it.
const (
	keyPair = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	pencil  = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" + keyPair
)

const (
	exampleNonce = "rOprNGfwEbeRWgbNEkqO"
	exampleFirst = "n,,n=user,r=" + exampleNonce
	exampleFinal = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)

func exampleExchange(t testing.TB) *Scram {
	s := mustNew(t, Config{User: []UserConfig{{Name: "user", PasswordHash: pencil}}}, nil).Scram()
	s.nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	return s
}

func TestScramGivesTheExampleOfRFC7677(t *testing.T) {
	s := exampleExchange(t)
	first, err := s.Start([]byte(exampleFirst))
	if err != nil {
		t.Fatal(err)
	}
	if want := "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"; string(first) != want {
		t.Errorf("got %s, want %s", first, want)
	}
	final, name, err := s.Finish([]byte(exampleFinal))
	if err != nil {
		t.Fatal(err)
	}
	if want := "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="; string(final) != want || name != "user" {
		t.Errorf("got %s of %q, want %s of user", final, name, want)
	}
}

// scramClient plays a client that is right in all but what it is told to be.
type scramClient struct {
	header, name, password string
	extraFirst, extraFinal string
	binding                string // "": the header
	nonce                  string // "": the server's
}

func (c scramClient) run(s *Scram) (first string, name string, err error) {
	if c.header == "" {
		c.header = "n,,"
	}
	if c.binding == "" {
		c.binding = c.header
	}
	bare := "n=" + c.name + ",r=client" + c.extraFirst
	serverFirst, err := s.Start([]byte(c.header + bare))
	if err != nil {
		return "", "", err
	}
	first = string(serverFirst)
	parts := strings.Split(first, ",")
	if len(parts) != 3 {
		return first, "", fmt.Errorf("server-first-message %q", first)
	}
	nonce := strings.TrimPrefix(parts[0], "r=")
	if c.nonce != "" {
		nonce = c.nonce
	}
	salt, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(parts[1], "s="))
	if err != nil {
		return first, "", err
	}
	var iterations int
	fmt.Sscanf(parts[2], "i=%d", &iterations)
	proof, serverSignature := proofOf(c.password, salt, iterations, func(final string) string { return bare + "," + first + "," + final },
		"c="+base64.StdEncoding.EncodeToString([]byte(c.binding))+",r="+nonce+c.extraFinal)
	final, name, err := s.Finish([]byte(proof))
	if err == nil && string(final) != serverSignature {
		return first, "", fmt.Errorf("server-final-message %s, want %s", final, serverSignature)
	}
	return first, name, err
}

func TestScramLetsInWhoKnowsThePassword(t *testing.T) {
	p := mustNew(t, Config{User: []UserConfig{
		{Name: "plain", Password: "secret"}, {Name: "user", PasswordHash: pencil}, {Name: "a,b=c", Password: "secret"}, {Name: "Höhe", Password: "Größe"},
		{Name: "mosquitto", PasswordHash: smallHash},
	}}, nil)
	for _, c := range []struct {
		name    string
		client  scramClient
		want    string
		wantErr error
	}{
		{"a configured password", scramClient{name: "plain", password: "secret"}, "plain", nil},
		{"a SCRAM hash", scramClient{name: "user", password: "pencil"}, "user", nil},
		{"an escaped name", scramClient{name: "a=2Cb=3Dc", password: "secret"}, "a,b=c", nil},
		{"a name and a password that are not ASCII", scramClient{name: "Höhe", password: "Größe"}, "Höhe", nil},
		{"a client that could bind", scramClient{header: "y,,", name: "plain", password: "secret"}, "plain", nil},
		{"a user that acts as itself", scramClient{header: "n,a=plain,", name: "plain", password: "secret"}, "plain", nil},
		{"extensions", scramClient{name: "plain", password: "secret", extraFirst: ",x=1,Y=", extraFinal: ",x=p=1"}, "", ErrScramMessage},
		{"good extensions", scramClient{name: "plain", password: "secret", extraFirst: ",x=1,Y=2", extraFinal: ",x=p=1"}, "plain", nil},
		{"a wrong password", scramClient{name: "plain", password: "Secret"}, "", ErrBadCredentials},
		{"no password", scramClient{name: "plain"}, "", ErrBadCredentials},
		{"an unknown user", scramClient{name: "nobody", password: "secret"}, "", ErrBadCredentials},
		{"a user whose hash is none of SCRAM's", scramClient{name: "mosquitto", password: "password"}, "", ErrBadCredentials},
		{"channel binding", scramClient{header: "p=tls-unique,,", name: "plain", password: "secret"}, "", ErrScramMessage},
		{"a user that acts as another", scramClient{header: "n,a=user,", name: "plain", password: "secret"}, "", ErrScramMessage},
		{"a binding that is not the header", scramClient{binding: "y,,", name: "plain", password: "secret"}, "", ErrScramMessage},
		{"a nonce of another exchange", scramClient{nonce: "clientother", name: "plain", password: "secret"}, "", ErrScramMessage},
		{"the client's nonce alone", scramClient{nonce: "client", name: "plain", password: "secret"}, "", ErrScramMessage},
		{"a mandatory extension", scramClient{name: "plain", password: "secret", extraFirst: ",m=1"}, "", ErrScramMessage},
		{"a mandatory extension at the end", scramClient{name: "plain", password: "secret", extraFinal: ",m=1"}, "", ErrScramMessage},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, got, err := c.client.run(p.Scram())
			if got != c.want || !errors.Is(err, c.wantErr) || (err == nil) != (c.wantErr == nil) {
				t.Errorf("got %q and %v, want %q and %v", got, err, c.want, c.wantErr)
			}
		})
	}
}

func TestFaultyScramMessagesAreRefused(t *testing.T) {
	for _, first := range []string{
		"", "n", "n,", "n,,", ",,n=user,r=x", "n,,n=user", "n,,n=user,", "n,,n=user,r=", "n,,r=x,n=user", "n,,n=,r=x", "N,,n=user,r=x", "x,,n=user,r=x",
		"n,,m=1,n=user,r=x", "n,,n=us=er,r=x", "n,,n=us=2cer,r=x", "n,,n=user,r=a b", "n,,n=user,r=\x7f", "n,,n=user,r=ä", "n,,n=us\x00er,r=x", "n,,n=\xff,r=x",
		"n,x=user,n=user,r=x", "n,a=,n=user,r=x", "n,,n=user,r=x,", "n,,n=user,r=x,1=2", "n,,n=user,r=x,xx", "p=tls-exporter,,n=user,r=x",
		"n,,n=" + strings.Repeat("u", maxName+1) + ",r=x", "n,,n=user,r=" + strings.Repeat("x", maxScramMessage),
	} {
		s := exampleExchange(t)
		if _, err := s.Start([]byte(first)); !errors.Is(err, ErrScramMessage) {
			t.Errorf("client-first-message %.60q: got %v, want %v", first, err, ErrScramMessage)
		}
		if _, _, err := s.Finish([]byte(exampleFinal)); !errors.Is(err, ErrScramMessage) {
			t.Errorf("after client-first-message %.60q: got %v, want %v", first, err, ErrScramMessage)
		}
	}
	nonce := exampleNonce + "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	proof := "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	for _, final := range []string{
		"", "p=" + proof, "c=biws,p=" + proof, "c=biws,r=" + nonce, "c=biws,r=" + nonce + ",p=", "c=biws,r=" + nonce + ",p=AAAA", "c=biws,r=" + nonce + ",p=" + proof + "=",
		"c=biws,r=" + nonce + ",p=" + proof + ",x=1", "c=b*ws,r=" + nonce + ",p=" + proof, "c=eSws,r=" + nonce + ",p=" + proof, "r=" + nonce + ",c=biws,p=" + proof,
		"c=biws,r=" + nonce + "x,p=" + proof, "c=biws,r=" + exampleNonce + ",p=" + proof, "c=biws,r=,p=" + proof, "c=,r=" + nonce + ",p=" + proof,
		"c=biws,r=" + nonce + ",m=1,p=" + proof, exampleFinal + strings.Repeat(" ", maxScramMessage),
	} {
		s := exampleExchange(t)
		if _, err := s.Start([]byte(exampleFirst)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Finish([]byte(final)); !errors.Is(err, ErrScramMessage) {
			t.Errorf("client-final-message %.80q: got %v, want %v", final, err, ErrScramMessage)
		}
		// There is no second try within an exchange.
		if _, name, err := s.Finish([]byte(exampleFinal)); err == nil {
			t.Errorf("after client-final-message %.80q, the right one lets %q in", final, name)
		}
	}
}

func TestScramMessagesOutOfOrderAreRefused(t *testing.T) {
	s := exampleExchange(t)
	if _, _, err := s.Finish([]byte(exampleFinal)); !errors.Is(err, ErrScramMessage) {
		t.Errorf("the last first: got %v", err)
	}
	s = exampleExchange(t)
	s.Start([]byte(exampleFirst))
	if _, err := s.Start([]byte(exampleFirst)); !errors.Is(err, ErrScramMessage) {
		t.Errorf("the first twice: got %v", err)
	}
	if _, _, err := s.Finish([]byte(exampleFinal)); !errors.Is(err, ErrScramMessage) {
		t.Errorf("the last after the first twice: got %v", err)
	}
	s = exampleExchange(t)
	s.Start([]byte(exampleFirst))
	if _, _, err := s.Finish([]byte(exampleFinal)); err != nil {
		t.Errorf("got %v", err)
	}
	if _, _, err := s.Finish([]byte(exampleFinal)); !errors.Is(err, ErrScramMessage) {
		t.Errorf("the last twice: got %v", err)
	}
}

// withoutNonce is what of a server-first-message could tell users apart.
func withoutNonce(first string) string { return first[strings.Index(first, ",s="):] }

func TestScramDoesNotTellUnknownUsersFromKnownOnes(t *testing.T) {
	cfg := Config{User: []UserConfig{{Name: "plain", Password: "secret"}, {Name: "mosquitto", PasswordHash: smallHash}}}
	p := mustNew(t, cfg, nil)
	reloaded := mustNew(t, cfg, p)
	shape := func(s string) string { return fmt.Sprintf("%d bytes, i=%s", len(s), s[strings.LastIndex(s, "=")+1:]) }
	seen := map[string]string{}
	for _, name := range []string{"plain", "mosquitto", "nobody", "somebody"} {
		first, _, err := scramClient{name: name, password: "wrong"}.run(p.Scram())
		if !errors.Is(err, ErrBadCredentials) {
			t.Fatal(err)
		}
		again, _, _ := scramClient{name: name, password: "wrong"}.run(p.Scram())
		if withoutNonce(first) != withoutNonce(again) {
			t.Errorf("%s: got %s and then %s, want the same salt", name, first, again)
		}
		if first == again {
			t.Errorf("%s: the nonce of %s came twice", name, first)
		}
		later, _, _ := scramClient{name: name, password: "wrong"}.run(reloaded.Scram())
		if withoutNonce(first) != withoutNonce(later) {
			t.Errorf("%s: got %s before and %s after a reload, want the same salt", name, first, later)
		}
		if other, twice := seen[withoutNonce(first)]; twice {
			t.Errorf("%s and %s have the same salt", name, other)
		}
		seen[withoutNonce(first)] = name
		if got, want := shape(withoutNonce(first)), "34 bytes, i=4096"; got != want {
			t.Errorf("%s: got %s (%s), want %s", name, got, first, want)
		}
	}
}

func TestTheLogSaysWhyAHashCannotServeScram(t *testing.T) {
	p := mustNew(t, Config{User: []UserConfig{{Name: "mosquitto", PasswordHash: smallHash}}}, nil)
	_, _, err := scramClient{name: "mosquitto", password: "password"}.run(p.Scram())
	if err == nil || !strings.Contains(err.Error(), "SCRAM-SHA-256$") {
		t.Errorf("got %v, want what the user needs", err)
	}
}

func TestAChangedPasswordChangesScramToo(t *testing.T) {
	old := mustNew(t, Config{User: []UserConfig{{Name: "u", Password: "old"}}}, nil)
	p := mustNew(t, Config{User: []UserConfig{{Name: "u", Password: "new"}}}, old)
	if _, _, err := (scramClient{name: "u", password: "old"}).run(p.Scram()); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("the old password: got %v, want %v", err, ErrBadCredentials)
	}
	if _, name, err := (scramClient{name: "u", password: "new"}).run(p.Scram()); err != nil || name != "u" {
		t.Errorf("the new password: got %q and %v", name, err)
	}
}

// FuzzScram: no message makes the exchange panic, fail with another kind of
// error, or let somebody in; and what is taken apart is all of the message.
func FuzzScram(f *testing.F) {
	f.Add([]byte(exampleFirst), []byte(exampleFinal[:len(exampleFinal)-4]+"AAA="))
	f.Add([]byte("y,a=user,n=user,r=x,x=1"), []byte("c=biws,r=x,x=1,p="+strings.Repeat("A", 43)+"="))
	f.Add([]byte("n,,n=a=2Cb=3D,r=x"), []byte("c=,r=,p="))
	f.Add([]byte("p=tls-unique,,n=user,r=x"), []byte("p="))
	p := mustNew(f, Config{User: []UserConfig{{Name: "user", PasswordHash: pencil}, {Name: "other", PasswordHash: smallHash}}}, nil)
	f.Fuzz(func(t *testing.T, first, final []byte) {
		s := p.Scram()
		s.nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
		answer, err := s.Start(first)
		if err != nil {
			if !errors.Is(err, ErrScramMessage) {
				t.Fatalf("%q: %v", first, err)
			}
			return
		}
		m := s.first
		if m.header+m.bare != string(first) || m.username == "" || !strings.HasPrefix(string(answer), "r="+m.nonce+s.nonce+",s=") {
			t.Fatalf("%q is taken apart into %+v and answered with %q", first, m, answer)
		}
		_, name, err := s.Finish(final)
		known := string(first) == exampleFirst && string(final) == exampleFinal
		if err == nil && !known {
			t.Fatalf("%q and %q let %q in", first, final, name)
		}
		if err != nil && !errors.Is(err, ErrScramMessage) && !errors.Is(err, ErrBadCredentials) {
			t.Fatalf("%q: %v", final, err)
		}
	})
}
