package auth

import (
	"fmt"
	"testing"

	"headgate/broker/topic"
)

// policyOf has the users plant7, plant8 and some with names of trouble.
func policyOf(t testing.TB, rules ...RuleConfig) *Policy {
	t.Helper()
	cfg := Config{ACL: rules}
	for _, name := range []string{"plant7", "plant8", "+", "#", "a/b", "$SYS", "%c"} {
		cfg.User = append(cfg.User, UserConfig{Name: name, PasswordHash: smallHash})
	}
	return mustNew(t, cfg, nil)
}

func TestWithoutRulesEverythingIsAllowed(t *testing.T) {
	r := policyOf(t).Rights("plant7", "c")
	if r != nil {
		t.Errorf("got %v, want nil, which costs nothing", r)
	}
	if !r.MayPublish("a") || !r.MayReceive("$SYS/a") || !r.MaySubscribe("$share/g/#") {
		t.Error("something is not allowed")
	}
}

func TestRightsAreWhatTheRulesSay(t *testing.T) {
	p := policyOf(t,
		RuleConfig{Users: []string{"plant7"}, Topics: []string{"plant7/#"}, Allow: "all"},
		RuleConfig{Users: []string{"plant7"}, Topics: []string{"plant7/secret/#"}, Deny: "subscribe"},
		RuleConfig{Users: []string{"plant7", "plant8"}, Topics: []string{"u/%u/+"}, Allow: "publish"},
		RuleConfig{Users: []string{""}, Topics: []string{"open/+"}, Allow: "subscribe"},
		RuleConfig{Clients: []string{"display"}, Topics: []string{"#"}, Allow: "subscribe"},
		RuleConfig{Topics: []string{"dev/%c/#"}, Allow: "all"},
		RuleConfig{Topics: []string{"dev/+/locked"}, Deny: "all"},
	)
	const pub, recv, sub = "publish to", "receive", "subscribe to"
	for _, c := range []struct {
		user, client, what, topic string
		want                      bool
	}{
		{"plant7", "c", pub, "plant7", true},
		{"plant7", "c", pub, "plant7/a/b", true},
		{"plant7", "c", pub, "plant8/a", false},
		{"plant7", "c", pub, "plant7/secret/a", true},
		{"plant7", "c", recv, "plant7/secret/a", false},
		{"plant7", "c", recv, "plant7/secret", false},
		{"plant7", "c", recv, "plant7/open", true},
		{"plant7", "c", sub, "plant7/#", true},
		{"plant7", "c", sub, "#", true}, // cut at delivery
		{"plant7", "c", sub, "+/+", true},
		{"plant7", "c", sub, "plant8/#", false},
		{"plant7", "c", sub, "plant7/secret/#", false},
		{"plant7", "c", sub, "plant7/secret/a", false},
		{"plant7", "c", sub, "plant7/+/a", true},
		{"plant7", "c", sub, "$share/g/plant7/#", false}, // part of it is denied
		{"plant7", "c", sub, "$share/g/plant7/a/+", true},
		{"plant7", "c", sub, "$share/g/plant7/secret/+", false},
		{"plant7", "c", sub, "$share/plant7/x", false},
		{"plant7", "c", sub, "$share/g", false},
		{"plant7", "c", sub, "", false},
		{"plant7", "c", sub, "$SYS/#", false},
		{"plant7", "c", pub, "u/plant7/a", true},
		{"plant7", "c", pub, "u/plant8/a", false},
		{"plant7", "c", recv, "u/plant7/a", false},
		{"plant7", "c", sub, "u/plant7/a", false},
		{"plant8", "c", pub, "u/plant8/a", true},
		{"plant8", "c", pub, "plant7/a", false},
		{"", "c", pub, "u//a", false},
		{"", "c", recv, "open/a", true},
		{"", "c", pub, "open/a", false},
		{"plant8", "c", recv, "open/a", false},
		{"plant8", "display", recv, "plant7/secret/a", true},
		{"plant8", "display", recv, "$SYS/a", false},
		{"plant8", "display", pub, "plant7/a", false},
		{"plant7", "display", recv, "plant7/secret/a", false},
		{"", "c", pub, "dev/c/a", true},
		{"", "c", pub, "dev/c/locked", false},
		{"", "c", sub, "dev/c/locked", false},
		{"", "c", sub, "dev/c/#", true},
		{"", "c", pub, "dev/d/a", false},
		{"", "display", recv, "dev/d/locked", false},
	} {
		r := p.Rights(c.user, c.client)
		may := map[string]func(string) bool{pub: r.MayPublish, recv: r.MayReceive, sub: r.MaySubscribe}[c.what]
		if got := may(c.topic); got != c.want {
			t.Errorf("may %q with the client identifier %q %s %q: got %v, want %v", c.user, c.client, c.what, c.topic, got, c.want)
		}
	}
}

func TestADenyWinsInWhateverOrderTheRulesStand(t *testing.T) {
	allow, deny := RuleConfig{Topics: []string{"a/#"}, Allow: "all"}, RuleConfig{Topics: []string{"a/b"}, Deny: "all"}
	for _, rules := range [][]RuleConfig{{allow, deny}, {deny, allow}} {
		r := policyOf(t, rules...).Rights("", "c")
		if r.MayPublish("a/b") || r.MayReceive("a/b") || r.MaySubscribe("a/b") || !r.MayPublish("a/c") {
			t.Errorf("%+v: a/b is allowed, or a/c is not", rules)
		}
	}
	if policyOf(t, deny).Rights("", "c").MayPublish("a/c") {
		t.Error("a rule that denies allows what it does not name")
	}
}

func TestNobodyWidensItsRightsByItsName(t *testing.T) {
	p := policyOf(t,
		RuleConfig{Topics: []string{"dev/%c/#", "u/%u/#", "%c/own", "%u/own", "x%c/own", "both/%c/%u"}, Allow: "all"},
	)
	others := []string{"dev/other/a", "dev/x/y", "dev/other", "u/other/a", "u/a/b/c", "u/other", "other/own", "$SYS/own", "xother/own", "both/other/plant7", "both/c/other", "dev/plant8/a", "both/plant8/plant8"}
	names := []string{"+", "#", "a/b", "+/+", "x/y", "/", "a/#", "$SYS", "%c", "%u", "", "$share/g/x"}
	for _, client := range names {
		for _, user := range []string{"+", "#", "a/b", "$SYS", "%c", ""} {
			r := p.Rights(user, client)
			for _, name := range others {
				if r.MayPublish(name) || r.MayReceive(name) {
					t.Errorf("user %q with the client identifier %q reaches %q", user, client, name)
				}
			}
			for _, list := range [][]string{r.publish.allow, r.receive.allow} {
				for _, filter := range list {
					if err := topic.CheckFilter(filter); err != nil {
						t.Errorf("user %q with the client identifier %q: %v", user, client, err)
					}
				}
			}
		}
	}
	// What stands for itself only is filled in.
	r := p.Rights("%c", "%u")
	for _, name := range []string{"dev/%u/a", "u/%c/a", "both/%u/%c"} {
		if !r.MayPublish(name) {
			t.Errorf("%q is not allowed, want it allowed", name)
		}
	}
	if r.MayPublish("both/%c/%c") || r.MayPublish("both/%u/%u") {
		t.Error("a placeholder that came with a name is filled in")
	}
}

func TestNobodyEscapesADenyByItsName(t *testing.T) {
	p := policyOf(t,
		RuleConfig{Topics: []string{"#", "$SYS/#"}, Allow: "all"},
		RuleConfig{Topics: []string{"u/%u/locked", "%c/locked"}, Deny: "all"},
	)
	for _, c := range []struct{ user, client, topic string }{
		{"plant7", "c", "u/plant7/locked"},
		{"a/b", "c", "u/a/b/locked"},
		{"$SYS", "c", "u/$SYS/locked"},
		{"+", "c", "u/other/locked"}, // more than its own, which no topic can be
		{"", "a/b", "a/b/locked"},
		{"", "$SYS", "$SYS/locked"},
	} {
		r := p.Rights(c.user, c.client)
		if r.MayPublish(c.topic) || r.MayReceive(c.topic) || r.MaySubscribe(c.topic) {
			t.Errorf("user %q with the client identifier %q reaches %q", c.user, c.client, c.topic)
		}
	}
}

// manyRules is a plant with a rule for each of many users, and some for all.
func manyRules(t testing.TB) *Rights {
	rules := []RuleConfig{
		{Topics: []string{"dev/%c/#", "u/%u/+/state", "shared/+/in"}, Allow: "all"},
		{Topics: []string{"dev/+/locked", "shared/admin/#"}, Deny: "all"},
		{Users: []string{"plant7"}, Topics: []string{"site/7/+/value", "site/7/+/set", "alarm/#"}, Allow: "all"},
	}
	for i := range 200 {
		rules = append(rules, RuleConfig{Users: []string{"plant8"}, Topics: []string{fmt.Sprintf("other/%d/#", i)}, Allow: "all"})
	}
	return policyOf(t, rules...).Rights("plant7", "sensor-0042")
}

func TestAskingForRightsAllocatesNothing(t *testing.T) {
	r := manyRules(t)
	got := testing.AllocsPerRun(100, func() {
		if !r.MayPublish("alarm/a/b") || r.MayReceive("nothing/of/this") || !r.MaySubscribe("$share/g/site/7/x/value") {
			t.Error("rights are not as expected")
		}
	})
	if got != 0 {
		t.Errorf("got %v allocations, want none", got)
	}
}

func BenchmarkRights(b *testing.B) {
	r := manyRules(b)
	for _, c := range []struct {
		name string
		r    *Rights
		ask  func(*Rights) bool
	}{
		{"no rules", nil, func(r *Rights) bool { return r.MayReceive("site/7/tank/value") }},
		{"receive allowed", r, func(r *Rights) bool { return r.MayReceive("site/7/tank/value") }},
		{"receive denied", r, func(r *Rights) bool { return r.MayReceive("dev/sensor-0042/locked") }},
		{"receive not allowed", r, func(r *Rights) bool { return r.MayReceive("site/8/tank/value") }},
		{"subscribe", r, func(r *Rights) bool { return r.MaySubscribe("site/+/tank/value") }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.ask(c.r)
			}
		})
	}
	b.Run("compile", func(b *testing.B) {
		p := policyOf(b, RuleConfig{Topics: []string{"dev/%c/#", "u/%u/+/state", "shared/+/in"}, Allow: "all"})
		b.ReportAllocs()
		for b.Loop() {
			p.Rights("plant7", "sensor-0042")
		}
	})
}
