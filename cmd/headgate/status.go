package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/alecthomas/kong"

	"headgate/cmd/headgate/config"
	"headgate/cmd/headgate/control"
)

// statusCmd asks the gateway that runs here how it is.
type statusCmd struct {
	configFile
	JSON bool `name:"json" help:"As JSON: sizes in bytes, times in RFC 3339 or in seconds; null is what is not known."`
}

const statusPath = "/api/v1/status"

// Run prints it on a page.
func (c *statusCmd) Run(k *kong.Kong) error {
	file, err := config.Load(c.path())
	if err != nil {
		return err
	}
	var r statusReport
	if err := control.New(control.Paths(file.Gateway.DataDir)).Get(context.Background(), statusPath, &r); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	if c.JSON {
		e := json.NewEncoder(k.Stdout)
		e.SetIndent("", "  ")
		err = e.Encode(r)
	} else {
		page := r.page()
		if isTerminal(k.Stdout) {
			page = wrapped(page, widthOf(k.Stdout))
		}
		_, err = io.WriteString(k.Stdout, page)
	}
	if err == nil && r.inTrouble() {
		return &ended{status: exitTrouble}
	}
	return err
}
