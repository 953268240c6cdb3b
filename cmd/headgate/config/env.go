package config

import (
	"os"
	"strings"
)

// expand replaces ${NAME} in the texts of n and all below it by what the
// environment says. $${ stands for a plain ${; any other $ is nothing special.
// A text that cannot be expanded is reported, and left out.
func (n *node) expand(path string, report func(*node, string, string, ...any)) {
	n.walk(path, func(path string, n *node) {
		text, ok := n.value.(string)
		if !ok || !strings.Contains(text, "${") {
			return
		}
		expanded, wrong := expandText(text)
		if wrong != "" {
			n.value = nil
			report(n, path, "%s", wrong)
			return
		}
		n.value, n.expanded = expanded, true
	})
}

// expandText gives text with its variables expanded, or what is wrong.
func expandText(text string) (expanded, wrong string) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		if !found {
			return b.String() + before, ""
		}
		if plain, escaped := strings.CutSuffix(before, "$"); escaped {
			b.WriteString(plain + "${")
			text = rest
			continue
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed || !isVariable(name) {
			return "", "\"${\" begins the name of an environment variable: want ${NAME}, or $${ for a plain ${"
		}
		value, set := os.LookupEnv(name)
		if !set && name == credentialsVariable {
			if rest, ok := strings.CutPrefix(after, credentialPrefix); ok {
				value, after, set = credentialsHome, rest, true
			}
		}
		if !set {
			return "", "the environment variable " + name + " is not set"
		}
		b.WriteString(before + value)
		text = after
	}
}

// The package's service has what root put into credentialsHome as credentials of
// systemd, NAME as secret_NAME; who checks the configuration outside of it is shown
// the file itself. [systemd.exec(5), LoadCredential=]
const (
	credentialsVariable = "CREDENTIALS_DIRECTORY"
	credentialPrefix    = "/secret_"
	credentialsHome     = "/etc/headgate/credentials/"
)

func isVariable(name string) bool {
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !isBareByte(c) || c == '-' || i == 0 && c >= '0' && c <= '9' {
			return false
		}
	}
	return name != ""
}
