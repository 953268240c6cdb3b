package port

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Info is one serial port of this machine.
type Info struct {
	Path    string   // like /dev/ttyUSB0
	USB     string   // how an Address names it, like usb:0403:6001:A50285BI; "" for one that is not on USB
	Maker   string   // of the USB adapter, as it says itself
	Product string   // the same
	Links   []string // the names of it that last, below /dev/serial
	Holders []Holder // who has it open, as far as we may know
}

// Holder is a process that has a port open.
type Holder struct {
	PID  int
	Name string // of its program; "" where it is not to be seen
}

// List gives the serial ports, by name. It opens none of them: that can disturb
// what is on the line. Whose files we may not see is found only if he has locked
// the port, as headgate does.
func List() []Info { return listIn("/sys/class/tty", "/dev", "/proc") }

func listIn(class, dev, proc string) []Info {
	var ports []Info
	devices, _ := filepath.Glob(filepath.Join(class, "*", "device"))
	for _, device := range devices {
		dir := filepath.Dir(device)
		// A port without a type is a place for one that is not there. (linux/serial.h, PORT_UNKNOWN)
		if attribute(dir, "type") == "0" {
			continue
		}
		p := Info{Path: filepath.Join(dev, filepath.Base(dir))}
		if u, ok := usbOf(device); ok {
			p.USB, p.Maker, p.Product = u.String(), u.maker, u.name
		}
		ports = append(ports, p)
	}
	for _, kind := range []string{"by-id", "by-path"} {
		links, _ := filepath.Glob(filepath.Join(dev, "serial", kind, "*"))
		for _, link := range links {
			to, err := filepath.EvalSymlinks(link)
			if i := slices.IndexFunc(ports, func(p Info) bool { return p.Path == to }); err == nil && i >= 0 {
				ports[i].Links = append(ports[i].Links, link)
			}
		}
	}
	addHolders(ports, proc)
	slices.SortFunc(ports, func(a, b Info) int {
		return cmp.Or(cmp.Compare(len(a.Path), len(b.Path)), strings.Compare(a.Path, b.Path)) // ttyS9 before ttyS10
	})
	return ports
}

// String gives the name that parseUSB reads.
func (u usbName) String() string {
	name := usbPrefix + u.vendor + ":" + u.product
	if u.number == "" {
		return name
	}
	return name + ":" + strings.NewReplacer("%", "%25", "?", "%3F", "#", "%23", " ", "%20").Replace(u.number)
}

// WithHolder says in an error that wraps ErrBusy who has the port at path open, where
// that is to be seen. It looks at the files of all processes, and is not for every try.
func WithHolder(err error, path string) error {
	if !errors.Is(err, ErrBusy) {
		return err
	}
	if by := heldBy(path); by != "" {
		return fmt.Errorf("%w; it is open in %s", err, by)
	}
	return err
}

// heldBy gives "minicom, process 812; ..."; "" where nobody is seen.
func heldBy(path string) string {
	path, err := device(path)
	if err != nil {
		return ""
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	ports := []Info{{Path: path}}
	addHolders(ports, "/proc")
	var names []string
	for _, h := range ports[0].Holders {
		names = append(names, h.String())
	}
	return strings.Join(names, "; ")
}

// String gives "minicom, process 812".
func (h Holder) String() string {
	return fmt.Sprintf("%s, process %d", cmp.Or(h.Name, "a program that is not to be seen"), h.PID)
}

// addHolders looks for the ports among the open files of all processes, and among
// the locks.
func addHolders(ports []Info, proc string) {
	byPath, byNode := map[string]*Info{}, map[string]*Info{}
	for i := range ports {
		p := &ports[i]
		byPath[p.Path] = p
		if info, err := os.Stat(p.Path); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				byNode[fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)] = p
			}
		}
	}
	files, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "fd", "*"))
	for _, file := range files {
		if to, err := os.Readlink(file); err == nil && byPath[to] != nil {
			byPath[to].hold(proc, filepath.Base(filepath.Dir(filepath.Dir(file))))
		}
	}
	locks, err := os.Open(filepath.Join(proc, "locks"))
	if err != nil {
		return
	}
	defer locks.Close()
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		// 1: FLOCK  ADVISORY  WRITE 4711 00:05:123 0 EOF
		f := strings.Fields(lines.Text())
		if len(f) > 5 && byNode[f[5]] != nil {
			byNode[f[5]].hold(proc, f[4])
		}
	}
}

// hold adds a holder, once.
func (p *Info) hold(proc, pid string) {
	n, err := strconv.Atoi(pid)
	if err != nil || n <= 0 || slices.ContainsFunc(p.Holders, func(h Holder) bool { return h.PID == n }) {
		return
	}
	p.Holders = append(p.Holders, Holder{n, attribute(filepath.Join(proc, pid), "comm")})
}
