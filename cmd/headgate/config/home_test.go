package config

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatIsSaidToHomeAssistantOfNobodyIsFound(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"headgate.toml": `[gateway]
id = "plant"
[homeassistant]
include = ["meter*", "metre1", "metre*"]
exclude = ["scale"]
  [[homeassistant.point]]
  point = "meter1/voltag"
  [[homeassistant.point]]
  point = "*/anything"
  [[homeassistant.point]]
  point = "scale/whatever"
  [[homeassistant.point]]
  point = "meter1/voltage"
  [[homeassistant.point]]
  point = "house/high"
  [[homeassistant.point]]
  point = "house/powr"
[[modbus]]
name = "l"
url = "tcp://127.0.0.1:1"
  [[modbus.device]]
  name = "meter1"
  point = [ { name = "voltage", register = "input:0" } ]
[[derived]]
name = "house"
point = [ { name = "power", expr = "meter1.voltage * 2" } ]
alarm = [ { name = "high", when = "meter1.voltage > 250" } ]
[[serial]]
name = "scale"
url = "serial:///dev/null?baud=9600"
parse = { regexp = '(?P<weight>.*)' }
`})
	_, notes, err := Check(filepath.Join(dir, "headgate.toml"))
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, n := range notes {
		if strings.HasPrefix(n.Key, "homeassistant") {
			said = append(said, n.Text)
		}
	}
	want := []string{`there is no device "metre1"; did you mean meter1?`, `no device fits "metre*"; there are house, meter1, scale`, `device "meter1" has no point "voltag"; did you mean voltage?`, `device "house" has no point "powr"; did you mean power?`}
	if strings.Join(said, "|") != strings.Join(want, "|") {
		t.Errorf("got %q, want %q", said, want)
	}
}

func TestHomeAssistantReadsTheDefaultPayload(t *testing.T) {
	t.Parallel()
	_, faults := loadFiles(t, map[string]string{"main.toml": "[gateway]\nid = \"plant\"\nformat = \"value\"\n[homeassistant]\nenabled = true\n"})
	want := `main.toml:5: homeassistant.enabled: Home Assistant is told to read the gateway's JSON, and gateway.format is "value": want "json" there`
	if len(faults) != 1 || faults[0] != want {
		t.Errorf("got %q, want %q", faults, want)
	}
}
