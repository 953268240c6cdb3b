package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docsPage is a page of the documentation.
type docsPage struct {
	name   string   // its path below the top of the tree
	text   string   // all of it
	blocks []block  // what is indented by four columns or stands in a fence
	spans  []textAt // what stands between backticks in its sentences
}

// block is a paragraph of code or of several, where it is a whole file.
type block struct {
	line int // of its begin, from 1
	kind blockKind
	text string
}

// textAt is a part of a page.
type textAt struct {
	line int // from 1
	text string
}

// blockKind says what a block is, by how it begins.
type blockKind int

const (
	ofCommands blockKind = iota // and, where a line begins with "$ ", what they print
	ofTOML                      // a configuration of ours
	ofJSON
	ofOthers // a file of another program, whose name is in its first line
)

// docPages reads all pages: the README, those in packaging/docs and beside what they are about.
func docPages(t *testing.T) (pages []docsPage) {
	t.Helper()
	root := moduleRoot(t)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "dist") && path != root {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".md" || d.Name() == "CHANGELOG.md" {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		pages = append(pages, parsePage(filepath.ToSlash(name), string(b)))
		return err
	})
	if err != nil || len(pages) < 20 {
		t.Fatalf("got %d pages, %v", len(pages), err)
	}
	return pages
}

// docPage gives one of them.
func docPage(t *testing.T, name string) docsPage {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(moduleRoot(t), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return parsePage(name, string(b))
}

// parsePage takes a page apart.
func parsePage(name, text string) docsPage {
	p := docsPage{name: name, text: text}
	var sentences, code strings.Builder
	begin, fenced := 0, false
	end := func() {
		p.blocks = append(p.blocks, blocksOf(begin, code.String())...)
		code.Reset()
		begin = 0
	}
	n := 0
	for line := range strings.Lines(text) {
		n++
		indented, ok := strings.CutPrefix(line, "    ")
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
			end()
			sentences.WriteString("\n")
			continue
		}
		if fenced {
			indented, ok = line, true
		}
		switch {
		case ok, strings.TrimSpace(line) == "" && begin > 0:
			if begin == 0 {
				begin = n
			}
			if !ok {
				indented = "\n"
			}
			code.WriteString(indented)
			sentences.WriteString("\n")
		default:
			end()
			sentences.WriteString(line)
		}
	}
	end()
	rest := sentences.String()
	for _, at := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatchIndex(rest, -1) {
		p.spans = append(p.spans, textAt{1 + strings.Count(rest[:at[2]], "\n"), strings.Join(strings.Fields(rest[at[2]:at[3]]), " ")})
	}
	return p
}

// blocksOf takes what is indented apart. A file goes on over empty lines up to the
// next sentence; all else is a block of its own.
func blocksOf(line int, code string) (blocks []block) {
	for paragraph := range strings.SplitSeq(code, "\n\n") {
		if last := len(blocks) - 1; last >= 0 && blocks[last].kind != ofCommands {
			blocks[last].text += "\n\n" + strings.TrimRight(paragraph, "\n")
		} else if strings.TrimSpace(paragraph) != "" {
			blocks = append(blocks, block{line, kindOf(paragraph), strings.TrimRight(paragraph, "\n")})
		}
		line += strings.Count(paragraph, "\n") + 2
	}
	for i := range blocks {
		blocks[i].text = strings.TrimRight(blocks[i].text, "\n")
	}
	return blocks
}

func kindOf(text string) blockKind {
	first, _, _ := strings.Cut(text, "\n")
	switch {
	case regexp.MustCompile(`^(#|//) \S+\.\w+(: .*)?$`).MatchString(first):
		return ofOthers
	case regexp.MustCompile(`^\[{1,2}[a-z]|^[a-z_]+ = `).MatchString(first):
		return ofTOML
	case strings.HasPrefix(first, `{"`), strings.HasPrefix(first, "[{"), first == "[":
		return ofJSON
	}
	return ofCommands
}

// commands gives the commands in a block, without their comments: of one in which
// lines begin with "$ " only those.
func (b block) commands() (found []textAt) {
	session := strings.HasPrefix(b.text, "$ ")
	n := b.line - 1
	for line := range strings.Lines(b.text) {
		n++
		line, prompt := strings.CutPrefix(strings.TrimSpace(line), "$ ")
		line, _, _ = strings.Cut(line+" ", " # ")
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && prompt == session {
			found = append(found, textAt{n, line})
		}
	}
	return found
}

// tomlBlocks gives the blocks of a page that are TOML of ours.
func (p docsPage) tomlBlocks() (texts []string) {
	for _, b := range p.blocks {
		if b.kind == ofTOML {
			texts = append(texts, b.text)
		}
	}
	return texts
}

func TestAPageIsTakenApart(t *testing.T) {
	p := parsePage("a.md", "See `headgate\nrun`:\n\n    headgate a   # one\n                 # more\n    sudo b '#'\n\n    [x]\n    y = 1\n\n    [z]\n\n```sh\n$ c\nprints\n$ d\n```\nand `e`.\n\n    # m.conf\n    f\n\n    {\"g\":1}\n")
	var got []string
	for _, b := range p.blocks {
		if b.kind == ofCommands {
			for _, c := range b.commands() {
				got = append(got, fmt.Sprint(c.line, " ", c.text))
			}
		} else {
			got = append(got, fmt.Sprint(b.line, " ", b.text))
		}
	}
	for _, s := range p.spans {
		got = append(got, fmt.Sprint(s.line, " ", s.text))
	}
	const want = "4 headgate a|6 sudo b '#'|8 [x]\ny = 1\n\n[z]|14 c|16 d|20 # m.conf\nf\n\n{\"g\":1}|1 headgate run|18 e"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("got  %q\nwant %q", s, want)
	}
}
