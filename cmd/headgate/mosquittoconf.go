package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// mosquittoConf is what is taken of a mosquitto.conf. [mosquitto.conf(5)]
type mosquittoConf struct {
	global    []mosquittoSetting // of [broker]
	listeners []mosquittoListener
	bridges   []mosquittoBridge
	rules     []mosquittoRule
	anonymous bool
	aclFile   string
	left      []string // what could not be taken over, and why

	first mosquittoListener // that of port and bind_address
	at    string            // the file and line that is read
}

// mosquittoSetting is one key with its value as TOML has it.
type mosquittoSetting struct{ key, value string }

type mosquittoListener struct {
	host, port string
	websockets bool
	tls        bool
	settings   []mosquittoSetting
}

type mosquittoBridge struct {
	name      string
	addresses []string
	tls       bool
	settings  []mosquittoSetting
	login     []mosquittoSetting
	trust     []mosquittoSetting
	topics    []mosquittoTopic
}

// mosquittoTopic is one topic line of a bridge.
type mosquittoTopic struct {
	pattern, direction string
	qos                int
	local, remote      string
}

// quiet are settings that mean nothing here, or are done in any case.
var quiet = map[string]bool{
	"persistence": true, "persistence_location": true, "persistence_file": true, "autosave_interval": true, "autosave_on_changes": true,
	"pid_file": true, "user": true, "log_dest": true, "log_type": true, "log_timestamp": true, "log_timestamp_format": true,
	"connection_messages": true, "set_tcp_nodelay": true, "allow_zero_length_clientid": true, "auto_id_prefix": true, "retain_available": true,
	"notifications": true, "notification_topic": true, "notifications_local_only": true, "try_private": true, "restart_timeout": true,
	"cleansession": true, "clean_session": true, "bridge_attempt_unsubscribe": true, "round_robin": true, "queue_qos0_messages": true,
	"memory_limit": true, "upgrade_outgoing_qos": true, "start_type": true, "local_clientid": true, "bridge_outgoing_retain": true,
}

// read takes one file, and those that it includes.
func (m *mosquittoConf) read(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		m.at = fmt.Sprintf("%s:%d", name, number)
		key, value, _ := strings.Cut(line, " ")
		value = strings.TrimSpace(value)
		if key == "include_dir" {
			more, _ := filepath.Glob(filepath.Join(value, "*.conf"))
			sort.Strings(more)
			for _, file := range more {
				if err := m.read(file); err != nil {
					return err
				}
			}
			continue
		}
		if why := m.take(key, value); why != "" {
			m.leave(key, why)
		}
	}
	return nil
}

func (m *mosquittoConf) leave(what, why string) {
	m.left = append(m.left, fmt.Sprintf("%s: %s: %s", m.at, what, why))
}

// take takes one setting; it says why it cannot be.
func (m *mosquittoConf) take(key, value string) (why string) {
	switch {
	case key == "connection":
		m.bridges = append(m.bridges, mosquittoBridge{name: value})
		return ""
	case key == "listener":
		port, host, _ := strings.Cut(value, " ")
		m.listeners = append(m.listeners, mosquittoListener{port: port, host: strings.TrimSpace(host)})
		return ""
	case len(m.bridges) > 0:
		if taken, why := m.bridges[len(m.bridges)-1].take(key, value); taken {
			return why
		}
	}
	l := &m.first
	if n := len(m.listeners); n > 0 {
		l = &m.listeners[n-1]
	}
	if taken, why := l.take(key, value); taken {
		return why
	}
	return m.takeGlobal(key, value)
}

// take takes a setting of a bridge.
func (b *mosquittoBridge) take(key, value string) (taken bool, why string) {
	switch key {
	case "address", "addresses":
		b.addresses = append(b.addresses, strings.Fields(value)...)
	case "topic":
		t, why := parseMosquittoTopic(value)
		if why == "" {
			b.topics = append(b.topics, t)
		}
		return true, why
	case "remote_username", "username":
		b.login = append(b.login, mosquittoSetting{"username", quoteTOML(value)})
	case "remote_password", "password":
		b.login = append(b.login, mosquittoSetting{"password", quoteTOML(value)})
	case "remote_clientid", "clientid":
		b.settings = append(b.settings, mosquittoSetting{"client_id", quoteTOML(value)})
	case "keepalive_interval":
		b.settings = append(b.settings, mosquittoSetting{"keep_alive", seconds(value)})
	case "bridge_cafile":
		b.tls, b.trust = true, append(b.trust, mosquittoSetting{"ca_file", quoteTOML(value)})
	case "bridge_certfile":
		b.tls, b.trust = true, append(b.trust, mosquittoSetting{"cert_file", quoteTOML(value)})
	case "bridge_keyfile":
		b.tls, b.trust = true, append(b.trust, mosquittoSetting{"key_file", quoteTOML(value)})
	case "bridge_alpn":
		b.tls, b.trust = true, append(b.trust, mosquittoSetting{"alpn", "[" + quoteTOML(value) + "]"})
	case "bridge_tls_use_os_certs":
		b.tls = b.tls || value == "true"
	case "bridge_insecure":
		if value == "true" {
			b.trust = append(b.trust, mosquittoSetting{"insecure_skip_verify", "true"})
		}
	case "bridge_protocol_version":
		version := map[string]string{"mqttv311": "3.1.1", "mqttv50": "5"}[value]
		if version == "" {
			return true, "a bridge speaks 5 or 3.1.1"
		}
		b.settings = append(b.settings, mosquittoSetting{"version", quoteTOML(version)})
	case "bridge_capath":
		return true, "a directory of certificates is not taken: put them into one file, ca_file"
	default:
		return false, ""
	}
	return true, ""
}

func parseMosquittoTopic(value string) (t mosquittoTopic, why string) {
	fields := strings.Fields(value)
	if len(fields) == 0 {
		return t, "it names no topic"
	}
	at := func(i int) string {
		if i < len(fields) && fields[i] != `""` {
			return fields[i]
		}
		return ""
	}
	t = mosquittoTopic{pattern: at(0), direction: at(1), local: at(3), remote: at(4)}
	if t.direction == "" {
		t.direction = "out"
	}
	if q := at(2); q != "" {
		n, err := strconv.Atoi(q)
		if err != nil || n < 0 || n > 2 {
			return t, "its QoS is none"
		}
		t.qos = n
	}
	switch {
	case t.direction != "out" && t.direction != "in" && t.direction != "both":
		return t, "its direction is none"
	case t.pattern == "":
		return t, "one topic that is mapped to another is not taken: write it as topic in a [[bridge.up]]"
	}
	return t, ""
}

// take takes a setting of a listener.
func (l *mosquittoListener) take(key, value string) (taken bool, why string) {
	add := func(name, value string) { l.settings = append(l.settings, mosquittoSetting{name, value}) }
	switch key {
	case "port":
		l.port = value
	case "bind_address":
		l.host = value
	case "protocol":
		if value != "mqtt" && value != "websockets" {
			return true, "a listener speaks mqtt or websockets"
		}
		l.websockets = value == "websockets"
	case "certfile":
		l.tls = true
		add("cert_file", quoteTOML(value))
	case "keyfile":
		l.tls = true
		add("key_file", quoteTOML(value))
	case "cafile":
		add("client_ca_file", quoteTOML(value))
	case "require_certificate":
		add("require_certificate", value)
	case "crlfile":
		add("crl_file", quoteTOML(value))
	case "use_identity_as_username":
		if value == "true" {
			add("username_from", `"cn"`)
		}
	case "use_subject_as_username":
		if value == "true" {
			add("username_from", `"subject"`)
		}
	case "mount_point":
		if !strings.HasSuffix(value, "/") {
			return true, "a mount point ends in /"
		}
		add("mount_point", quoteTOML(value))
	case "max_connections":
		if n, err := strconv.Atoi(value); err == nil && n > 0 {
			add("max_connections", value)
		}
	default:
		return false, ""
	}
	return true, ""
}

// takeGlobal takes a setting of the whole broker.
func (m *mosquittoConf) takeGlobal(key, value string) (why string) {
	add := func(name, value string) { m.global = append(m.global, mosquittoSetting{name, value}) }
	limit := func(name string) {
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && n > 0 {
			add(name, value)
		} else {
			add(name, `"unlimited"`)
		}
	}
	switch key {
	case "allow_anonymous":
		m.anonymous = m.anonymous || value == "true"
	case "password_file":
		for _, s := range m.global {
			if s.key == "password_file" {
				return "there is one password file for all listeners"
			}
		}
		add("password_file", quoteTOML(value))
	case "acl_file":
		if m.aclFile != "" {
			return "there are rules for all listeners together: one file"
		}
		m.aclFile = value
	case "max_inflight_messages":
		if value == "0" {
			return "a client's messages on their way are always bounded"
		}
		add("max_inflight", value)
	case "max_queued_messages":
		limit("max_session_messages")
	case "max_queued_bytes":
		limit("max_session_bytes")
	case "max_packet_size", "message_size_limit":
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && n > 0 {
			add("max_packet_bytes", value)
		}
	case "max_keepalive":
		add("max_keep_alive", seconds(value))
	case "sys_interval":
		add("sys_interval", seconds(value))
	case "max_topic_alias":
		add("topic_alias_maximum", value)
	case "persistent_client_expiration":
		expiry, ok := mosquittoExpiry(value)
		if !ok {
			return "it is no time"
		}
		add("max_session_expiry", expiry)
	case "per_listener_settings":
		if value == "true" {
			return "users and rules are those of all listeners together"
		}
	case "plugin", "auth_plugin":
		return "there are no plugins"
	default:
		if !quiet[key] {
			return "nothing here does the same"
		}
	}
	return ""
}

// mosquittoExpiry reads "14d": hours, days, weeks, months or years.
func mosquittoExpiry(text string) (value string, ok bool) {
	if text == "" {
		return "", false
	}
	hours := map[byte]int{'h': 1, 'd': 24, 'w': 7 * 24, 'm': 30 * 24, 'y': 365 * 24}[text[len(text)-1]]
	n, err := strconv.Atoi(text[:len(text)-1])
	return quoteTOML(fmt.Sprintf("%dh", n*hours)), err == nil && n > 0 && hours > 0
}

func seconds(text string) string { return quoteTOML(text + "s") }
