package brokertest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"headgate/broker/packet"
)

// A Case is one conversation of a script, and what it proves. A script is text:
//
//	# Words, and the statements that the next case proves:
//	# [MQTT-3.1.4-3] [MQTT3-3.1.4-2]          MQTT3 is for 3.1.1's numbers
//	== a sentence that names the case
//	versions 3.1.1 5.0                         these two if there is no such line
//	config max_inflight=5 user=plant:secret    keys of the [broker] table
//	store max_bytes=200kB                      and of the [store] table
//	a > CONNECT id=x clean                     a client "a" opens a connection and sends
//	a < CONNACK                                and must have been sent this, by now
//	a > PUBLISH topic=t payload="two words" user=k:v qos=1 id=7
//	a + PINGREQ                                in the same write as the line before
//	a > raw 30 03 00 01 "t"                    bytes, in hex or as text
//	a < raw 40 02 ?? 07                        any byte; .. at the end is any bytes
//	a < PUBACK id=7 reason=0x10        @5.0    a line for one version only; @3 is 3.1 and 3.1.1
//	a < closed                                 the server has closed the connection
//	a silent                                   nothing has come
//	a open                                     opens a connection and sends nothing
//	a close                                    breaks it off, without a DISCONNECT
//	any order {                                what comes in whatever order
//	a < PUBACK id=7
//	a < PUBLISH topic=t qos=1 id=$p            $p is what came; later lines may say it
//	}
//	different $p $q
//	wait 10s                                   moves the time on
//	restart                                    another broker over the same store
//
// An expected field that is not mentioned must have its default, or not be
// there; * is any value, none is no such field. What a CONNACK announces of the
// server, and reason strings, count only when mentioned. At the end of a case
// nothing may have come that no line speaks of.
type Case struct {
	File     string // without its directory
	Line     int
	Name     string
	Cites    []string // "MQTT-3.1.4-3", "MQTT3-3.1.4-2"
	Versions []packet.Version

	config []setting
	steps  []step
}

// setting is a key of the [broker] table, or of [store].
type setting struct{ table, key, value string }

// step is one line.
type step struct {
	line   int
	client string
	verb   string   // ">", "<", "silent", "open", "close", "wait", "restart", "different", "any"
	args   []string // the tokens after the verb
	more   []step   // ">": what goes in the same write. "any": the lines in the braces
	only   string   // the version after the @
}

// ReadScripts reads all scripts of a directory.
func ReadScripts(dir string) ([]*Case, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	var cases []*Case
	for _, file := range files {
		if filepath.Base(file) == pendingFile {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		some, err := ParseScript(filepath.Base(file), string(text))
		if err != nil {
			return nil, err
		}
		cases = append(cases, some...)
	}
	return cases, nil
}

// pendingFile lists the cases that are expected to fail.
const pendingFile = "PENDING.txt"

var citation = regexp.MustCompile(`\[(MQTT3?-[0-9.]+-[0-9]+)\]`)

// ParseScript reads one script. An error names file and line.
func ParseScript(file, text string) ([]*Case, error) {
	p := scriptParser{file: file, names: make(map[string]bool)}
	for i, line := range strings.Split(text, "\n") {
		if err := p.add(i+1, strings.TrimSpace(line)); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
	}
	switch {
	case p.group != nil:
		return nil, fmt.Errorf("%s: any order { has no }", file)
	case len(p.cites) > 0:
		return nil, fmt.Errorf("%s: no case follows the last citation", file)
	}
	return p.cases, nil
}

type scriptParser struct {
	file  string
	cases []*Case
	names map[string]bool
	cites []string // of the next case
	group *step    // an open "any order"
}

func (p *scriptParser) add(line int, text string) error {
	switch {
	case text == "":
		return nil
	case strings.HasPrefix(text, "#"):
		for _, m := range citation.FindAllStringSubmatch(text, -1) {
			p.cites = append(p.cites, m[1])
		}
		return nil
	case strings.HasPrefix(text, "== "):
		return p.begin(line, strings.TrimPrefix(text, "== "))
	case len(p.cases) == 0:
		return fmt.Errorf("%q stands before the first case", text)
	case len(p.cites) > 0:
		return fmt.Errorf("%s is cited within a case: citations stand before its name", p.cites[0])
	}
	tokens, err := tokenize(text)
	if err != nil {
		return err
	}
	if len(tokens) == 0 {
		return nil
	}
	c := p.cases[len(p.cases)-1]
	switch tokens[0] {
	case "versions":
		c.Versions = nil
		for _, name := range tokens[1:] {
			v, err := parseVersion(name)
			if err != nil {
				return err
			}
			c.Versions = append(c.Versions, v)
		}
		return c.checkCites()
	case "config", "store":
		for _, t := range tokens[1:] {
			key, value, ok := strings.Cut(t, "=")
			if !ok {
				return fmt.Errorf("%s %s: want KEY=VALUE", tokens[0], t)
			}
			c.config = append(c.config, setting{tokens[0], key, value})
		}
		return nil
	}
	return p.step(c, line, tokens)
}

func (p *scriptParser) begin(line int, name string) error {
	switch {
	case p.group != nil:
		return fmt.Errorf("any order { of line %d has no }", p.group.line)
	case p.names[name]:
		return fmt.Errorf("two cases are named %q", name)
	}
	p.names[name] = true
	c := &Case{File: p.file, Line: line, Name: name, Cites: p.cites, Versions: []packet.Version{packet.V311, packet.V5}}
	p.cites = nil
	p.cases = append(p.cases, c)
	return nil
}

// checkCites wants a version to be played for each specification that is cited.
func (c *Case) checkCites() error {
	for _, id := range c.Cites {
		v := packet.V5
		if strings.HasPrefix(id, "MQTT3-") {
			v = packet.V311
		}
		if !slices.Contains(c.Versions, v) {
			return fmt.Errorf("%s is cited, and the case is not played in %v", id, v)
		}
	}
	return nil
}

// step adds a line that the player acts on.
func (p *scriptParser) step(c *Case, line int, tokens []string) error {
	s := step{line: line}
	if last := tokens[len(tokens)-1]; len(last) > 1 && last[0] == '@' {
		s.only, tokens = last[1:], tokens[:len(tokens)-1]
		if s.only != "3" {
			if _, err := parseVersion(s.only); err != nil {
				return err
			}
		}
	}
	if len(tokens) == 0 {
		return fmt.Errorf("a version and nothing else")
	}
	switch first := tokens[0]; {
	case first == "}" && p.group != nil:
		c.steps = append(c.steps, *p.group)
		p.group = nil
		return nil
	case strings.Join(tokens, " ") == "any order {" && p.group == nil:
		s.verb = "any"
		p.group = &s
		return nil
	case first == "wait" && len(tokens) == 2, first == "restart" && len(tokens) == 1, first == "different" && len(tokens) > 2:
		s.verb, s.args = first, tokens[1:]
	case len(tokens) < 2:
		return fmt.Errorf("%q is nothing that a script says", first)
	case tokens[1] == "silent", tokens[1] == "open", tokens[1] == "close":
		s.client, s.verb, s.args = first, tokens[1], tokens[2:]
		if len(s.args) > 0 {
			return fmt.Errorf("%q after %s", s.args[0], s.verb)
		}
	case len(tokens) > 2 && (tokens[1] == ">" || tokens[1] == "<"):
		s.client, s.verb, s.args = first, tokens[1], tokens[2:]
	case len(tokens) > 2 && tokens[1] == "+":
		s.client, s.args = first, tokens[2:]
		return c.together(s)
	default:
		return fmt.Errorf("%q is nothing that a script says", strings.Join(tokens, " "))
	}
	if p.group != nil {
		if s.verb != "<" {
			return fmt.Errorf("in any order { } there are only expectations")
		}
		p.group.more = append(p.group.more, s)
		return nil
	}
	c.steps = append(c.steps, s)
	return nil
}

// together puts a packet into the write of the line before.
func (c *Case) together(s step) error {
	if n := len(c.steps); n == 0 || c.steps[n-1].verb != ">" || c.steps[n-1].client != s.client {
		return fmt.Errorf("the line before sends nothing for %s", s.client)
	}
	last := &c.steps[len(c.steps)-1]
	last.more = append(last.more, s)
	return nil
}

// applies says whether a line counts for a version.
func (s *step) applies(v packet.Version) bool {
	return s.only == "" || s.only == v.String() || s.only == "3" && v != packet.V5
}

func parseVersion(name string) (packet.Version, error) {
	for _, v := range []packet.Version{packet.V31, packet.V311, packet.V5} {
		if name == v.String() {
			return v, nil
		}
	}
	return 0, fmt.Errorf("version %q: want 3.1, 3.1.1 or 5.0", name)
}

// tokenize splits a line at white space outside of quotes; a token # begins a
// comment.
func tokenize(line string) ([]string, error) {
	var tokens []string
	quoted, start := false, -1
	for i := 0; i <= len(line); i++ {
		switch {
		case i < len(line) && quoted && line[i] == '\\':
			i++
		case i < len(line) && line[i] == '"':
			quoted = !quoted
			if start < 0 {
				start = i
			}
		case quoted && i < len(line):
		case i == len(line) || line[i] == ' ' || line[i] == '\t':
			if start >= 0 && line[start:min(i, len(line))] == "#" {
				return tokens, nil
			}
			if start >= 0 {
				tokens = append(tokens, line[start:min(i, len(line))])
			}
			start = -1
		case start < 0:
			start = i
		}
	}
	if quoted {
		return nil, fmt.Errorf("a quote does not end")
	}
	return tokens, nil
}
