package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// profiled loads a device that names a profile; dir is the profile_dir.
func profiled(t *testing.T, dir, device string) (*File, []string) {
	t.Helper()
	return loadText(t, "[gateway]\nprofile_dir = '"+dir+"'\n[[modbus]]\nname = \"rs485\"\nurl = \"tcp://127.0.0.1\"\n[[modbus.device]]\nname = \"meter1\"\n"+device)
}

func writeProfile(t *testing.T, name, text string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name+".toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

const pump = `# A pump.
order = "CDAB"
interval = "5s"
unit = 9
[profile]
title = "Pump"
[[point]]
name = "speed"
register = "holding:1"
type = "u32"
unit = "rpm"
[[point]]
name = "hours"
register = "holding:3"
scale = 0.1
`

func TestADeviceHasThePointsOfItsProfile(t *testing.T) {
	f, faults := profiled(t, writeProfile(t, "pump", pump), "profile = \"pump\"\n")
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	d := f.Modbus[0].Device[0]
	if d.Name != "meter1" || d.Order != "CDAB" || d.Interval != 5*time.Second || *d.Unit != 9 || len(d.Point) != 2 {
		t.Errorf("the device is %+v", d)
	}
	if p := d.Point[1]; p.Name != "hours" || p.Scale != 0.1 || p.Register != "holding:3" {
		t.Errorf("its second point is %+v", p)
	}
}

func TestWhatStandsInTheDeviceGoesBeforeItsProfile(t *testing.T) {
	f, faults := profiled(t, writeProfile(t, "pump", pump), `profile = "pump"
interval = "1s"
profile_points = ["hours"]
point = [ { name = "speed", unit = "1/min", deadband = "2%" }, { name = "alarm", register = "coil:0" } ]
[[modbus.device]]
name = "meter2"
profile = "pump"
`)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	d := f.Modbus[0].Device[0]
	var names []string
	for _, p := range d.Point {
		names = append(names, p.Name)
	}
	if d.Interval != time.Second || d.Order != "CDAB" || !slices.Equal(names, []string{"speed", "hours", "alarm"}) {
		t.Errorf("the device is %+v", d)
	}
	if p := d.Point[0]; p.Unit != "1/min" || p.Deadband == nil || p.Type != "u32" || p.Register != "holding:1" {
		t.Errorf("the changed point is %+v", p)
	}
	// The next device of the profile has it as it was.
	if p := f.Modbus[0].Device[1].Point; len(p) != 2 || p[0].Unit != "rpm" || p[0].Deadband != nil {
		t.Errorf("the next device has %+v", p)
	}
}

func TestAFileInTheDirectoryGoesBeforeTheProfileThatIsBuiltIn(t *testing.T) {
	f, faults := profiled(t, writeProfile(t, "eastron-sdm630", pump), "profile = \"eastron-sdm630\"\n")
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if p := f.Modbus[0].Device[0].Point; p[0].Name != "speed" {
		t.Errorf("got %+v", p)
	}
	if f, faults = profiled(t, t.TempDir(), "profile = \"eastron-sdm630\"\n"); len(faults) > 0 || f.Modbus[0].Device[0].Point[0].Name != "voltage_l1" {
		t.Errorf("without it: %+v, %q", f, faults)
	}
}

func TestFaultsOfProfiles(t *testing.T) {
	for name, c := range map[string]struct{ profile, device, want string }{
		"no such":                   {pump, `profile = "pmup"`, "modbus.device.profile: there is no profile pmup, neither in DIR nor built in; did you mean pump?"},
		"a path":                    {pump, `profile = "../pump"`, "modbus.device.profile: want the name of a profile"},
		"not a text":                {pump, `profile = 3`, "modbus.device.profile: want a text in quotes"},
		"no such point":             {pump, "profile = \"pump\"\nprofile_points = [\"sped\"]", "modbus.device.profile_points[0]: \"sped\" is no point of the profile; did you mean speed?"},
		"a fault in it":             {strings.Replace(pump, "u32", "u33", 1), `profile = "pump"`, "DIR/pump.toml:10: modbus.device.point.type: \"u33\" is no type"},
		"an unknown key":            {strings.Replace(pump, "scale", "scael", 1), `profile = "pump"`, "DIR/pump.toml:15: modbus.device.point.scael: unknown key; did you mean scale?"},
		"not TOML":                  {"[[point]\n", `profile = "pump"`, "DIR/pump.toml:1:8: expected"},
		"no points":                 {"interval = \"1s\"\n", `profile = "pump"`, "DIR/pump.toml: has no [[point]]"},
		"a name of its own":         {"name = \"x\"\n" + pump, `profile = "pump"`, "DIR/pump.toml:1: name: a profile has none"},
		"a version of its own kind": {strings.Replace(pump, "[profile]", "[profile]\nversion = true", 1), `profile = "pump"`, "DIR/pump.toml:6: profile.version: want a number or a text"},
		"another base":              {pump, "profile = \"pump\"\naddress_base = 1", "modbus.device.address_base: the profile says how its registers are counted"},
		"a change at fault":         {pump, "profile = \"pump\"\npoint = [ { name = \"speed\", type = \"f31\" } ]", "main.toml:9: modbus.device.point.type: \"f31\" is no type"},
		"an addition at fault":      {pump, "profile = \"pump\"\npoint = [ { name = \"more\" } ]", "main.toml:9: modbus.device.point.register: is missing"},
	} {
		dir := writeProfile(t, "pump", c.profile)
		_, faults := profiled(t, dir, c.device+"\n")
		got := strings.ReplaceAll(strings.Join(faults, "\n"), dir, "DIR")
		if !strings.Contains(got, c.want) || len(faults) != 1 {
			t.Errorf("%s: got %q, want %q alone", name, got, c.want)
		}
	}
}
