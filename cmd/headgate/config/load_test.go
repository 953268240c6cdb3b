package config

import (
	"encoding"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// write makes a directory of files and gives it; names may have a slash.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// loadFiles loads main.toml of the files and gives the faults without the
// directory's name.
func loadFiles(t *testing.T, files map[string]string) (*File, []string) {
	t.Helper()
	dir := write(t, files)
	file, err := Load(filepath.Join(dir, "main.toml"))
	if err == nil {
		return file, nil
	}
	var faults Faults
	if !errors.As(err, &faults) {
		t.Fatalf("the error is no Faults: %v", err)
	}
	if file != nil {
		t.Error("there are faults and a File too")
	}
	return nil, strings.Split(strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), ""), "\n")
}

// loadText loads one file of this text.
func loadText(t *testing.T, text string) (*File, []string) {
	t.Helper()
	return loadFiles(t, map[string]string{"main.toml": text})
}

const plant = `
[gateway]
id = "boiler-house"
data_dir = "/var/lib/headgate"

[[broker.listener]]
url = "mqtt://127.0.0.1:1883"

[[modbus]]
name = "rs485"
url  = "rtu:///dev/serial/by-id/usb-FTDI_FT232R-if00-port0?baud=9600&parity=E"
  [[modbus.device]]
  name = "meter1"
  unit = 1
  interval = "1s"
    [[modbus.device.point]]
    name = "tank_level"
    register = "holding:100"
    type = "f32"
    order = "ABCD"
    scale = 0.1
    unit = "%"
    [[modbus.device.point]]
    name = "relay"
    register = "coil:0"
    access = "rw"

[[serial]]
name = "scale"
url = "serial:///dev/ttyUSB1?baud=9600"
frame = { kind = "line" }
parse = { regexp = '^\s*(?P<weight>[-\d.]+)\s*kg' }

[[bridge]]
name = "cloud"
url  = "mqtts://broker.example.com:8883"
credentials = { username = "plant7", password_file = "/etc/headgate/cloud.password" }
  [[bridge.up]]
  filter = "boiler-house/#"
  qos = 1
  [[bridge.down]]
  filter = "plant7/cmd/#"
  remote_prefix = "plant7/cmd/"
  local_prefix = "boiler-house/"
`

func TestTheDocumentedConfigurationLoads(t *testing.T) {
	file, faults := loadText(t, plant)
	if faults != nil {
		t.Fatalf("got faults: %q", faults)
	}
	if got, want := file.Summary(), "1 listener, 1 modbus link with 1 device and 2 points, 1 serial line, 1 bridge"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	device := file.Modbus[0].Device[0]
	if device.Name != "meter1" || device.Interval != time.Second || device.Point[0].Scale != 0.1 || device.Point[1].Register != "coil:0" {
		t.Errorf("the device is not as written: %+v", device)
	}
	if got := *file.Bridge[0].Up[0].QoS; got != 1 {
		t.Errorf("the bridge's qos is %d, want 1", got)
	}
}

func TestAllFaultsAreSaidAtOnceInTheOrderOfTheFile(t *testing.T) {
	_, faults := loadText(t, strings.NewReplacer(
		`id = "boiler-house"`, `idd = "boiler-house"`,
		`unit = 1`, `unit = "1"`,
		`interval = "1s"`, `intervall = "1s"`,
		`scale = 0.1`, `scale = "a tenth"`,
		`frame = { kind = "line" }`, `frame = { knid = "line" }`,
		`  qos = 1`, `  qos = 3`,
	).Replace(plant))
	want := []string{
		"main.toml:3: gateway.idd: unknown key; did you mean id?",
		`main.toml:14: modbus.device.unit: want a whole number without quotes, got the text "1"`,
		"main.toml:15: modbus.device.intervall: unknown key; did you mean interval?",
		`main.toml:21: modbus.device.point.scale: want a number, got the text "a tenth"`,
		"main.toml:31: serial.frame.knid: unknown key; did you mean kind?",
		"main.toml:40: bridge.up.qos: 3: want 0, 1 or 2",
	}
	if diff := cmp.Diff(want, faults); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestOneFaultIsSaidOnce(t *testing.T) {
	// The name is given, only misspelt: that it is missing is not said too.
	_, faults := loadText(t, strings.Replace(plant, `name = "cloud"`, `nmae = "cloud"`, 1))
	if want := []string{"main.toml:35: bridge.nmae: unknown key; did you mean name?"}; !cmp.Equal(want, faults) {
		t.Errorf("got %q, want %q", faults, want)
	}
}

func TestAValueOfTheWrongTypeIsSaidWithWhatWouldBeRight(t *testing.T) {
	for text, want := range map[string]string{
		"[gateway]\nmax_age = 30":                        `main.toml:2: gateway.max_age: want a time in quotes with its unit, like "500ms", "1s" or "1h30m", got the number 30`,
		"[gateway]\nmax_age = \"30 seconds\"":            `main.toml:2: gateway.max_age: "30 seconds": want a time in quotes with its unit, like "500ms", "1s" or "1h30m"`,
		"[gateway]\nid = 7":                              "main.toml:2: gateway.id: want a text in quotes, got the number 7",
		"[gateway]\nid = [\"a\"]":                        "main.toml:2: gateway.id: want a text in quotes, got a list",
		"[gateway]\nretain = \"true\"":                   `main.toml:2: gateway.retain: want true or false, without quotes, got the text "true"`,
		"[gateway]\nqos = 1.0":                           "main.toml:2: gateway.qos: want a whole number, got the number 1",
		"gateway = 1":                                    "main.toml:1: gateway: want a table, got the number 1",
		"[[gateway]]":                                    "main.toml:1: gateway: is one table, not a list: write [gateway] instead of [[gateway]]",
		"[bridge]\nname = \"cloud\"":                     "main.toml:1: bridge: is a list of tables: write [[bridge]] instead of [bridge], and one before each table in it",
		"[[modbus.device]]\nname = \"meter1\"":           "main.toml:1: modbus: is a list of tables: write [[modbus]] instead of [modbus], and one before each table in it",
		"bridge = \"cloud\"":                             `main.toml:1: bridge: want a list of tables, written [[bridge]], got the text "cloud"`,
		"[gateway]\ndata_dir = 2024-01-01":               "main.toml:2: gateway.data_dir: want a text in quotes, got a date or time",
		"[broker]\nmax_connections = 9999999999999999":   `main.toml:2: broker.max_connections: 9999999999999999: too many; for no limit write "unlimited"`,
		"[[serial]]\nparse = { regexp = ['a', 'b'] }":    "main.toml:2: serial.parse.regexp: want a text in quotes, got a list",
		"[[serial]]\nstale_after = { seconds = 3 }":      `main.toml:2: serial.stale_after: want a time in quotes with its unit, like "500ms", "1s" or "1h30m", got a table`,
		"[[modbus]]\n[[modbus.device]]\nunit = 1000":     "main.toml:3: modbus.device.unit: 1000 is not within 0 to 255",
		"[[modbus]]\n[[modbus.device]]\nunit = -1":       "main.toml:3: modbus.device.unit: -1 is not within 0 to 255",
		"[[serial]]\n[[serial.point]]\nscale = inf":      "main.toml:3: serial.point.scale: +Inf: want a finite number",
		"[[serial]]\n[[serial.point]]\nscale = \"+0.5\"": `main.toml:3: serial.point.scale: want a number without quotes, got the text "+0.5"`,
	} {
		_, faults := loadText(t, text)
		if !strings.Contains("\n"+strings.Join(faults, "\n")+"\n", "\n"+want+"\n") {
			t.Errorf("%s\ngot  %q\nwant %q", text, faults, want)
		}
	}
}

func TestAnUnknownKeyIsSaidWithTheKeyThatWasMeant(t *testing.T) {
	for text, want := range map[string]string{
		"[[modbus]]\n[[modbus.device]]\npoll_interval = \"1s\"": "main.toml:3: modbus.device.poll_interval: unknown key; did you mean interval?",
		"[[modbus]]\n[[modbus.device]]\nInterval = \"1s\"":      "main.toml:3: modbus.device.Interval: unknown key; did you mean interval?",
		"[gateway]\ndata-dir = \"/x\"":                          "main.toml:2: gateway.data-dir: unknown key; did you mean data_dir?",
		"[[modbus]]\n[[modbus.devices]]\nname = \"a\"":          "main.toml:2: modbus.devices: unknown key; did you mean device?",
		"[[listener]]\nurl = \"mqtt://\"":                       "main.toml:1: listener: unknown key here; it belongs in [broker]",
		"[gateway]\nregexp = \"x\"":                             "main.toml:2: gateway.regexp: unknown key here; it belongs in [serial.parse] or [serial.request.parse]",
		"[[serial]]\nframe.zzz = 1":                             "main.toml:2: serial.frame.zzz: unknown key; known here are kind, max, start, end, trailer, length, length_at, length_bytes, length_order, length_add, gap, checksum",
		"\"strange key\".x = 1":                                 `main.toml:1: "strange key": unknown key; known here are gateway, broker, store, web, modbus, serial, derived, rule, bridge, homeassistant`,
	} {
		_, faults := loadText(t, text)
		if !strings.Contains("\n"+strings.Join(faults, "\n")+"\n", "\n"+want+"\n") {
			t.Errorf("%s\ngot  %q\nwant %q", text, faults, want)
		}
	}
}

func TestAFaultyClassIsSaidWithItsLine(t *testing.T) {
	_, faults := loadText(t, "[store]\nmax_bytes = \"1GB\"\n[[store.class]]\nfilter = \"a/#\"\nwindow = \"11s\"\n[[store.class]]\nwindow = \"0s\"\n")
	want := []string{
		"main.toml:5: store.class.window: 11s is not within 0s to 10s",
		"main.toml:6: store.class.filter: a class needs a topic filter, like \"plant7/#\"",
	}
	if !cmp.Equal(faults, want) {
		t.Errorf("got %q, want %q", faults, want)
	}
}

func TestConfDContinuesTheFile(t *testing.T) {
	file, faults := loadFiles(t, map[string]string{
		"main.toml":           plant,
		"conf.d/20-two.toml":  "[[modbus]]\nname = \"second\"\nurl = \"tcp://10.0.0.2:502\"\n[[modbus.device]]\nname = \"d2\"\nunit = 1\ninterval = \"1s\"\n[[modbus.device.point]]\nname = \"p\"\nregister = \"holding:0\"\ntype = \"u16\"\n[gateway]\nmax_age = \"5s\"\n",
		"conf.d/10-one.toml":  "[[modbus]]\nname = \"first\"\nurl = \"tcp://10.0.0.1:502\"\n[[modbus.device]]\nname = \"d1\"\nunit = 1\ninterval = \"1s\"\n[[modbus.device.point]]\nname = \"p\"\nregister = \"holding:0\"\ntype = \"u16\"\n",
		"conf.d/30-not.txt":   "nonsense",
		"conf.d/.hidden.toml": "nonsense",
	})
	if faults != nil {
		t.Fatalf("got faults: %q", faults)
	}
	var names []string
	for _, m := range file.Modbus {
		names = append(names, m.Name)
	}
	if want := []string{"rs485", "first", "second"}; !cmp.Equal(names, want) {
		t.Errorf("links are %q, want %q", names, want)
	}
	if file.Gateway.MaxAge != 5*time.Second || file.Gateway.ID != "boiler-house" {
		t.Errorf("[gateway] was not joined: %+v", file.Gateway)
	}
	if len(file.Paths) != 3 {
		t.Errorf("read %q, want three files", file.Paths)
	}
}

func TestFaultsInConfDNameTheirFile(t *testing.T) {
	_, faults := loadFiles(t, map[string]string{
		"main.toml": plant,
		"conf.d/a.toml": `[gateway]
id = "other"
[[modbus]]
name = "rs485"
url = "tcp://10.0.0.1"
[[modbus.device]]
name = "scale"
unit = 3
intervall = "1s"
`})
	want := []string{
		"conf.d/a.toml:2: gateway.id: stands here a second time: first in main.toml:3",
		`conf.d/a.toml:4: modbus.name: "rs485" is the name of another link, at main.toml:10`,
		`conf.d/a.toml:9: modbus.device.intervall: unknown key; did you mean interval?`,
	}
	for _, w := range want {
		if !strings.Contains(strings.Join(faults, "\n"), w) {
			t.Errorf("got %q, want %q", faults, w)
		}
	}
}

func TestVariablesOfTheEnvironmentAreFilledIn(t *testing.T) {
	t.Setenv("HG_ID", "from-env")
	t.Setenv("HG_AGE", "7s")
	t.Setenv("HG_QOS", "2")
	t.Setenv("HG_EMPTY", "")
	file, faults := loadText(t, `
[gateway]
id = "a-${HG_ID}${HG_EMPTY}-z"
max_age = "${HG_AGE}"
qos = "${HG_QOS}"
[[serial]]
name = "scale"
url = "serial:///dev/ttyUSB1?baud=9600"
parse = { regexp = '^(?P<weight>\d+) $${x}?\$$' }
`)
	if faults != nil {
		t.Fatalf("got faults: %q", faults)
	}
	if file.Gateway.ID != "a-from-env-z" || file.Gateway.MaxAge != 7*time.Second || *file.Gateway.QoS != 2 {
		t.Errorf("not filled in: %+v", file.Gateway)
	}
	if got, want := file.Serial[0].Parse.Regexp, `^(?P<weight>\d+) ${x}?\$$`; got != want {
		t.Errorf("the pattern is %q, want %q", got, want)
	}
}

func TestAVariableThatIsNotSetIsAFault(t *testing.T) {
	t.Setenv("HG_QOS", "two")
	_, faults := loadText(t, "[gateway]\nid = \"${HG_SURELY_NOT_SET}\"\nqos = \"${HG_QOS}\"\ndata_dir = \"${1}\"\ntopic = \"{gateway}/{device}/{point}/${\"\n")
	want := []string{
		"main.toml:2: gateway.id: the environment variable HG_SURELY_NOT_SET is not set",
		`main.toml:3: gateway.qos: want a whole number, got the text "two"`,
		`main.toml:4: gateway.data_dir: "${" begins the name of an environment variable: want ${NAME}, or $${ for a plain ${`,
		`main.toml:5: gateway.topic: "${" begins the name of an environment variable: want ${NAME}, or $${ for a plain ${`,
	}
	if diff := cmp.Diff(want, faults); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestSyntaxFaultsHaveLineAndColumn(t *testing.T) {
	for text, want := range map[string]string{
		"[gateway]\nid = boiler":                    `main.toml:2:6: expected value but found "boiler" instead`,
		"[gateway]\nid = \"a\"\n\nid = \"b\"":       "main.toml:4: gateway.id: stands here a second time: first on line 2",
		"[gateway]\n[broker]\n[gateway]":            "main.toml:3: gateway: stands here a second time: first on line 1",
		"\xef\xbb\xbf[gateway]\r\nid = 'ü' x\r\n":   "main.toml:2:9: ",
		"x = " + strings.Repeat("[", maxDepth+1):    "main.toml: arrays or tables are nested more than 64 deep",
		"[gateway]\nid = \"boiler\n[broker]\nx = 1": "main.toml:2:",
	} {
		_, faults := loadText(t, text)
		if len(faults) != 1 || !strings.HasPrefix(faults[0], want) {
			t.Errorf("%q\ngot  %q\nwant %q", text, faults, want)
		}
	}
}

func TestTheSameThingTwiceIsAFault(t *testing.T) {
	twice := plant + `
[[broker.listener]]
url = "mqtt://0.0.0.0:1883"
[[modbus]]
name = "scale"
url = "rtu:///dev/serial/by-id/usb-FTDI_FT232R-if00-port0"
[[modbus.device]]
name = "meter1"
unit = 2
interval = "1s"
[[modbus.device.point]]
name = "p"
register = "holding:0"
type = "u16"
[[modbus]]
name = "inverter"
url = "tcp://10.0.0.1"
device = [{ name = "d1", unit = 1, interval = "1s", point = [{ name = "p", register = "coil:0" }] }]
[[modbus]]
name = "inverter2"
url = "tcp://10.0.0.1:502"
device = [{ name = "d2", unit = 1, interval = "1s", point = [{ name = "p", register = "coil:0" }, { name = "p", register = "coil:1" }] }]
[[serial]]
name = "gps"
url = "serial:///dev/ttyUSB1"
parse = { regexp = '(?P<lat>.)(?P<set>.)' }
[[bridge]]
name = "cloud"
url = "mqtt://other.example.com"
up = [{ filter = "#" }]
`
	_, faults := loadText(t, twice)
	for _, want := range []string{
		`modbus.device.point.name: "p" is the name of another point of the device, at main.toml:66`,
		"broker.listener.url: port 1883 is taken by the listener at main.toml:7",
		"modbus.url: the link is taken at main.toml:11: one [[modbus]] table holds all devices of a link",
		`modbus.device.name: "meter1" is the name of another device, at main.toml:13: its topics would mix with these`,
		"modbus.url: the link is taken at main.toml:61: one [[modbus]] table holds all devices of a link",
		`main.toml:49: modbus.name: "scale" is the name of another link, at main.toml:29`,
		"serial.url: the port is taken at main.toml:30: only one can listen on it",
		"main.toml:70: serial.parse.regexp: ",
		`bridge.name: "cloud" is the name of another bridge, at main.toml:35`,
	} {
		if !strings.Contains(strings.Join(faults, "\n"), want) {
			t.Errorf("not said: %q", want)
		}
	}
	if len(faults) != 9 {
		t.Errorf("got %d faults, want 9:\n%s", len(faults), strings.Join(faults, "\n"))
	}
}

func TestAFileThatCannotBeReadIsSaidWithWhatToDo(t *testing.T) {
	dir := write(t, map[string]string{"big.toml": strings.Repeat("#", maxFileBytes+1), "x/conf.d/a.toml": "[gatewayy]"})
	for name, want := range map[string]string{
		"missing.toml":   "there is no such file: name yours",
		"x/missing.toml": "there is no such file: name yours",
		"x":              "cannot be read: is a directory",
		"big.toml":       "is larger than 4 MB",
	} {
		_, err := Load(filepath.Join(dir, name))
		var faults Faults
		if !errors.As(err, &faults) || len(faults) != 1 || !strings.Contains(err.Error(), name+": "+want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}

func TestWhoseFileIsInThisDirectoryIsToldHowToNameIt(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := Load("etc/headgate.toml"); err == nil || !strings.Contains(err.Error(), "name yours (--config FILE)") {
		t.Errorf("without one here: got %v", err)
	}
	if err := os.WriteFile("headgate.toml", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load("etc/headgate.toml"); err == nil || !strings.Contains(err.Error(), "there is a headgate.toml in this directory: --config headgate.toml") {
		t.Errorf("with one here: got %v", err)
	}
}

func TestAConfDThatCannotBeReadIsAFault(t *testing.T) {
	_, faults := loadFiles(t, map[string]string{"main.toml": plant, "conf.d": ""})
	if len(faults) != 1 || !strings.HasPrefix(faults[0], "conf.d: cannot be read") {
		t.Errorf("a conf.d that is no directory: got %q", faults)
	}
	dir := write(t, map[string]string{"main.toml": plant, "conf.d/a.toml": ""})
	if err := os.Symlink("nowhere", filepath.Join(dir, "conf.d", "b.toml")); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(filepath.Join(dir, "main.toml")); err == nil || !strings.HasSuffix(err.Error(), "b.toml: there is no such file") {
		t.Errorf("a link to nowhere: got %v", err)
	}
}

func TestNoFaultPrintsASecret(t *testing.T) {
	t.Setenv("HG_SECRET", "geheim7")
	for _, text := range []string{
		"[[bridge]]\ncredentials = { usernam = \"a\", password = \"geheim1\" }",
		"[[bridge]]\ncredentials = { password = \"gehe\\\"im1\", usernam = \"a\" }",
		"[[bridge]]\ncredentials = { password = geheim2 }",
		"[[bridge]]\ncredentials = { password = \"geheim2 }",
		"[[bridge]]\ncredentials.password = 4711",
		"[[bridge]]\nurl = \"mqtt://plant7:geheim3@cloud:99999\"",
		"[[bridge]]\nurl = \"mqtt://plant7:${HG_SECRET}@cloud:99999\"",
		"[[bridge]]\n[bridge.credentials]\npassword = \"\"\"\ngeheim4\n\"\"\" x",
		"[[bridge]]\n[bridge.credentials]\npassword = '''\ngeheim4''' # geheim5\nx = 1 2",
		"[[broker.user]]\nname = \"${HG_SECRET}\"\npassword = \"${HG_SECRET}\"\n[[broker.user]]\nname = \"${HG_SECRET}\"\npassword = \"x\"",
		"[[bridge]]\nmy_token = [ \"geheim6\",\n  \"geheim7\" ]",
		"[[bridge]]\npassword = \"geheim8\" # geheim9",
		"[[bridge]]\ncredentials = { pasword = \"geheim1\", usernam = 'a', Passwrd='geheim2' }",
		"[[bridge]]\nurll = \"mqtt://cloud/?token=geheim3\"",
		"[[bridge]]\n\"my password\" = \"geheim4\"",
	} {
		dir := write(t, map[string]string{"main.toml": text})
		_, err := Load(filepath.Join(dir, "main.toml"))
		var faults Faults
		if !errors.As(err, &faults) {
			t.Errorf("%q has no fault", text)
		}
		for _, f := range faults {
			said := f.Error() + "\n" + f.Excerpt()
			for _, secret := range []string{"geheim", "im1", "4711"} {
				if strings.Contains(strings.ReplaceAll(said, "# geheim", ""), secret) {
					t.Errorf("a secret stands in\n%s", said)
				}
			}
		}
	}
}

func TestTheExcerptMarksWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		fault Fault
		want  string
	}{
		"a key":    {Fault{Line: 14, Column: 3, Width: 9, Source: `  intervall = "1s"`}, "    14 |   intervall = \"1s\"\n       |   ^^^^^^^^^"},
		"tabs":     {Fault{Line: 1, Column: 3, Width: 1, Source: "\t\tx = 1"}, "     1 | \t\tx = 1\n       | \t\t^"},
		"no place": {Fault{Line: 1, Source: "x"}, "     1 | x"},
		"no line":  {Fault{}, ""},
		"the end":  {Fault{Line: 1, Column: 4, Width: 1, Source: "a ="}, "     1 | a =\n       |    ^"},
		"past it":  {Fault{Line: 1, Column: 1, Width: 99, Source: "abc"}, "     1 | abc\n       | ^^^"},
	} {
		if got := c.fault.Excerpt(); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, c.want)
		}
	}
	long := Fault{Line: 1, Column: 501, Width: 3, Source: strings.Repeat("a", 500) + "bad" + strings.Repeat("c", 500)}
	line, carets, _ := strings.Cut(long.Excerpt(), "\n")
	if at := strings.Index(carets, "^"); at < 0 || line[at:at+3] != "bad" || len(line) > maxExcerpt+20 {
		t.Errorf("a long line is shown as\n%s\n%s", line, carets)
	}
}

// A field without a tag would be a key that nobody can set.
func TestEveryFieldOfTheConfigurationHasAKey(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var look func(typ reflect.Type)
	look = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Slice, reflect.Pointer, reflect.Map, reflect.Array:
			look(typ.Elem())
		case reflect.Struct:
			if seen[typ] || reflect.PointerTo(typ).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
				return // it is read from a text
			}
			seen[typ] = true
			for i := range typ.NumField() {
				f := typ.Field(i)
				tag := f.Tag.Get("toml")
				if f.IsExported() && tag == "" && !f.Anonymous {
					t.Errorf("%s.%s has no toml tag", typ, f.Name)
				}
				if tag != "-" {
					look(f.Type)
				}
			}
		}
	}
	look(reflect.TypeFor[File]())
	if len(seen) < 8 {
		t.Errorf("saw only %d structs", len(seen))
	}
}

// Whatever a file holds: reading it gives a File or faults, and never panics.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{"", plant, strings.ReplaceAll(plant, `"`, `'`), "[[modbus]]\ndevice = 3", "[[serial]]\nurl=1", "bridge = [{up=[{filter='${'}]}]", "[broker]\nlistener=[{url='mqtt://:0'}]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := load([]*source{newSource("f.toml", text)}, nil)
		if err == nil {
			file.Summary()
			return
		}
		for _, fault := range err.(Faults) {
			fault.Excerpt()
		}
	})
}
