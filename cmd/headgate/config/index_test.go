package config

import (
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestEveryKeyHasItsPlaceWhateverStandsAroundIt(t *testing.T) {
	// Each key is marked by a comment that names its path, on its line.
	text := `
top = 1 #: top
"quoted \"key\"" = 2 #: "quoted \"key\""
'literal.key' = 3 #: "literal.key"
dotted . key = 4 #: dotted.key
a."b c".d = 5 #: a."b c".d
text = "x # no comment = 1 [no.table]" #: text
[table] #: table
many = """
fake = 1
[fake]
\""" still inside """"
after = 1 #: table.after
raw = '''
fake = "\'''
more = 1 #: table.more
list = [ 1, # a comment with ] and "
  "]", #: table.list[1]
  [ 2,
    3 ], #: table.list[2][1]
]
inline = { x = 1, y.z = "}", deep = [{ q = 1 }, { q = 2 }] } #: table.inline.deep[1].q
closed = { a = """x"""", b = '''y''''', c = 1 } #: table.closed.c
wide = {
  first = 1, #: table.wide.first
  second = [ {
    third = 2 } ] #: table.wide.second[0].third
}
when = 1979-05-27 07:32:00 #: table.when
[[modbus]] #: modbus[0]
name = "a" #: modbus[0].name
[[modbus.device]]
unit = 1 #: modbus[0].device[0].unit
[[modbus.device]] #: modbus[0].device[1]
unit = 2 #: modbus[0].device[1].unit
[modbus.device.limits] #: modbus[0].device[1].limits
most = 1 #: modbus[0].device[1].limits.most
[[ modbus ]]
 [[ modbus . device ]]
 unit = 3 #: modbus[1].device[0].unit
[ "odd table" . x ]
y = 1 #: "odd table".x.y`
	if _, err := toml.Decode(text, new(map[string]any)); err != nil {
		t.Fatalf("the text itself is at fault: %v", err)
	}
	s := newSource("f.toml", text)
	marks := 0
	for i, line := range strings.Split(text, "\n") {
		_, path, marked := strings.Cut(line, "#: ")
		if !marked {
			continue
		}
		marks++
		p, known := s.index.places[path]
		if !known {
			t.Errorf("%s has no place", path)
			continue
		}
		if got := s.line(p.key); got != i+1 {
			t.Errorf("%s is said to be on line %d, want %d", path, got, i+1)
		}
	}
	if marks != strings.Count(text, "#: ") || marks < 20 {
		t.Fatalf("the test saw %d marks", marks)
	}
	if _, known := s.index.places["fake"]; known {
		t.Error("what stands in a text passed for a key")
	}
	if len(s.index.twice) > 0 {
		t.Errorf("keys are said to stand there twice: %v", s.index.twice)
	}
}

func TestAPlaceCoversTheKeyAndItsValue(t *testing.T) {
	text := "[t]\n  \"a b\" = [1, 2]  # c\nd = { e = 'x' }\n"
	s := newSource("f.toml", text)
	for path, want := range map[string][2]string{
		"t":          {"t", "[t]"},
		`t."a b"`:    {`"a b"`, "[1, 2]"},
		"t.d":        {"d", "{ e = 'x' }"},
		"t.d.e":      {"e", "'x'"},
		`t."a b"[1]`: {"2", "2"},
	} {
		p := s.index.places[path]
		if got := [2]string{text[p.key:p.keyEnd], text[p.value:p.valueEnd]}; got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

// Whatever the TOML package can read, each of its keys has a place, no other
// has one, and none stands there twice; what it cannot read does no harm.
func FuzzEveryDecodedKeyHasAPlace(f *testing.F) {
	for _, seed := range []string{
		"", "a=1", "[a]\nb=1", "[[a]]\n[[a.b]]\nc=1\n[[a]]", "a={b={c=[1,{d=2}]}}", "a='''\nx=1'''", "a=\"\"\"\\\"\"\"\"\"\"", "\"\\u0061\"=1",
		"a.b.c=1\na.b.d=2", "[a.b]\n[a]\nc=1", "a=[[1],[2,[3]]]", "''=1", "a={\nb=1,\n#c\n}", "\xef\xbb\xbfa=1", "a=1\r\nb=2\r\n", "[a.'b.c']\nd=1", "a=[{b=1}]\n[c]",
		"a = [", "a = \"", "[[", "=", "a=1 b=2", "a.\nb=1", "[[a]]\n[a.b]\nc=1\n[[a]]\n[a.b]\nc=1", "\"a\\\"\"=1", "a=1_000 # x\nb=0x1F", "[\"\\x41\"]\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := newSource("f.toml", text)
		if s.index.deep {
			return
		}
		var tables map[string]any
		_, err := toml.Decode(s.text, &tables)
		if err != nil {
			s.syntaxFault(err).Excerpt()
			return
		}
		if len(s.index.twice) > 0 {
			t.Errorf("%q stands there twice, it is said", s.index.twice[0].path)
		}
		paths := map[string]bool{}
		s.tree(tables, "").walk("", func(path string, n *node) {
			paths[path] = true
			if path == "" {
				return
			}
			p, known := s.index.places[path]
			if !known {
				t.Errorf("%s has no place", path)
				return
			}
			if p.key > p.keyEnd || p.value > p.valueEnd || p.keyEnd > len(s.text) || p.valueEnd > len(s.text) {
				t.Errorf("%s is at %v of %d bytes", path, p, len(s.text))
			}
			s.fault(p.key, p.keyEnd, path, "x").Excerpt()
		})
		for path := range s.index.places {
			if !paths[path] {
				t.Errorf("%s has a place and is no key", path)
			}
		}
	})
}
