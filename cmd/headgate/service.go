package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// service is the gateway's way to the service manager that started it: systemd, or
// whoever sets NOTIFY_SOCKET. Without one, nobody is told anything. [sd_notify(3)]
type service struct {
	socket   string
	watchdog time.Duration // the manager wants to hear within it; 0: it does not
}

// newService takes from the environment what the manager has put there.
func newService(getenv func(string) string) *service {
	s := &service{socket: getenv("NOTIFY_SOCKET")}
	if pid := getenv("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
		if us, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && us > 0 && s.socket != "" {
			s.watchdog = time.Duration(us) * time.Microsecond
		}
	}
	return s
}

// tell sends a state, such as READY=1. A manager that does not listen changes
// nothing for the gateway, so that the error is only for who wants to log it.
func (s *service) tell(state string) error {
	if s == nil || s.socket == "" {
		return nil
	}
	// A name that begins with @ is in the abstract name space, as Go has it too.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell the service manager %q: %w", state, err)
	}
	defer c.Close()
	c.SetWriteDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("tell the service manager %q: %w", state, err)
	}
	return nil
}

// reloading says that a reload begins; READY=1 ends it.
func (s *service) reloading() error {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return s.tell(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000))
}
