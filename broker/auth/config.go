package auth

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Config is the part of the [broker] table that says who may connect and what
// each may do.
type Config struct {
	// User lists who may connect with a user name and a password. Once there is
	// one, here or in password_file, a user name that is not listed is refused.
	User []UserConfig `toml:"user"`

	// PasswordFile names a file with more users, a line each, as
	// mosquitto_passwd writes it: NAME:HASH, the hash in one of the forms that
	// password_hash takes.
	PasswordFile string `toml:"password_file"`

	// ACL lists rules about topics. Without any, everyone may publish and
	// subscribe to everything. With one, what no rule allows is denied, and a
	// rule that denies wins over all that allow, in whatever order they stand.
	ACL []RuleConfig `toml:"acl"`

	// OtherUsers says that there may be users who are not listed: those whom
	// their certificates name.
	OtherUsers bool `toml:"-"`
}

// UserConfig is one [[broker.user]] table. The password stands in one of the
// three places.
type UserConfig struct {
	// Name is the user name, as the client sends it.
	Name string `toml:"name"`

	// Password is the password itself.
	Password string `toml:"password"`

	// PasswordFile is a file whose first line is the password.
	PasswordFile string `toml:"password_file"`

	// PasswordHash is what a password can be verified with, but not found out:
	// "$argon2id$v=19$m=...,t=...,p=...$SALT$HASH" (argon2id, as a PHC string),
	// "$7$ITERATIONS$SALT$HASH" (mosquitto's PBKDF2 with SHA-512),
	// "$6$SALT$HASH" (mosquitto's older SHA-512: too fast to protect a weak
	// password), or "SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY" (as
	// PostgreSQL writes it). Of these, only the last serves SCRAM as well.
	PasswordHash string `toml:"password_hash"`
}

// RuleConfig is one [[broker.acl]] table. It has either allow or deny.
type RuleConfig struct {
	// Users are the user names that the rule is for; "" stands for clients
	// without one. Default: everyone, clients without a user name included.
	Users []string `toml:"users"`

	// Clients are the client identifiers that the rule is for. A client chooses
	// its own, so they tell clients apart, but are no proof of anything.
	// Default: all.
	Clients []string `toml:"clients"`

	// Topics are topic filters. In them %c stands for the client identifier and
	// %u for the user name. Where either has a "+", "#" or "/" in it, or would
	// make the first level begin with "$", a rule that allows does not match.
	Topics []string `toml:"topics"`

	// Allow is what the rule allows: "publish", "subscribe" or "all".
	Allow string `toml:"allow"`

	// Deny is what the rule denies: "publish", "subscribe" or "all".
	Deny string `toml:"deny"`
}

// Check reports each fault by its key, relative to the [broker] table. It reads
// the files that the config names.
func (c *Config) Check(fault func(key, format string, args ...any)) {
	users := c.users(fault)
	c.rules(users, fault)
}

// source is a user and what its password is verified with: the password itself,
// or a hash of it.
type source struct {
	name     string
	password string
	encoded  string // the hash as it stands in the config
	hash     hash   // nil where password is
}

// users gathers the users of the tables and of the password file.
func (c *Config) users(fault func(key, format string, args ...any)) map[string]source {
	users := make(map[string]source)
	for i := range c.User {
		u, key := &c.User[i], "user["+strconv.Itoa(i)+"]"
		if err := checkUserName(u.Name); err != nil {
			fault(key+".name", "%v", err)
		} else if _, twice := users[u.Name]; twice {
			fault(key+".name", "%q is listed twice", u.Name)
		}
		users[u.Name] = u.source(key, fault)
	}
	if c.PasswordFile != "" {
		readPasswordFile(c.PasswordFile, users, fault)
	}
	return users
}

func (u *UserConfig) source(key string, fault func(key, format string, args ...any)) source {
	s := source{name: u.Name, password: u.Password, encoded: u.PasswordHash}
	given := 0
	for _, v := range []string{u.Password, u.PasswordFile, u.PasswordHash} {
		if v != "" {
			given++
		}
	}
	var err error
	switch {
	case given == 0:
		fault(key, "user %q needs password, password_file or password_hash", u.Name)
	case given > 1:
		fault(key, "user %q has its password in %d places: keep one of password, password_file and password_hash", u.Name, given)
	case u.PasswordFile != "":
		if s.password, err = firstLine(u.PasswordFile); err != nil {
			fault(key+".password_file", "%v", err)
		}
	case u.PasswordHash != "":
		if s.hash, err = parseHash(u.PasswordHash); err != nil {
			fault(key+".password_hash", "user %q: %v", u.Name, err)
		}
	}
	return s
}

// checkUserName says what is wrong with a configured user name: no client could
// send it, or no log line show it.
func checkUserName(name string) error {
	switch {
	case name == "":
		return errors.New("a user needs a name")
	case len(name) > maxName:
		return fmt.Errorf("a user name has %d bytes: at most %d are allowed", len(name), maxName)
	case !utf8.ValidString(name):
		return fmt.Errorf("user name %.100q is not UTF-8", name)
	case strings.ContainsFunc(name, isControl):
		return fmt.Errorf("user name %.100q has a control character in it", name)
	}
	return nil
}

// maxName is the longest user name in bytes: one that also fits into a SCRAM
// message with every byte escaped.
const maxName = 1024

func isControl(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }

// maxSecret is the longest password that a file may give: what fits into a
// CONNECT. [MQTT 3.1.3.6]
const maxSecret = 65535

// firstLine gives the password that stands in a file.
func firstLine(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+2))
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	line = strings.TrimSuffix(line, "\r")
	switch {
	case line == "":
		return "", fmt.Errorf("%s: its first line is empty, and should be the password", name)
	case len(line) > maxSecret:
		return "", fmt.Errorf("%s: its first line is longer than a password can be, %d bytes", name, maxSecret)
	}
	return line, nil
}
