package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

// versionCmd prints which build this is.
type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(k *kong.Kong) error {
	_, err := fmt.Fprintln(k.Stdout, version())
	return err
}

// version gives the version that the Go toolchain took from version control, the
// Go release and the platform.
func version() string {
	version := "(unknown)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	return fmt.Sprintf("headgate %s %s %s/%s", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
