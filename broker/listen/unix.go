package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// listenUnix binds a socket file. One that a dead process has left is taken
// away; one that somebody answers on is not.
func listenUnix(path, modeText string) (net.Listener, error) {
	mode, err := parseMode(modeText)
	if err != nil {
		return nil, err
	}
	ln, err := bindUnix(path, mode)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err := removeStale(path); err != nil {
			return nil, err
		}
		ln, err = bindUnix(path, mode)
	}
	return ln, err
}

func bindUnix(path string, mode fs.FileMode) (net.Listener, error) {
	// The mode is set on the socket before it has a name: the file is then never
	// open to more, not even for a moment. Where the system cannot do that,
	// Chmod below is all there is.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), uint32(mode)) })
	}}
	ln, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	// The umask took bits away.
	if err := os.Chmod(path, mode); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// removeStale removes a socket that nobody answers on, and gives an error for
// anything else.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s is there, and is no socket: remove it or name another", path)
	}
	nc, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		nc.Close()
		return fmt.Errorf("%s: somebody is listening there", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s is there, and may be in use: %w", path, err)
	}
	return os.Remove(path)
}
