package auth

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// faultsOf gives what Check reports, as "KEY: TEXT".
func faultsOf(cfg Config) []string {
	var faults []string
	cfg.Check(func(key, format string, args ...any) { faults = append(faults, key+": "+fmt.Sprintf(format, args...)) })
	return faults
}

func TestFaultsOfTheConfigAreReportedByTheirKey(t *testing.T) {
	good := UserConfig{Name: "plant7", Password: "secret"}
	missing := filepath.Join(t.TempDir(), "missing")
	rule := func(change func(*RuleConfig)) Config {
		r := RuleConfig{Users: []string{"plant7", ""}, Topics: []string{"a/%c/%u/#"}, Allow: "all"}
		change(&r)
		return Config{User: []UserConfig{good}, ACL: []RuleConfig{r}}
	}
	user := func(u UserConfig) Config { return Config{User: []UserConfig{good, u}} }
	for _, c := range []struct {
		name string
		cfg  Config
		want []string // how each fault begins
	}{
		{"nothing", Config{}, nil},
		{"a user", Config{User: []UserConfig{good}}, nil},
		{"a user without a name", user(UserConfig{Password: "x"}), []string{"user[1].name: a user needs a name"}},
		{"a name twice", user(good), []string{`user[1].name: "plant7" is listed twice`}},
		{"a name with a line feed", user(UserConfig{Name: "a\nb", Password: "x"}), []string{`user[1].name: user name "a\nb" has a control character`}},
		{"a name that is not UTF-8", user(UserConfig{Name: "\xff", Password: "x"}), []string{`user[1].name: user name "\xff" is not UTF-8`}},
		{"a name that is too long", user(UserConfig{Name: strings.Repeat("a", 1025), Password: "x"}), []string{"user[1].name: a user name has 1025 bytes"}},
		{"no password", user(UserConfig{Name: "a"}), []string{`user[1]: user "a" needs password, password_file or password_hash`}},
		{"two passwords", user(UserConfig{Name: "a", Password: "x", PasswordHash: smallHash}), []string{`user[1]: user "a" has its password in 2 places`}},
		{"a faulty hash", user(UserConfig{Name: "a", PasswordHash: "$1$x"}), []string{`user[1].password_hash: user "a": unknown form`}},
		{"a plain password as hash", user(UserConfig{Name: "a", PasswordHash: "x"}), []string{`user[1].password_hash: user "a": this is not a hash`}},
		{"a missing file of one user", user(UserConfig{Name: "a", PasswordFile: missing}), []string{"user[1].password_file: open " + missing}},
		{"an empty file of one user", user(UserConfig{Name: "a", PasswordFile: writeFile(t, "\nx\n")}), []string{"user[1].password_file: "}},
		{"a file of one user that is too long", user(UserConfig{Name: "a", PasswordFile: writeFile(t, strings.Repeat("x", 65536))}), []string{"user[1].password_file: "}},
		{"a missing password file", Config{PasswordFile: missing}, []string{"password_file: open " + missing}},
		{"a rule", rule(func(*RuleConfig) {}), nil},
		{"a rule for all", rule(func(r *RuleConfig) { r.Users = nil }), nil},
		{"a rule for nobody", rule(func(r *RuleConfig) { r.Users = []string{} }), []string{"acl[0].users: an empty list"}},
		{"a rule for a user that is not there", rule(func(r *RuleConfig) { r.Users = []string{"plnat7"} }), []string{`acl[0].users: user "plnat7" is neither in`}},
		{"a rule for no client", rule(func(r *RuleConfig) { r.Clients = []string{} }), []string{"acl[0].clients: an empty list"}},
		{"a rule for an empty client identifier", rule(func(r *RuleConfig) { r.Clients = []string{"a", ""} }), []string{"acl[0].clients: no client identifier is empty"}},
		{"neither allow nor deny", rule(func(r *RuleConfig) { r.Allow = "" }), []string{"acl[0]: a rule needs allow or deny"}},
		{"allow and deny", rule(func(r *RuleConfig) { r.Deny = "all" }), []string{"acl[0].deny: a rule has allow or deny, not both"}},
		{"allow of something else", rule(func(r *RuleConfig) { r.Allow = "write" }), []string{`acl[0].allow: "write": want "publish", "subscribe" or "all"`}},
		{"deny of something else", rule(func(r *RuleConfig) { r.Allow, r.Deny = "", "read" }), []string{`acl[0].deny: "read": want`}},
		{"no topics", rule(func(r *RuleConfig) { r.Topics = nil }), []string{"acl[0].topics: a rule needs topics"}},
		{"a faulty filter", rule(func(r *RuleConfig) { r.Topics = []string{"ok", "a/#/b", "x+"} }), []string{`acl[0].topics: "a/#/b": topic filter`, `acl[0].topics: "x+": topic filter`}},
		{"a shared filter", rule(func(r *RuleConfig) { r.Topics = []string{"$share/g/a"} }), []string{`acl[0].topics: "$share/g/a": leave $share/GROUP/ out`}},
		{"two at once", Config{User: []UserConfig{{}}}, []string{"user[0].name: ", "user[0]: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := faultsOf(c.cfg)
			ok := len(got) == len(c.want)
			for i := 0; ok && i < len(got); i++ {
				ok = strings.HasPrefix(got[i], c.want[i])
			}
			if !ok {
				t.Errorf("got %q, want %q", got, c.want)
			}
			p, err := New(c.cfg, nil)
			if (err == nil) != (len(c.want) == 0) || (p == nil) != (err != nil) {
				t.Errorf("New gives %v, and Check %q", err, got)
			}
		})
	}
}

func TestAPasswordFileIsReadAsMosquittoWritesIt(t *testing.T) {
	name := writeFile(t, "# users of the plant\n\nplant7:"+smallHash+"\r\n  \nplant 8:"+smallHash+"\n # indented\nplant9:"+pencil)
	p := mustNew(t, Config{User: []UserConfig{{Name: "own", Password: "x"}}, PasswordFile: name}, nil)
	var got []string
	for user := range p.users {
		got = append(got, user)
	}
	slices.Sort(got)
	if want := []string{"own", "plant 8", "plant7", "plant9"}; !cmp.Equal(got, want) {
		t.Errorf("(-want +got)\n%s", cmp.Diff(want, got))
	}
	for user, password := range map[string]string{"plant7": "password", "plant9": "pencil", "own": "x"} {
		if _, err := p.Authenticate(t.Context(), login(user, password), false); err != nil {
			t.Error(err)
		}
	}
}

func TestFaultyLinesOfAPasswordFileAreNamed(t *testing.T) {
	name := writeFile(t, strings.Join([]string{
		"# fine", "plant7:" + smallHash, "plain:SECRET", "SECRET", ":" + smallHash, "plant7:" + smallHash, "own:" + smallHash,
		"extra:" + smallHash + ":SECRET", "greedy:$argon2id$v=19$m=1048576,t=2,p=1$c29tZXNhbHQ$SECRET", "old:$6$SECRET",
	}, "\n"))
	got := faultsOf(Config{User: []UserConfig{{Name: "own", Password: "x"}}, PasswordFile: name})
	want := []string{
		`:3: user "plain": this is not a hash: for a password file run "mosquitto_passwd -U FILE", which hashes plain passwords`,
		`:4: want NAME:HASH, as mosquitto_passwd writes it`,
		`:5: a user needs a name`,
		`:6: user "plant7" is listed already`,
		`:7: user "own" is listed already`,
		`:8: user "extra": argon2id hash: it is not base64`,
		`:9: user "greedy": argon2id hash: m=1048576 is not within 8 to 65536: hash the password again`,
		`:10: user "old": SHA-512 hash: want $6$SALT$HASH`,
	}
	for i := range want {
		want[i] = "password_file: " + name + want[i]
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestAWrongFileAsPasswordFileIsRefusedInFewWords(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       int // faults
	}{
		{"many faulty lines", strings.Repeat("x\n", 5000), maxFileFaults + 1},
		{"one endless line", strings.Repeat("x", 1_000_000), 1},
	} {
		got := faultsOf(Config{PasswordFile: writeFile(t, c.text)})
		if len(got) != c.want {
			t.Errorf("%s: got %d faults, want %d", c.name, len(got), c.want)
		}
		for _, g := range got {
			if len(g) > 500 {
				t.Errorf("%s: a fault has %d bytes", c.name, len(g))
			}
		}
	}
}
