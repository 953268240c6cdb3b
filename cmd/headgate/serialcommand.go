package main

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"headgate/adapters/port"
	"headgate/adapters/serial"
	"headgate/cmd/headgate/config"
	"headgate/gateway/point"
)

// serialCmd is the tools for serial lines.
type serialCmd struct {
	List    serialListCmd    `cmd:"" help:"List the serial ports: their names that last, their USB numbers, and who has them open."`
	Monitor serialMonitorCmd `cmd:"" help:"Print what comes on a line, in hexadecimal and as text, and the messages in it."`
	Try     serialTryCmd     `cmd:"" help:"Cut and parse what stands in a file as a device's configuration says: headgate serial try --config FILE --device NAME < CAPTURE."`
}

// serialListCmd lists ports.
type serialListCmd struct{}

// Run lists them.
func (c *serialListCmd) Run(k *kong.Kong) error {
	ports := port.List()
	if len(ports) == 0 {
		return errors.New("there is no serial port: is the adapter plugged in? \"dmesg | tail\" says what the system thinks of it")
	}
	printPorts(k.Stdout, ports)
	return nil
}

func printPorts(w io.Writer, ports []port.Info) {
	for _, p := range ports {
		name := strings.TrimSpace(p.Maker + " " + p.Product)
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%-14s %-28s %s", p.Path, cmp.Or(p.USB, "-"), name), " "))
		for _, link := range p.Links {
			fmt.Fprintf(w, "    %s\n", link)
		}
		for _, h := range p.Holders {
			fmt.Fprintf(w, "    open in %s\n", h)
		}
	}
}

// serialDevice is how a tool is told its device.
type serialDevice struct {
	Config string `placeholder:"FILE" help:"The configuration file, by default ${default_config}."`
	Device string `placeholder:"NAME" help:"The name of a [[serial]] device of the configuration, where it has several."`
}

// find gives the device that is meant; instead says what may be named in place of a
// configuration.
func (d *serialDevice) find(instead string) (serial.Config, error) {
	path := cmp.Or(d.Config, defaultConfig)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return serial.Config{}, fmt.Errorf("there is no %s: name a configuration with --config%s", path, instead)
	}
	file, err := config.Load(path)
	if err != nil {
		return serial.Config{}, err
	}
	var names []string
	for _, s := range file.Serial {
		if s.Name == d.Device || d.Device == "" && len(file.Serial) == 1 {
			return s, nil
		}
		names = append(names, s.Name)
	}
	switch {
	case len(names) == 0:
		return serial.Config{}, fmt.Errorf("%s has no [[serial]] device", path)
	case d.Device == "":
		return serial.Config{}, fmt.Errorf("which device? want --device with one of %s", strings.Join(names, ", "))
	}
	return serial.Config{}, fmt.Errorf("there is no serial device %q: want one of %s", d.Device, strings.Join(names, ", "))
}

// serialMonitorCmd watches a line.
type serialMonitorCmd struct {
	serialDevice
	URL  string `name:"url" placeholder:"URL" help:"The port, in place of a device of the configuration, like serial:///dev/ttyUSB0?baud=9600; its messages are lines then."`
	Save string `placeholder:"FILE" help:"Write what comes to a new file too, as it is, for headgate serial try."`
}

// Run prints until it is stopped.
func (c *serialMonitorCmd) Run(k *kong.Kong) (err error) {
	cfg := serial.Config{Name: "line", URL: c.URL, Transparent: true}
	switch {
	case c.URL == "":
		if cfg, err = c.find(", or the port with --url"); err != nil {
			return err
		}
	case c.Config != "" || c.Device != "":
		return errors.New("--url is in place of a device of the configuration: leave out --config and --device, or --url")
	default:
		if _, err := port.ParseURL(c.URL, "serial"); err != nil {
			return fmt.Errorf("--url %w", err)
		}
	}
	cfg.SetDefaults()
	ctx, stop := untilStopped()
	defer stop()
	save := io.Discard
	if c.Save != "" {
		file, err := os.OpenFile(c.Save, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s is there already: want the name of a new file to save to", c.Save)
		}
		if err != nil {
			return fmt.Errorf("the file to save to: %w", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		save = file
	}
	var failed error
	show := trialView{w: k.Stdout, quiet: c.URL != ""}
	err = serial.Monitor(ctx, cfg, func(at time.Time, b []byte) {
		printDump(k.Stdout, at, b)
		if _, err := save.Write(b); err != nil {
			failed = err
			stop()
		}
	}, show.found)
	if errors.Is(err, port.ErrBusy) {
		return errors.Join(busy(err, cfg.URL), failed)
	}
	return errors.Join(err, failed)
}

// busy says what to do where a port is in use.
func busy(err error, url string) error {
	address, wrong := port.ParseURL(url, "serial")
	if wrong != nil {
		return err
	}
	return fmt.Errorf("%w: stop that to watch the line; \"sudo headgate serial list\" sees all programs", port.WithHolder(err, address.Path))
}

// dumpWidth is how many bytes are printed on a line.
const dumpWidth = 16

// printDump prints bytes in hexadecimal and as text.
func printDump(w io.Writer, at time.Time, b []byte) {
	when := at.Format("15:04:05.000")
	for part := range slices.Chunk(b, dumpWidth) {
		text := strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' {
				return '.'
			}
			return r
		}, latin(part))
		fmt.Fprintf(w, "%-12s  %-*s  |%s|\n", when, 3*dumpWidth-1, fmt.Sprintf("% x", part), text)
		when = ""
	}
}

// latin gives each byte as a character.
func latin(b []byte) string {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return string(runes)
}

// trialView prints what was found, and counts it.
type trialView struct {
	w                        io.Writer
	quiet                    bool // that nothing matches is no news: there is nothing to match
	messages, matched, wrong int
}

func (v *trialView) found(f serial.Found) {
	if f.Damage != "" {
		v.wrong++
		fmt.Fprintf(v.w, "! dropped: %s\n", f.Damage)
		return
	}
	v.messages++
	fmt.Fprintf(v.w, "= message %d, %d bytes: %.200q\n", v.messages, len(f.Message), f.Message)
	if f.Matched {
		v.matched++
	} else if !v.quiet {
		fmt.Fprintln(v.w, "    parse does not understand it")
	}
	for _, s := range f.Samples {
		fmt.Fprintf(v.w, "    %s\n", sampleText(s))
	}
}

func sampleText(s point.Sample) string {
	if s.Quality != point.Good {
		return fmt.Sprintf("%s is %s: %s", s.Point, s.Quality, s.Reason)
	}
	return strings.TrimSpace(fmt.Sprintf("%s = %s %s", s.Point, s.Value, s.Unit))
}

// serialTryCmd tries a parser.
type serialTryCmd struct {
	serialDevice
	Hex   bool   `help:"The capture is hexadecimal digits, with blanks and line ends as you like."`
	Input string `arg:"" optional:"" placeholder:"CAPTURE" help:"The file with what the device sent; standard input if left out."`
}

// Run says what comes of a capture; nothing is a failure.
func (c *serialTryCmd) Run(k *kong.Kong) error {
	cfg, err := c.find("")
	if err != nil {
		return err
	}
	t, err := serial.NewTrial(cfg)
	if err != nil {
		return err
	}
	in := os.Stdin
	if c.Input != "" {
		if in, err = os.Open(c.Input); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no capture %s: \"headgate serial monitor --save FILE\" writes one of what a device sends", c.Input)
		} else if err != nil {
			return fmt.Errorf("the capture: %w", err)
		}
		defer in.Close()
	} else if term.IsTerminal(int(in.Fd())) {
		fmt.Fprintln(k.Stderr, "No capture is named: type what the device sends, and Ctrl-D at the end.")
	}
	return c.try(k.Stdout, in, t)
}

// maxHexCapture bounds a capture in hexadecimal, which is read as a whole.
const maxHexCapture = 64 << 20

func (c *serialTryCmd) try(w io.Writer, in io.Reader, t *serial.Trial) error {
	if c.Hex {
		text, err := io.ReadAll(io.LimitReader(in, maxHexCapture))
		if err != nil {
			return fmt.Errorf("read the capture: %w", err)
		}
		raw, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		if err != nil {
			return fmt.Errorf("the capture: %w", err)
		}
		in = strings.NewReader(string(raw))
	}
	show := trialView{w: w}
	size := 0
	buffer := make([]byte, 4096)
	for {
		n, err := in.Read(buffer)
		size += n
		t.Feed(buffer[:n], time.Now(), show.found)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the capture: %w", err)
		}
	}
	t.Silence(time.Now(), show.found)
	fmt.Fprintf(w, "%d bytes: %d messages, %d understood, %d times something dropped\n", size, show.messages, show.matched, show.wrong)
	if show.matched == 0 {
		return errors.New("nothing in the capture was understood")
	}
	return nil
}
