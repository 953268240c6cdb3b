package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// guestConfig finds the adapter by its numbers: there is no udev in the guest.
const guestConfig = `
[gateway]
id = "plant"
data_dir = "/data"
[[broker.listener]]
url = "mqtt://127.0.0.1:1883"
[[serial]]
name = "scale"
url = "serial:usb:0403:6001?baud=115200"
parse = { regexp = '^(?P<weight>\d+) kg$' }
`

// guestInit is the guest's first program.
const guestInit = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /data
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t sysfs none /sys
/bin/busybox mount -t devtmpfs none /dev
/bin/busybox ifconfig lo 127.0.0.1 up
for m in usb-common usbcore xhci-hcd xhci-pci usbserial ftdi_sio; do /bin/busybox insmod /lib/$m.ko; done
while ! [ -e /dev/ttyUSB0 ]; do /bin/busybox usleep 50000; done
/headgate serial list
/headgate run --config /headgate.toml &
while true; do /headgate sub -h 127.0.0.1 -v -t 'plant/#'; /bin/busybox usleep 200000; done
`

// guestImage makes an initial RAM file system of a Debian kernel's drivers, busybox
// and headgate, and gives its path and that of the kernel.
func guestImage(t *testing.T) (kernel, image string) {
	t.Helper()
	dir := os.Getenv("HEADGATE_QEMU_KERNEL")
	kernels, _ := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	busybox, err := exec.LookPath("busybox")
	if _, e := exec.LookPath("qemu-system-x86_64"); dir == "" || len(kernels) != 1 || err != nil || e != nil {
		t.Skip("needs qemu-system-x86_64, busybox-static, and in HEADGATE_QEMU_KERNEL the directory of an unpacked linux-image-amd64: \".ci/proof usb\" gets them")
	}
	program := filepath.Join(t.TempDir(), "headgate")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	var cpio bytes.Buffer
	add := func(name string, mode uint32, data []byte) {
		// The "newc" format: kernel.org/doc/html/latest/driver-api/early-userspace/buffer-format.html
		fmt.Fprintf(&cpio, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
			cpio.Len(), mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
		pad := func() { cpio.Write(make([]byte, -cpio.Len()&3)) }
		pad()
		cpio.Write(data)
		pad()
	}
	file := func(name, from string) {
		t.Helper()
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		add(name, syscall.S_IFREG|0o755, data)
	}
	for _, d := range []string{"bin", "lib"} {
		add(d, syscall.S_IFDIR|0o755, nil)
	}
	file("bin/busybox", busybox)
	file("headgate", program)
	usb := filepath.Join(dir, "lib", "modules", strings.TrimPrefix(filepath.Base(kernels[0]), "vmlinuz-"), "kernel", "drivers", "usb")
	for _, m := range []string{"common/usb-common", "core/usbcore", "host/xhci-hcd", "host/xhci-pci", "serial/usbserial", "serial/ftdi_sio"} {
		file("lib/"+filepath.Base(m)+".ko", filepath.Join(usb, m+".ko"))
	}
	add("headgate.toml", syscall.S_IFREG|0o644, []byte(guestConfig))
	add("init", syscall.S_IFREG|0o755, []byte(guestInit))
	add("TRAILER!!!", 0, nil)
	image = filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, cpio.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return kernels[0], image
}

// guest is a machine with a USB serial adapter.
type guest struct {
	t       *testing.T
	line    net.Conn // the far end of the adapter's line
	control net.Conn // QMP
	answers *bufio.Scanner

	mu      sync.Mutex // guards console
	console strings.Builder
}

// hangsGuest is when a test gives up waiting for an emulated machine.
const hangsGuest = time.Minute

func startGuest(t *testing.T) *guest {
	t.Helper()
	kernel, image := guestImage(t)
	dir := t.TempDir()
	line, control := filepath.Join(dir, "line"), filepath.Join(dir, "control")
	// Emulated: KVM in a virtual machine, where tests often run, may hang.
	cmd := exec.Command("qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "512", "-nodefaults", "-no-reboot", "-display", "none",
		"-kernel", kernel, "-initrd", image, "-append", "console=ttyS0 quiet panic=-1", "-serial", "stdio",
		"-qmp", "unix:"+control+",server=on,wait=off", "-device", "qemu-xhci",
		"-chardev", "socket,id=line,path="+line+",server=on,wait=off", "-device", "usb-serial,chardev=line,id=adapter,always-plugged=on")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g := &guest{t: t}
	var reading sync.WaitGroup
	reading.Go(func() {
		for in := bufio.NewScanner(out); in.Scan(); {
			g.mu.Lock()
			g.console.WriteString(strings.TrimRight(in.Text(), "\r") + "\n")
			g.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		cmd.Process.Kill()
		reading.Wait()
		cmd.Wait()
		if t.Failed() {
			t.Logf("console:\n%s", g.console.String())
		}
	})
	dial := func(path string) (conn net.Conn) {
		eventually(t, "qemu listens at "+filepath.Base(path), func() bool {
			conn, err = net.Dial("unix", path)
			return err == nil
		})
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	g.line, g.control = dial(line), dial(control)
	g.answers = bufio.NewScanner(g.control)
	g.tell("qmp_capabilities", map[string]string{})
	return g
}

// tell gives qemu a command, and waits for its answer.
func (g *guest) tell(command string, arguments map[string]string) {
	g.t.Helper()
	b, err := json.Marshal(map[string]any{"execute": command, "arguments": arguments})
	if err != nil {
		g.t.Fatal(err)
	}
	g.control.SetDeadline(time.Now().Add(hangsGuest))
	g.control.Write(append(b, '\n'))
	for g.answers.Scan() {
		var answer struct{ Return, Error json.RawMessage }
		if err := json.Unmarshal(g.answers.Bytes(), &answer); err != nil || answer.Error != nil {
			g.t.Fatalf("%s: qemu says %s (%v)", command, g.answers.Text(), err)
		}
		if answer.Return != nil {
			return
		}
	}
	g.t.Fatalf("%s: %v", command, g.answers.Err())
}

// count says how often something stands on the console.
func (g *guest) count(pattern string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(regexp.MustCompile(pattern).FindAllString(g.console.String(), -1))
}

// wait waits until something stands on the console more than n times; repeat is done
// until then.
func (g *guest) wait(pattern string, n int, repeat func()) {
	g.t.Helper()
	for end := time.Now().Add(hangsGuest); g.count(pattern) <= n; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			g.t.Fatalf("%q stands there %d times", pattern, g.count(pattern))
		}
		repeat()
	}
}

// A real driver, in a machine of its own: the adapter is pulled and put back.
func TestAUSBAdapterIsPulledAndPutBack(t *testing.T) {
	g := startGuest(t)
	nothing := func() {}
	const online, offline = `plant/scale/status \{"status":"online"`, `plant/scale/status \{"status":"offline"[^\n]*no such USB adapter`
	g.wait(`/dev/ttyUSB0 +usb:0403:6001:\S+ QEMU QEMU USB SERIAL`, 0, nothing)
	g.wait(online, 0, nothing)
	say := func(n int) {
		t.Helper()
		g.wait(fmt.Sprintf(`plant/scale/weight \{"value":%d,`, n), 0, func() { fmt.Fprintf(g.line, "%d kg\n", n) })
	}
	say(1)
	for i := range 2 {
		on, off := g.count(online), g.count(offline)
		g.tell("device_del", map[string]string{"id": "adapter"})
		g.wait(offline, off, nothing)
		time.Sleep(2 * time.Second) // it is tried again and again meanwhile
		began := time.Now()
		g.tell("device_add", map[string]string{"driver": "usb-serial", "chardev": "line", "id": "adapter", "always-plugged": "on"})
		g.wait(online, on, nothing)
		t.Logf("open again %v after it was put back", time.Since(began).Round(time.Millisecond))
		say(i + 2)
	}
	if n := g.count("serial port is not open"); n == 0 || n > 2 {
		t.Errorf("that the port is not open is logged %d times for two unpluggings", n)
	}
}
