package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"headgate/adapters/modbus"
	"headgate/adapters/port"
	"headgate/cmd/headgate/config"
	"headgate/gateway/point"
)

// initCmd writes a first configuration.
type initCmd struct {
	File  string `arg:"" optional:"" default:"headgate.toml" help:"The file to write, by default headgate.toml here."`
	Force bool   `help:"Write over a file that is there."`
}

// packagedDataDir is where the data are when the configuration does not say.
const packagedDataDir = "/var/lib/headgate"

// offeredDataDir gives the packaged directory, or, where whoever asks may neither
// write to it nor make it, one beside the configuration: what init has written must run.
func offeredDataDir(packaged string) string {
	for dir := packaged; ; dir = filepath.Dir(dir) {
		switch err := unix.Access(dir, unix.W_OK); {
		case err == nil:
			return packaged
		case !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir):
			return "data"
		}
	}
}

// initUnits are asked for on a line: a larger id is seldom, and each takes a while.
const initUnits = 16

// Run asks what there is, looks for units, and writes the file. Each question has
// an answer that is taken when none is given.
func (c *initCmd) Run(k *kong.Kong) error {
	if _, err := os.Stat(c.File); !c.Force && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already: name another file, or say --force", c.File)
	}
	// Until it scans, a SIGINT simply ends it: nothing is written before the last answer.
	q := &interview{in: bufio.NewReader(os.Stdin), out: k.Stdout}
	var b strings.Builder
	host, _ := os.Hostname()
	id := q.askFor("Name of this gateway, the first level of its topics", host, func(id string) error {
		return wrongAnswer("gateway.id", "[gateway]\nid = "+quoteTOML(id))
	})
	fmt.Fprintf(&b, "# Made by headgate init; headgate config explain KEY says more of a key.\n\n[gateway]\nid = %s\n", quoteTOML(id))
	if dir := q.ask("Directory for its data", offeredDataDir(packagedDataDir)); dir != packagedDataDir {
		fmt.Fprintf(&b, "data_dir = %s\n", quoteTOML(dir))
	}
	b.WriteString("\n[[broker.listener]]\nurl = \"mqtt://127.0.0.1:1883\"\n")
	q.modbus(&b)
	q.bridge(&b)
	if q.err != nil {
		return fmt.Errorf("init: %w", q.err)
	}
	if err := os.WriteFile(c.File, []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	file, _, err := config.Check(c.File)
	if err != nil {
		return err
	}
	fmt.Fprintf(k.Stdout, "%s: %s. Next: headgate run %[1]s\n", c.File, file.Summary())
	return nil
}

// interview asks a person.
type interview struct {
	in    *bufio.Reader
	out   io.Writer
	err   error // why there are no more answers
	ended bool  // no more answers come: what is offered is taken
}

// ask asks for a text; an empty answer is the one that is offered.
func (q *interview) ask(what, offered string) string {
	if q.err != nil {
		return offered
	}
	if offered != "" {
		fmt.Fprintf(q.out, "%s [%s]: ", what, offered)
	} else {
		fmt.Fprintf(q.out, "%s: ", what)
	}
	line, err := q.in.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		q.err = err
	}
	if q.ended = err != nil; q.ended {
		fmt.Fprintln(q.out)
	}
	if line = strings.TrimSpace(line); line != "" {
		return line
	}
	return offered
}

// askFor asks until wrong has nothing against the answer, or there are no more answers.
func (q *interview) askFor(what, offered string, wrong func(answer string) error) string {
	for {
		answer := q.ask(what, offered)
		err := wrong(answer)
		if err == nil || q.ended || q.err != nil {
			return answer
		}
		fmt.Fprintf(q.out, "  %v\n", err)
	}
}

// yes asks a question that has two answers; yes is offered.
func (q *interview) yes(what string) bool {
	answer := q.askFor(what, "yes", func(answer string) error {
		if !slices.Contains([]string{"y", "yes", "n", "no"}, strings.ToLower(answer)) {
			return fmt.Errorf("%s: want yes or no", answer)
		}
		return nil
	})
	return strings.HasPrefix(strings.ToLower(answer), "y")
}

// wrongAnswer gives what the check of a configuration has against the value of key in
// table.
func wrongAnswer(key, table string) error {
	file, err := os.CreateTemp("", "headgate-init-*.toml")
	if err != nil {
		return nil // the whole is checked too
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(table + "\n")
	if err = errors.Join(err, file.Close()); err != nil {
		return nil
	}
	_, _, err = config.Check(file.Name())
	var faults config.Faults
	errors.As(err, &faults)
	for _, f := range faults {
		if f.Key == key {
			return errors.New(f.Text)
		}
	}
	return nil
}

// modbusURL gives the link that an answer means: a URL, a port, or a host.
func modbusURL(at, baud, parity string) string {
	switch {
	case strings.Contains(at, "://"):
		return at
	case strings.HasPrefix(at, "/"):
		return fmt.Sprintf("rtu://%s?baud=%s&parity=%s", at, baud, parity)
	}
	return "tcp://" + at
}

func wrongLink(link string) error {
	return wrongAnswer("modbus.url", "[[modbus]]\nname = \"modbus\"\nurl = "+quoteTOML(link))
}

// modbus asks for a link, and for the units on it.
func (q *interview) modbus(b *strings.Builder) {
	offered := ""
	for _, p := range port.List() {
		name := p.Path
		if len(p.Links) > 0 {
			name = p.Links[0]
		}
		fmt.Fprintf(q.out, "Serial port %s %s\n", name, strings.TrimSpace(p.Maker+" "+p.Product))
		if offered == "" {
			offered = name
		}
	}
	at := q.askFor("Modbus at which serial port, host[:port] or URL; none for no Modbus", orNone(offered), func(at string) error {
		if at == "none" {
			return nil
		}
		return wrongLink(modbusURL(at, "9600", "N"))
	})
	if at == "none" {
		return
	}
	baud, parity := "", ""
	if strings.HasPrefix(at, "/") {
		baud = q.askFor("Baud rate", "9600", func(baud string) error { return wrongLink(modbusURL(at, baud, "N")) })
		parity = strings.ToUpper(q.askFor("Parity (N, E, O)", "N", func(parity string) error { return wrongLink(modbusURL(at, "9600", strings.ToUpper(parity))) }))
	}
	link := modbusURL(at, baud, parity)
	fmt.Fprintf(b, "\n[[modbus]]\nname = \"modbus\"\nurl = %s\n", quoteTOML(link))
	units := q.scan(link)
	if len(units) == 0 {
		text := q.askFor("Unit id of the device", "1", func(text string) error {
			if _, err := strconv.ParseUint(text, 10, 8); err != nil {
				return fmt.Errorf("%s: want a number from 1 to 247, over TCP from 0 to 255", text)
			}
			return wrongAnswer("modbus.device.unit", fmt.Sprintf("[[modbus]]\nname = \"modbus\"\nurl = %s\ndevice = [ { name = \"device\", unit = %s } ]", quoteTOML(link), text))
		})
		if n, err := strconv.ParseUint(text, 10, 8); err == nil {
			units = append(units, uint8(n))
		}
	}
	profiles := config.ProfileNames(filepath.Join(filepath.Dir(defaultConfig), "profiles"))
	if len(units) > 0 {
		fmt.Fprintf(q.out, "Profiles:\n%s", inLines(profiles, 80))
	}
	for i, unit := range units {
		profile := q.ask(fmt.Sprintf("Profile of unit %d; none to write its points by hand", unit), "none")
		for profile != "none" && !slices.Contains(profiles, profile) {
			offered := config.Nearest(profile, profiles)
			profile = q.ask("There is no profile "+profile, orNone(offered))
		}
		name := q.askFor("Name of the device", fmt.Sprintf("device%d", i+1), func(name string) error {
			return wrongAnswer("modbus.device.name", fmt.Sprintf("[[modbus]]\nname = \"modbus\"\nurl = %s\ndevice = [ { name = %s, unit = 1 } ]", quoteTOML(link), quoteTOML(name)))
		})
		fmt.Fprintf(b, "  [[modbus.device]]\n  name = %s\n  unit = %d\n", quoteTOML(name), unit)
		if profile != "none" {
			fmt.Fprintf(b, "  profile = %s\n", quoteTOML(profile))
			continue
		}
		fmt.Fprintf(b, "  # headgate modbus read holding:0 --as all shows what registers may mean.\n  point = [ { name = \"value\", register = \"holding:0\" } ]\n")
	}
}

// inLines gives words in lines of at most so many characters, each two deep.
func inLines(words []string, width int) string {
	var b strings.Builder
	used := 0
	for _, w := range words {
		switch {
		case used == 0:
			b.WriteString("  ")
			used = 2
		case used+len(", ")+len(w)+len(",") > width:
			b.WriteString(",\n  ")
			used = 2
		default:
			b.WriteString(", ")
			used += 2
		}
		b.WriteString(w)
		used += len(w)
	}
	b.WriteByte('\n')
	return b.String()
}

func orNone(offered string) string {
	if offered == "" {
		return "none"
	}
	return offered
}

// scan asks the first units of a link, if the person wants it.
func (q *interview) scan(link string) (units []uint8) {
	if !q.yes(fmt.Sprintf("Look for units 1 to %d there now", initUnits)) {
		return nil
	}
	ctx, stop := untilStopped()
	defer stop()
	l := modbusLink{URL: link, Timeout: scanTimeout}
	f, _, err := l.find("")
	if err == nil {
		var a modbusAsker
		if a, err = f.open(ctx); err == nil {
			defer a.Close()
			for u := uint8(1); u <= initUnits && err == nil; u++ {
				_, err = a.Do(ctx, modbus.Request{Unit: u, Register: "holding:0", Count: 1, Timeout: scanTimeout})
				switch {
				case err == nil, errors.Is(err, point.ErrException):
					fmt.Fprintf(q.out, "unit %d answers\n", u)
					units = append(units, u)
					err = nil
				case errors.Is(err, point.ErrTimeout):
					err = nil
				}
			}
		}
	}
	switch {
	case ctx.Err() != nil:
		q.err = errors.New("interrupted: nothing is written")
	case err != nil:
		fmt.Fprintf(q.out, "cannot look: %v\n", err)
	case len(units) == 0:
		fmt.Fprintln(q.out, "No unit answers: are the wires, the speed and the parity right?")
	}
	return units
}

// bridge asks for the cloud.
func (q *interview) bridge(b *strings.Builder) {
	withScheme := func(upstream string) string {
		if strings.Contains(upstream, "://") {
			return upstream
		}
		return "mqtts://" + upstream
	}
	upstream := q.askFor("Broker in the cloud, like mqtts://broker.example.com; none for none", "none", func(upstream string) error {
		if upstream == "none" {
			return nil
		}
		return wrongAnswer("bridge.url", "[[bridge]]\nname = \"cloud\"\nurl = "+quoteTOML(withScheme(upstream)))
	})
	if upstream == "none" {
		return
	}
	upstream = withScheme(upstream)
	fmt.Fprintf(b, "\n[[bridge]]\nname = \"cloud\"\nurl = %s\n", quoteTOML(upstream))
	if user := q.ask("User name there; none for none", "none"); user != "none" {
		file := q.ask("File with the password", "cloud.password")
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(q.out, "There is no %s yet: make it before you start, readable for the gateway alone.\n", file)
		}
		fmt.Fprintf(b, "credentials = { username = %s, password_file = %s }\n", quoteTOML(user), quoteTOML(file))
	}
	b.WriteString("up = [ { filter = \"#\" } ]\n")
}
