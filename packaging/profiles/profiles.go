// Package profiles holds what is known of widely used devices: a TOML file for
// each, with the keys of a [[modbus.device]] and its points, and a comment that
// names where the numbers are from; version in [profile] goes up whenever what its
// points say changes. It only carries the files into the program;
// cmd/headgate/config reads them, and those in the gateway's profile_dir before
// them.
package profiles

import "embed"

// Files are the profiles, "NAME.toml".
//
//go:embed *.toml
var Files embed.FS
