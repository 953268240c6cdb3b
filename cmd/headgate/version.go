package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

// versionCmd prints which build this is.
type versionCmd struct{}

// Run prints the version, the Go release and the platform.
func (versionCmd) Run(k *kong.Kong) error {
	_, err := fmt.Fprintf(k.Stdout, "headgate %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// version is what the Go toolchain took from version control.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
