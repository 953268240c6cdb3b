package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// networkPause is between two looks of a networkWatch: a network that comes back
// says so in many steps, the link first and the default route last.
const networkPause = 250 * time.Millisecond

// networkWatch hears from the kernel that the machine's network changes. [rtnetlink(7)]
type networkWatch struct {
	socket *os.File
	known  map[string]bool // of the last look
}

func openNetworkWatch() (*networkWatch, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	const groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV6_ROUTE
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen to the kernel's route messages: %w", err)
	}
	return &networkWatch{socket: os.NewFile(uintptr(fd), "netlink"), known: network()}, nil
}

// run calls changed when there is a link, an address or a route that was not there
// before, at most every networkPause, until ctx ends. What goes away is noticed
// where it matters. The kernel's messages only say when to look: they also come
// when a lifetime is renewed.
func (w *networkWatch) run(ctx context.Context, changed func()) error {
	stop := context.AfterFunc(ctx, func() { w.socket.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	defer w.socket.Close()
	message := make([]byte, 64<<10)
	for ctx.Err() == nil {
		_, err := w.socket.Read(message)
		if ctx.Err() != nil {
			break
		}
		if err != nil && !errors.Is(err, unix.ENOBUFS) { // then there was more than the kernel kept
			return fmt.Errorf("read the kernel's route messages: %w", err)
		}
		now, isNew := network(), false
		for what := range now {
			isNew = isNew || !w.known[what]
		}
		w.known = now
		if isNew {
			changed()
		}
		pause := time.NewTimer(networkPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// network lists the links that are up, the addresses and the routes. What cannot
// be read is left out.
func network() map[string]bool {
	all := make(map[string]bool)
	links, _ := net.Interfaces()
	for _, link := range links {
		if link.Flags&net.FlagUp == 0 || link.Flags&net.FlagRunning == 0 {
			continue
		}
		all["link "+link.Name] = true
		addresses, _ := link.Addrs()
		for _, a := range addresses {
			all["address "+link.Name+" "+a.String()] = true
		}
	}
	for file, columns := range map[string][]int{ // destination, its mask, gateway and link
		"/proc/net/route":      {1, 7, 2, 0},
		"/proc/net/ipv6_route": {0, 1, 4, 9},
	} {
		text, _ := os.ReadFile(file)
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 10 {
				continue
			}
			route := "route"
			for _, c := range columns {
				route += " " + fields[c]
			}
			all[route] = true
		}
	}
	return all
}

// watchNetwork has the bridges try again at once when the network is back. Without
// netlink they do in their own time.
func (h *house) watchNetwork(ctx context.Context) error {
	w, err := openNetworkWatch()
	if err == nil {
		err = w.run(ctx, func() {
			h.log.Debug("network changed")
			for _, b := range h.bridges() {
				b.Retry()
			}
		})
	}
	if err != nil {
		h.log.Warn("changes of the network go unseen: after an outage bridges connect up to max_backoff later", "err", err)
	}
	return nil
}
