package main

import (
	"errors"
	"time"
)

// demoCmd shows the whole at work.
type demoCmd struct {
	For time.Duration `placeholder:"20s" help:"End by itself after this time; exit status 1 if a message was lost."`
}

func (c *demoCmd) Run() error { return errors.New("demo: not in this build") }
