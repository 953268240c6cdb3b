package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"headgate/cmd/headgate/config"
	"headgate/cmd/headgate/control"
)

// bridgeCmd looks after the bridges of the gateway that runs here.
type bridgeCmd struct {
	Status bridgeStatusCmd `cmd:"" help:"Say how the bridges are: connection, backlog, how fast it goes up, the last error."`
	Pause  bridgePauseCmd  `cmd:"" help:"Have nothing more go up until resume, or until the gateway starts again. Commands still come down."`
	Resume bridgeResumeCmd `cmd:"" help:"End a pause."`
	Drain  bridgeDrainCmd  `cmd:"" help:"Send the backlog now, whatever replay_window says, and wait until all of it is on its way."`
	Purge  bridgePurgeCmd  `cmd:"" help:"Drop all that waits for the upstream."`
}

// bridgeFlags are what all of them take.
type bridgeFlags struct {
	Config string `placeholder:"FILE" default:"${default_config}" help:"The configuration file; by default ${default_config}."`
}

// bridgeName is the bridge that is meant.
type bridgeName struct {
	Name string `arg:"" optional:"" help:"Its name; not needed where there is one only."`
}

func (c *bridgeFlags) client() (*control.Client, error) {
	file, err := config.Load(c.Config)
	if err != nil {
		return nil, err
	}
	return control.New(control.Paths(file.Gateway.DataDir)), nil
}

// ask has the gateway do something with a bridge, and gives how that is then.
func (c *bridgeFlags) ask(action, name string) (r bridgeReport, err error) {
	client, err := c.client()
	if err == nil {
		err = client.Post(context.Background(), bridgesPath+"/"+action+"?"+url.Values{"name": {name}}.Encode(), nil, &r)
	}
	if err != nil {
		return r, fmt.Errorf("%s a bridge: %w", action, err)
	}
	return r, nil
}

type bridgeStatusCmd struct {
	bridgeFlags
	bridgeName
	JSON bool `name:"json" help:"As JSON: sizes in bytes, times in RFC 3339 or in seconds; null is what is not known."`
}

// Run prints them on a page.
func (c *bridgeStatusCmd) Run(k *kong.Kong) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	var list []bridgeReport
	if err := client.Get(context.Background(), bridgesPath, &list); err != nil {
		return fmt.Errorf("bridge status: %w", err)
	}
	if c.Name != "" {
		if list = slices.DeleteFunc(list, func(r bridgeReport) bool { return r.Name != c.Name }); len(list) == 0 {
			return fmt.Errorf("there is no bridge %q: headgate bridge status says which there are", c.Name)
		}
	}
	if c.JSON {
		e := json.NewEncoder(k.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(list)
	}
	p := reportPage{now: time.Now()}
	for i := range list {
		p.bridge(&list[i])
	}
	_, err = fmt.Fprint(k.Stdout, p.b.String())
	return err
}

type bridgePauseCmd struct {
	bridgeFlags
	bridgeName
}

// Run holds what goes up.
func (c *bridgePauseCmd) Run(k *kong.Kong) error {
	r, err := c.ask("pause", c.Name)
	if err == nil {
		fmt.Fprintf(k.Stdout, "%s is paused, %d messages wait.\n", r.Name, r.Messages)
	}
	return err
}

type bridgeResumeCmd struct {
	bridgeFlags
	bridgeName
}

// Run ends that.
func (c *bridgeResumeCmd) Run(k *kong.Kong) error {
	r, err := c.ask("resume", c.Name)
	if err == nil {
		fmt.Fprintf(k.Stdout, "%s goes on, %d messages wait.\n", r.Name, r.Messages)
	}
	return err
}

type bridgeDrainCmd struct {
	bridgeFlags
	bridgeName
}

// drainLook is the time between two looks at a backlog that drains.
const drainLook = 200 * time.Millisecond

// Run waits, with a bar on a terminal, until what waits is on its way, or a signal
// comes.
func (c *bridgeDrainCmd) Run(k *kong.Kong) error {
	ctx, stop := untilStopped()
	defer stop()
	r, err := c.ask("drain", c.Name)
	if err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	bar := newProgress(k.Stderr, int(max(r.Messages, 1)))
	defer bar.clear()
	look := time.NewTicker(drainLook)
	defer look.Stop()
	for r.Messages > int64(r.InFlight) {
		if strings.HasPrefix(r.Held, "paused") {
			return fmt.Errorf("%s is paused: headgate bridge resume %s", r.Name, r.Name)
		}
		bar.draw(bar.steps-int(r.Messages), r.draining())
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("%d messages wait still, and go on going up", r.Messages)
		}
		var list []bridgeReport
		if err := client.Get(ctx, bridgesPath, &list); err != nil {
			return fmt.Errorf("drain a bridge: %w", err)
		}
		i := slices.IndexFunc(list, func(x bridgeReport) bool { return x.Name == r.Name })
		if i < 0 {
			return fmt.Errorf("there is no bridge %s any more", r.Name)
		}
		r = list[i]
	}
	bar.clear()
	fmt.Fprintf(k.Stdout, "Nothing waits for %s any more.\n", r.Name)
	return nil
}

// draining says how far it is.
func (r *bridgeReport) draining() string {
	text := fmt.Sprintf("%d messages wait", r.Messages)
	if r.State != "connected" {
		return text + ", " + r.State + ": " + r.LastError
	}
	if r.Rate > 0 {
		text += fmt.Sprintf(", %.0f a second go up", r.Rate)
	}
	if r.Left != nil {
		text += ", " + lasting(time.Duration(*r.Left*1e9)) + " left"
	}
	return text
}

type bridgePurgeCmd struct {
	bridgeFlags
	bridgeName
	Yes bool `short:"y" help:"Do not ask."`
}

// Run asks, and drops what waits.
func (c *bridgePurgeCmd) Run(k *kong.Kong) error {
	if !c.Yes && !confirmed(os.Stdin, k.Stderr, "All messages that wait for the upstream are lost then. Purge them?") {
		return errors.New("nothing was purged: answer yes, or say --yes")
	}
	r, err := c.ask("purge", c.Name)
	if err == nil {
		fmt.Fprintf(k.Stdout, "%d messages purged.\n", r.Purged)
	}
	return err
}
