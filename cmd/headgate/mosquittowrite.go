package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// mosquittoRule is one line of an ACL file. [mosquitto.conf(5), acl_file]
type mosquittoRule struct {
	users  []string // nil: everybody
	topics []string
	allow  string // or deny
	deny   bool
}

// readACL takes an ACL file: topic lines are the user's above them, those at the
// top for whoever gives no name; pattern lines are for all.
func (m *mosquittoConf) readACL(name, text string) {
	user, number := "", 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		m.at = fmt.Sprintf("%s:%d", name, number)
		key, value, _ := strings.Cut(line, " ")
		value = strings.TrimSpace(value)
		switch key {
		case "user":
			user = value
			continue
		case "topic", "pattern":
		default:
			m.leave(key, "no line of an ACL file begins so")
			continue
		}
		r := mosquittoRule{allow: "all"}
		if access, rest, ok := strings.Cut(value, " "); ok {
			switch access {
			case "read", "write", "readwrite":
				r.allow, value = map[string]string{"read": "subscribe", "write": "publish", "readwrite": "all"}[access], strings.TrimSpace(rest)
			case "deny":
				r.deny, value = true, strings.TrimSpace(rest)
			}
		}
		if key == "topic" {
			r.users = []string{user}
		}
		r.topics = []string{value}
		if n := len(m.rules); n > 0 && m.rules[n-1].like(&r) {
			m.rules[n-1].topics = append(m.rules[n-1].topics, value)
			continue
		}
		m.rules = append(m.rules, r)
	}
}

// like says whether two rules differ in their topics only.
func (r *mosquittoRule) like(o *mosquittoRule) bool {
	return r.allow == o.allow && r.deny == o.deny && strings.Join(r.users, "\n") == strings.Join(o.users, "\n") && (r.users == nil) == (o.users == nil)
}

// toml gives the whole as a configuration.
func (m *mosquittoConf) toml(source string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Made by headgate import of %s.\n", source)
	listeners := m.listeners
	if m.first.port != "" || m.first.host != "" || len(listeners) == 0 {
		// Without any, mosquitto 2 listens to this machine alone.
		if len(listeners) == 0 && m.first.port == "" && m.first.host == "" {
			m.first.host = "127.0.0.1"
		}
		listeners = append([]mosquittoListener{m.first}, listeners...)
	}
	fmt.Fprintf(&b, "\n[broker]\n")
	writeSettings(&b, "", m.global)
	for i := range listeners {
		l := &listeners[i]
		fmt.Fprintf(&b, "\n  [[broker.listener]]\n  url = %s\n", quoteTOML(l.url()))
		if m.anonymous {
			b.WriteString("  anonymous = true\n")
		}
		writeSettings(&b, "  ", l.settings)
		if l.asks() { // mosquitto's default is not ours
			b.WriteString("  require_certificate = false\n")
		}
	}
	for _, r := range m.rules {
		b.WriteString("\n  [[broker.acl]]\n")
		if r.users != nil {
			fmt.Fprintf(&b, "  users = %s\n", quoteTOML(r.users))
		}
		verb := "allow"
		if r.deny {
			verb = "deny"
		}
		fmt.Fprintf(&b, "  topics = %s\n  %s = %s\n", quoteTOML(r.topics), verb, quoteTOML(r.allow))
	}
	for i := range m.bridges {
		m.bridges[i].toml(&b)
	}
	if len(m.left) > 0 {
		b.WriteString("\n# Not taken over:\n")
		for _, l := range m.left {
			fmt.Fprintf(&b, "#   %s\n", l)
		}
	}
	return b.String()
}

// asks says whether clients may show a certificate, but nothing says that they must.
func (l *mosquittoListener) asks() bool {
	asks := false
	for _, s := range l.settings {
		if s.key == "require_certificate" {
			return false
		}
		asks = asks || s.key == "client_ca_file"
	}
	return asks
}

func (l *mosquittoListener) url() string {
	if l.port == "0" && strings.HasPrefix(l.host, "/") {
		return "unix://" + l.host
	}
	scheme, port := "mqtt", l.port
	if l.websockets {
		scheme = "ws"
	}
	if l.tls {
		scheme = map[string]string{"mqtt": "mqtts", "ws": "wss"}[scheme]
	}
	if port == "" {
		port = "1883"
	}
	u := url.URL{Scheme: scheme, Host: net.JoinHostPort(l.host, port)}
	return u.String()
}

func (b *mosquittoBridge) toml(out *strings.Builder) {
	fmt.Fprintf(out, "\n[[bridge]]\nname = %s\n", quoteTOML(b.name))
	var urls []string
	for _, address := range b.addresses {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			host, port = address, "1883"
		}
		scheme := "mqtt"
		if b.tls {
			scheme = "mqtts"
		}
		urls = append(urls, scheme+"://"+net.JoinHostPort(host, port))
	}
	switch len(urls) {
	case 0: // headgate check says that it needs one
	case 1:
		fmt.Fprintf(out, "url = %s\n", quoteTOML(urls[0]))
	default:
		fmt.Fprintf(out, "urls = %s\n", quoteTOML(urls))
	}
	writeSettings(out, "", b.settings)
	writeInline(out, "credentials", b.login)
	writeInline(out, "tls", b.trust)
	for _, t := range b.topics {
		if t.direction != "in" {
			fmt.Fprintf(out, "  [[bridge.up]]\n  filter = %s\n  qos = %d\n", quoteTOML(t.local+t.pattern), t.qos)
			t.prefixes(out)
		}
		if t.direction != "out" {
			fmt.Fprintf(out, "  [[bridge.down]]\n  filter = %s\n  qos = %d\n", quoteTOML(t.remote+t.pattern), t.qos)
			t.prefixes(out)
		}
	}
}

func (t *mosquittoTopic) prefixes(out *strings.Builder) {
	if t.local != "" {
		fmt.Fprintf(out, "  local_prefix = %s\n", quoteTOML(t.local))
	}
	if t.remote != "" {
		fmt.Fprintf(out, "  remote_prefix = %s\n", quoteTOML(t.remote))
	}
}

func writeSettings(out *strings.Builder, indent string, settings []mosquittoSetting) {
	for _, s := range settings {
		fmt.Fprintf(out, "%s%s = %s\n", indent, s.key, s.value)
	}
}

func writeInline(out *strings.Builder, name string, settings []mosquittoSetting) {
	if len(settings) == 0 {
		return
	}
	parts := make([]string, len(settings))
	for i, s := range settings {
		parts[i] = s.key + " = " + s.value
	}
	fmt.Fprintf(out, "%s = { %s }\n", name, strings.Join(parts, ", "))
}

// quoteTOML gives a text, or a list of texts, as TOML has it, which for these is as
// JSON has it.
func quoteTOML(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return `""`
	}
	return strings.ReplaceAll(strings.TrimSpace(b.String()), `","`, `", "`)
}
