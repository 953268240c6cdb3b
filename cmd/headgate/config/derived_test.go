package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const derivedPlant = `[gateway]
id = "plant"
[[modbus]]
name = "rs485"
url = "tcp://127.0.0.1:502"
[[modbus.device]]
name = "meter1"
unit = 1
[[modbus.device.point]]
name = "voltage"
register = "holding:0"
[[modbus.device.point]]
name = "current"
register = "holding:1"
[[serial]]
name = "scale"
url = "serial:///dev/ttyUSB1"
parse = { regexp = '(?P<weight>\d+)' }
`

func TestAFaultInAnExpressionIsShownAtItsPlace(t *testing.T) {
	_, got := loadText(t, derivedPlant+`[[derived]]
name = "house"
[[derived.point]]
name = "power"
expr = "meter1.voltage * meter1.curent"
[[derived.point]]
name = "heavy"
expr = 'scale.weight > 5 and scale.wait > 3'
[[derived.point]]
name = "text"
expr = """
  meter1.voltage +
  * 2"""
[[derived.alarm]]
name = "high"
when = "house.power > 5 ? 1 : 2"
[[derived]]
name = "meter1"
[[derived.point]]
name = "x"
expr = "1"
`)
	want := []string{
		`main.toml:23: derived.point.expr: device "meter1" has no point "curent"; did you mean "current"?`,
		`main.toml:26: derived.point.expr: device "scale" has no point "wait"; there are weight`,
		`main.toml:31: derived.point.expr: there is "*" where a value should stand`,
		`main.toml:34: derived.alarm.when: is a number; want what is true or false, like "boiler.temp > 90"`,
		`main.toml:36: derived.name: "meter1" is the name of another device, at main.toml:7: its topics would mix with these`,
		`main.toml:39: derived.point.expr: needs no point and no input, so that it would never be computed`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTheCaretStandsBelowWhatIsWrong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "main.toml")
	text := derivedPlant + "[[derived]]\nname = \"house\"\n[[derived.point]]\nname = \"power\"\nexpr = \"meter1.voltage * metr1.current\"\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path)
	faults, ok := err.(Faults)
	if !ok || len(faults) != 1 {
		t.Fatalf("got %v", err)
	}
	want := "    23 | expr = \"meter1.voltage * metr1.current\"\n       |                          ^^^^^"
	if got := faults[0].Excerpt(); got != want || faults[0].Column != 26 {
		t.Errorf("got column %d:\n%s\nwant:\n%s", faults[0].Column, got, want)
	}
}
