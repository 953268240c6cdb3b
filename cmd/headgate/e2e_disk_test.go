package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

// loopDisk is a file system of its own, on which the kernel can find an error.
type loopDisk struct {
	t     *testing.T
	image string
	dir   string // where it is mounted
}

func newLoopDisk(t *testing.T) *loopDisk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("not proven here: what a gateway does without its disk (loop devices want root)")
	}
	d := &loopDisk{t: t, image: filepath.Join(t.TempDir(), "image"), dir: t.TempDir()}
	d.run("truncate", "-s", "400M", d.image)
	d.run("mkfs.ext4", "-q", "-F", d.image)
	d.mount()
	t.Cleanup(func() { exec.Command("umount", "-l", d.dir).Run() })
	return d
}

func (d *loopDisk) run(args ...string) {
	d.t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		d.t.Skipf("not proven here: what a gateway does without its disk (%s: %v: %s)", strings.Join(args, " "), err, out)
	}
}

func (d *loopDisk) mount() { d.run("mount", "-o", "loop", d.image, d.dir) }

const diskConfig = `
[gateway]
id = "plant"
data_dir = "{DATA}"
[[broker.listener]]
url = "mqtt://127.0.0.1:0"
`

func TestAGatewayWhoseDiskIsGoneGoesOnWithWhatNeedsNone(t *testing.T) {
	t.Parallel()
	disk := newLoopDisk(t)
	headgate := runHeadgate(t, strings.ReplaceAll(diskConfig, "{DATA}", filepath.Join(disk.dir, "data")))
	keeper, _ := brokertest.Connect(t, headgate.addr(), packet.V5, "keeper", brokertest.Persistent)
	keeper.SubscribeTo("log", 1)
	keeper.Disconnect()
	panel, _ := brokertest.Connect(t, headgate.addr(), packet.V5, "panel")
	panel.SubscribeTo("live/#", 1)
	pub, _ := brokertest.Connect(t, headgate.addr(), packet.V5, "pub")
	for i := range 100 {
		pub.Publish("log", fmt.Sprint(i), 1)
	}
	eventually(t, "the control socket is there", func() bool { status, _ := runStatus(headgate); return status == 0 || status == exitTrouble })
	if r := reportOf(t, headgate); len(r.Alarms) != 0 {
		t.Errorf("before: %+v", r.Alarms)
	}

	disk.run("mount", "-o", "remount,abort", disk.dir)
	lost := packet.Publish{Topic: []byte("log"), Payload: []byte("not acknowledged"), QoS: 1, PacketID: 1000}
	pub.Send(lost.Append(nil, packet.V5))
	headgate.says("the disk does not take what is written")
	pub.Silent()
	live := func() {
		t.Helper()
		c, _ := brokertest.Connect(t, headgate.addr(), packet.V5, "live")
		c.Publish("live/0", "a", 0)
		panel.Want("live/0", "a", 0)
		c.Publish("live/1", "b", 1)
		panel.Want("live/1", "b", 1)
		c.Disconnect()
	}
	live()
	if r := reportOf(t, headgate); len(r.Alarms) != 1 || r.Alarms[0].Name != "disk" || r.Alarms[0].Since == nil {
		t.Errorf("alarms: %+v", r.Alarms)
	}
	if _, page := runStatus(headgate); !strings.Contains(page, "\nALARM     disk for ") {
		t.Errorf("the page says nothing of it:\n%s", page)
	}
	if rounds(0, 1) == 1 { // it takes ten seconds
		headgate.says("the disk has not taken anything for too long")
		if r := pub.Closed(); r != packet.ServerBusy {
			t.Errorf("DISCONNECT with %v, want %v", r, packet.ServerBusy)
		}
		live()
	}
	if err := headgate.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := headgate.exitStatus(); status != exitFailed {
		t.Errorf("exit status %d, want %d", status, exitFailed)
	}

	disk.run("umount", disk.dir)
	disk.mount()
	headgate.start()
	keeper, _ = brokertest.Connect(t, headgate.addr(), packet.V5, "keeper", brokertest.Persistent)
	for i := range 100 {
		keeper.Want("log", fmt.Sprint(i), 1)
	}
	headgate.terminate()
}
