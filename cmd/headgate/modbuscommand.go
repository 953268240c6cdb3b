package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"headgate/adapters/datatype"
	"headgate/adapters/modbus"
	"headgate/cmd/headgate/config"
	"headgate/cmd/headgate/control"
)

// modbusCmd is the tools for a Modbus link. They ask by way of the gateway where
// one runs that has the link, between its polls; otherwise they open it themselves.
type modbusCmd struct {
	Read     modbusReadCmd     `cmd:"" help:"Read registers or bits, and say what they may mean."`
	Write    modbusWriteCmd    `cmd:"" help:"Write a value, and read it back."`
	Scan     modbusScanCmd     `cmd:"" help:"Find the units on a link."`
	Bench    modbusBenchCmd    `cmd:"" help:"Read again and again, and say how fast it goes."`
	Sniff    modbusSniffCmd    `cmd:"" help:"Print what is said on a link: by the gateway that runs and the units, or, without one, by others on a serial line."`
	Plan     modbusPlanCmd     `cmd:"" help:"Show the requests that a configuration makes, and how busy the link is with them."`
	Profiles modbusProfilesCmd `cmd:"" help:"List the device profiles, or print one."`
}

// modbusLink is how a tool is told its link.
type modbusLink struct {
	Config  string        `placeholder:"FILE" help:"The configuration file, by default ${default_config}."`
	Link    string        `placeholder:"NAME" help:"The name of a link of the configuration, where it has several."`
	URL     string        `name:"url" placeholder:"URL" help:"The link, in place of one of the configuration, like rtu:///dev/ttyUSB0?baud=9600 or tcp://192.168.1.20."`
	Timeout time.Duration `placeholder:"TIME" help:"How long a unit may take to answer, by default as the configuration says, or 1s."`
}

// found is the link that a tool was told.
type found struct {
	config  modbus.Config
	dataDir string
}

// find looks for the link; with the name of a device it is that device's, whose
// unit id is given then.
func (l *modbusLink) find(device string) (f found, unit uint8, err error) {
	file, err := l.load()
	if err != nil {
		return found{}, 0, err
	}
	f = found{dataDir: file.Gateway.DataDir}
	if l.URL != "" {
		f.config = modbus.Config{Name: "link", URL: l.URL}
	} else if f.config, err = l.choose(file.Modbus, device); err != nil {
		return found{}, 0, err
	}
	if l.Timeout > 0 {
		f.config.Timeout = l.Timeout
	}
	f.config.SetDefaults()
	if device == "" {
		return f, 0, nil
	}
	for _, d := range f.config.Device {
		if d.Name == device {
			return f, *d.Unit, nil
		}
	}
	return found{}, 0, fmt.Errorf("%q is no unit id, nor the name of a device of %s", device, f.config.Name)
}

// load reads the configuration. Where the link is named without one, that which is
// there by default need not be, or be ours to read.
func (l *modbusLink) load() (*config.File, error) {
	path := cmp.Or(l.Config, defaultConfig)
	if _, err := os.Stat(path); l.Config == "" && l.URL == "" && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s: name a configuration with --config, or the link with --url", path)
	}
	file, err := config.Load(path)
	if err != nil && l.Config == "" && l.URL != "" {
		file, err = &config.File{}, nil
		file.Gateway.SetDefaults()
	}
	return file, err
}

// choose gives the link that is meant among those of the configuration.
func (l *modbusLink) choose(links []modbus.Config, device string) (modbus.Config, error) {
	var names []string
	for _, c := range links {
		names = append(names, c.Name)
		if c.Name == l.Link || l.Link == "" && len(links) == 1 {
			return c, nil
		}
		for _, d := range c.Device {
			if l.Link == "" && device != "" && d.Name == device {
				return c, nil
			}
		}
	}
	switch {
	case len(links) == 0:
		return modbus.Config{}, errors.New("the configuration has no [[modbus]] link: name one with --url")
	case l.Link == "":
		return modbus.Config{}, fmt.Errorf("which link? want --link with one of %s, or --url", strings.Join(names, ", "))
	}
	return modbus.Config{}, fmt.Errorf("there is no link %q: want one of %s", l.Link, strings.Join(names, ", "))
}

// gateway gives the gateway that runs here and has the link; nil if there is none.
func (f *found) gateway(ctx context.Context) (*throughGateway, error) {
	g := throughGateway{control.New(control.Paths(f.dataDir)), f.config.Link()}
	var has modbusHas
	err := g.client.Post(ctx, modbusLinkPath, modbusAsk{Link: g.link}, &has)
	switch {
	case err != nil && !errors.Is(err, control.ErrNoGateway):
		return nil, fmt.Errorf("ask the gateway that runs here: %w", err)
	case err != nil || has.Name == "":
		return nil, nil
	}
	return &g, nil
}

// open gives what asks on the link: the gateway that has it, or the link itself.
func (f *found) open(ctx context.Context) (modbusAsker, error) {
	if g, err := f.gateway(ctx); g != nil || err != nil {
		return g, err
	}
	return modbus.Open(ctx, f.config)
}

// modbusUnit is a link and a unit on it.
type modbusUnit struct {
	modbusLink
	Unit string `short:"u" placeholder:"UNIT" help:"The unit id, or the name of a device of the configuration; 1 if left out."`
}

// openUnit opens the link and gives the unit.
func (u *modbusUnit) openUnit(ctx context.Context) (a modbusAsker, f found, unit uint8, err error) {
	device := ""
	n, err := strconv.ParseUint(cmp.Or(u.Unit, "1"), 10, 8)
	if err != nil {
		device = u.Unit
	}
	f, unit, err = u.find(device)
	if err != nil {
		return nil, f, 0, err
	}
	if device == "" {
		unit = uint8(n)
	}
	a, err = f.open(ctx)
	return a, f, unit, err
}

// modbusValue is how a value stands in the registers.
type modbusValue struct {
	Order    string  `placeholder:"ORDER" help:"The order of its bytes: ABCD, CDAB, BADC, DCBA ..."`
	Length   int     `placeholder:"N" help:"How many characters a string has."`
	Bits     string  `placeholder:"SHIFT:WIDTH" help:"The part of the number that is meant."`
	Scale    float64 `default:"1" placeholder:"N" help:"What the number in the register is multiplied by."`
	Offset   float64 `placeholder:"N" help:"What is added then."`
	Function uint8   `placeholder:"CODE" help:"The function code that writes."`
}

// format makes the format of a value at the register.
func (v modbusValue) format(register, typ, access string) (modbus.Format, error) {
	return modbus.NewFormat(modbus.Point{
		Register: register, Type: typ, Order: v.Order, Length: v.Length, Bits: v.Bits,
		Number: datatype.Number{Scale: v.Scale, Offset: v.Offset}, WriteFunction: v.Function, Access: access,
	})
}
