package store

import (
	"io/fs"
	"syscall"
)

// blocks is what a file takes on disk.
func blocks(info fs.FileInfo) int64 { return info.Sys().(*syscall.Stat_t).Blocks * 512 }
