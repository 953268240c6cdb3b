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
	_, err := fmt.Fprintln(k.Stdout, thisBuild())
	return err
}

// thisBuild gives the version, the Go release and the platform.
func thisBuild() string {
	return fmt.Sprintf("headgate %s %s %s/%s", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// version is what the Go toolchain took from version control.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
