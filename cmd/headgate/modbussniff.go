package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"

	"headgate/adapters/modbus"
	"headgate/cmd/headgate/config"
	"headgate/packaging/profiles"
)

// modbusSniffCmd listens: to what a gateway that runs asks and hears on its link, or,
// where none has it, to what others say on a serial line.
type modbusSniffCmd struct {
	modbusLink
	Raw bool `help:"Print each frame's bytes too."`
}

// Run prints each frame until it is stopped.
func (c *modbusSniffCmd) Run(k *kong.Kong) error {
	ctx, stop := untilStopped()
	defer stop()
	f, _, err := c.find("")
	if err != nil {
		return err
	}
	g, err := f.gateway(ctx)
	if err != nil {
		return err
	}
	if g == nil {
		return modbus.Sniff(ctx, f.config, func(h modbus.Heard) { printHeard(k.Stdout, h, c.Raw) })
	}
	query := url.Values{"link": {g.link}}
	if c.Raw {
		query.Set("raw", "")
	}
	err = g.client.Stream(ctx, modbusSniffPath+"?"+query.Encode(), k.Stdout)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func printHeard(w io.Writer, h modbus.Heard, frames bool) {
	raw := ""
	if frames && h.Frame != nil {
		raw = fmt.Sprintf("   [% x]", h.Frame)
	}
	fmt.Fprintf(w, "%s  %s%s\n", h.Time.Format("15:04:05.000"), h.Text, raw)
}

// modbusProfilesCmd shows profiles.
type modbusProfilesCmd struct {
	Name string `arg:"" optional:"" help:"The profile to print; all are listed if left out."`
	Dir  string `default:"/etc/headgate/profiles" placeholder:"DIR" help:"The gateway's profile_dir."`
}

// Run lists the profiles, each with its version, or prints one as it is.
func (c *modbusProfilesCmd) Run(k *kong.Kong) error {
	if c.Name != "" {
		text, err := c.read(c.Name)
		if err != nil {
			return fmt.Errorf("there is no profile %s, neither in %s nor built in", c.Name, c.Dir)
		}
		_, err = k.Stdout.Write(text)
		return err
	}
	for _, name := range config.ProfileNames(c.Dir) {
		text, err := c.read(name)
		if err != nil {
			return err
		}
		title, _, _ := strings.Cut(string(text), "\n")
		fmt.Fprintf(k.Stdout, "%-24s %-8s %s\n", name, cmp.Or(config.ProfileVersion(text), "-"), strings.TrimPrefix(title, "# "))
	}
	return nil
}

// read gives the text of a profile.
func (c *modbusProfilesCmd) read(name string) ([]byte, error) {
	if filepath.Base(name) != name {
		return nil, fs.ErrNotExist
	}
	text, err := os.ReadFile(filepath.Join(c.Dir, name+".toml"))
	if errors.Is(err, fs.ErrNotExist) {
		return profiles.Files.ReadFile(name + ".toml")
	}
	return text, err
}
