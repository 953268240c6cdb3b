package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"headgate/adapters/modbus"
	"headgate/adapters/modbus/modbussim"
	"headgate/cmd/headgate/config"
	"headgate/gateway/point"
	"headgate/packaging/profiles"
)

// builtIn lists the profiles that are built in.
func builtIn(t *testing.T) []string {
	t.Helper()
	return config.ProfileNames(t.TempDir())
}

func TestEachProfileIsGoodAndSaysWhereItIsFrom(t *testing.T) {
	names := builtIn(t)
	if len(names) < 12 {
		t.Errorf("there are %d profiles, want 12 at least", len(names))
	}
	for _, name := range names {
		text, err := profiles.Files.ReadFile(name + ".toml")
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(text), "\n\n")
		if !strings.HasPrefix(head, "# ") || !strings.Contains(head, "Registers") && !strings.Contains(head, "Coils") {
			t.Errorf("%s does not say where its registers are from: %q", name, head)
		}
		if config.ProfileVersion(text) == "" {
			t.Errorf("%s has no version", name)
		}
		file, err := config.Load(writeConfig(t, "[[modbus]]\nname = \"rs485\"\nurl = \"rtu:///dev/ttyUSB0\"\n[[modbus.device]]\nname = \"x\"\nunit = 1\nprofile = \""+name+"\"\n"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if len(file.Modbus[0].Device[0].Point) == 0 {
			t.Errorf("%s has no points", name)
		}
	}
}

// example is a file of testdata/profiles: what a device has in its registers, and
// which values that is.
type example struct {
	points []string
	want   map[string]string // "bad" for none
}

// readExample fills the unit with what the example has.
func readExample(t *testing.T, path string, u *modbussim.Unit) example {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	x := example{want: map[string]string{}}
	tables := map[string]modbussim.Table{"coil": modbussim.Coils, "discrete": modbussim.DiscreteInputs, "input": modbussim.InputRegisters, "holding": modbussim.HoldingRegisters}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		if name, value, ok := strings.Cut(line, " = "); ok {
			x.points, x.want[name] = append(x.points, name), value
			continue
		}
		where, values, _ := strings.Cut(line, ": ")
		where, refused := strings.CutPrefix(where, "exception ")
		table, number, _ := strings.Cut(where, " ")
		address, err := strconv.ParseUint(number, 0, 16)
		if err != nil || tables[table] == 0 {
			t.Fatalf("%s: %q", path, line)
		}
		for i, v := range strings.Fields(values) {
			n, err := strconv.ParseUint(v, 16, 16)
			if err != nil {
				t.Fatalf("%s: %q", path, line)
			}
			if refused {
				u.Inject(modbussim.Fault{Table: tables[table], Address: uint16(address), Count: 1, Exception: byte(n)})
				continue
			}
			u.Set(tables[table], uint16(address)+uint16(i), uint16(n))
		}
	}
	return x
}

func TestEachProfileDecodesItsExample(t *testing.T) {
	for _, name := range builtIn(t) {
		t.Run(name, func(t *testing.T) {
			sim := modbussim.New()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- sim.ServeTCP(context.Background(), ln) }()
			defer func() { sim.Close(); <-served }()
			x := readExample(t, filepath.Join("testdata", "profiles", name+".txt"), sim.Unit(7))
			text := fmt.Sprintf("[[modbus]]\nname = \"rs485\"\nurl = \"tcp://%s\"\n[[modbus.device]]\nname = \"x\"\nunit = 7\nprofile = %q\nprofile_points = [\"%s\"]\n",
				ln.Addr(), name, strings.Join(x.points, `", "`))
			file, err := config.Load(writeConfig(t, text))
			if err != nil {
				t.Fatal(err)
			}
			a, err := modbus.New(file.Modbus[0], slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			got := firstSamples(t, a, len(x.points))
			for _, p := range x.points {
				s := got[p]
				value := s.Value.String()
				if s.Quality == point.Bad {
					value = "bad"
				}
				if value != x.want[p] {
					t.Errorf("%s: got %s (%s), want %s", p, value, s.Reason, x.want[p])
				}
			}
		})
	}
}

// firstSamples runs the adapter until it has said something of each point.
func firstSamples(t *testing.T, a *modbus.Adapter, points int) map[string]point.Sample {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got := map[string]point.Sample{}
	a.Run(ctx, func(u point.Update) { // it is called by one goroutine
		for _, s := range u.Samples {
			if _, known := got[s.Point]; !known {
				got[s.Point] = s
			}
		}
		if len(got) == points {
			cancel()
		}
	})
	if len(got) < points {
		t.Fatalf("only %d of %d points came", len(got), points)
	}
	return got
}

func TestNoExampleIsWithoutItsProfile(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join("testdata", "profiles"))
	if err != nil {
		t.Fatal(err)
	}
	names := builtIn(t)
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".txt"); !ok || !slices.Contains(names, name) {
			t.Errorf("%s is for no profile", e.Name())
		}
	}
}
