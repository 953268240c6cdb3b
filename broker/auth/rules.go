package auth

import (
	"slices"
	"strconv"
	"strings"

	"headgate/broker/topic"
)

// rule is one [[broker.acl]] table.
type rule struct {
	users, clients     []string // nil: all
	patterns           []pattern
	deny               bool
	publish, subscribe bool
}

func (r *rule) isFor(username, clientID string) bool {
	return (r.users == nil || slices.Contains(r.users, username)) &&
		(r.clients == nil || slices.Contains(r.clients, clientID))
}

// rules reads the rules. users are all that are configured.
func (c *Config) rules(users map[string]source, fault func(key, format string, args ...any)) []rule {
	var rules []rule
	for i := range c.ACL {
		rules = append(rules, c.ACL[i].rule("acl["+strconv.Itoa(i)+"]", users, c.OtherUsers, fault))
	}
	return rules
}

func (r *RuleConfig) rule(key string, users map[string]source, otherUsers bool, fault func(key, format string, args ...any)) rule {
	made := rule{users: r.Users, clients: r.Clients, deny: r.Deny != ""}
	if r.Users != nil && len(r.Users) == 0 {
		fault(key+".users", "an empty list is for nobody: leave users out for everyone, or write [\"\"] for clients without a user name")
	}
	for _, name := range r.Users {
		// A name that nobody has a password for would be a rule for nobody.
		if _, known := users[name]; !known && name != "" && !otherUsers {
			fault(key+".users", "user %q is neither in [[broker.user]] nor in password_file", name)
		}
	}
	if r.Clients != nil && len(r.Clients) == 0 {
		fault(key+".clients", "an empty list is for no client: leave clients out for all")
	}
	if slices.Contains(r.Clients, "") {
		fault(key+".clients", "no client identifier is empty: a client that sends none is given one")
	}
	what, whatKey := r.Allow, key+".allow"
	switch {
	case r.Allow == "" && r.Deny == "":
		fault(key, "a rule needs allow or deny: \"publish\", \"subscribe\" or \"all\"")
		what = "all"
	case r.Allow != "" && r.Deny != "":
		fault(key+".deny", "a rule has allow or deny, not both: make two of it")
		what = "all"
	case r.Deny != "":
		what, whatKey = r.Deny, key+".deny"
	}
	switch what {
	case "publish":
		made.publish = true
	case "subscribe":
		made.subscribe = true
	case "all":
		made.publish, made.subscribe = true, true
	default:
		fault(whatKey, "%q: want \"publish\", \"subscribe\" or \"all\"", what)
	}
	if len(r.Topics) == 0 {
		fault(key+".topics", "a rule needs topics, like [\"plant7/#\"]; \"#\" is every topic but those that begin with $")
	}
	for _, text := range r.Topics {
		if strings.HasPrefix(text, "$share/") {
			fault(key+".topics", "%q: leave $share/GROUP/ out: a shared subscription is judged by what stands behind it", text)
		} else if err := topic.CheckFilter(text); err != nil {
			fault(key+".topics", "%q: %v", text, err)
		}
		made.patterns = append(made.patterns, newPattern(text))
	}
	return made
}

// pattern is a topic filter with %c and %u in it.
type pattern struct {
	text         string
	client, user bool // %c, %u is in it
}

func newPattern(text string) pattern {
	return pattern{text: text, client: strings.Contains(text, "%c"), user: strings.Contains(text, "%u")}
}

// filter gives the pattern with client identifier and user name filled in; ok is
// false where it does not match for these at all. A pattern that allows must
// not come to allow more than its rule says by what a client calls itself. One
// that denies is filled in whatever that is: it can only come to deny more.
func (p pattern) filter(username, clientID string, deny bool) (filter string, ok bool) {
	switch {
	case !p.client && !p.user:
		return p.text, true
	case p.client && clientID == "", p.user && username == "":
		return "", false
	case !deny && p.client && strings.ContainsAny(clientID, "+#/"), !deny && p.user && strings.ContainsAny(username, "+#/"):
		return "", false
	}
	// In one pass: a client identifier "%u" is no placeholder.
	filter = strings.NewReplacer("%c", clientID, "%u", username).Replace(p.text)
	if !deny && filter[0] == '$' && p.text[0] != '$' {
		return "", false // it would reach the topics that no wildcard does
	}
	return filter, true
}
