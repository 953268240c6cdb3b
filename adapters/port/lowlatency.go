package port

import (
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// asyncLowLatency has the driver hand over what has come at once. (linux/tty_flags.h,
// ASYNC_LOW_LATENCY)
const asyncLowLatency = 1 << 13

// kernelSerial is struct serial_struct. (linux/serial.h)
type kernelSerial struct {
	_     [4]int32 // type, line, port, irq
	flags int32
	_     [3]int32 // xmit_fifo_size, custom_divisor, baud_base
	_     uint16   // close_delay
	_     [2]byte  // io_type, reserved_char
	_     int32    // hub6
	_     [2]uint16
	_     uintptr // iomem_base
	_     uint16  // iomem_reg_shift
	_     uint32  // port_high
	_     uintptr // iomap_base
}

// lowLatency asks a USB adapter not to collect what comes: an FTDI keeps it for
// 16 ms, which at 19200 baud is longer than a poll of one register takes.
// Adapters that know nothing of it stay as they are.
func lowLatency(fd int, path string) {
	device, err := filepath.EvalSymlinks(path)
	if err != nil || !strings.HasPrefix(filepath.Base(device), "ttyUSB") {
		return
	}
	var s kernelSerial
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGSERIAL, uintptr(unsafe.Pointer(&s))); errno != 0 || s.flags&asyncLowLatency != 0 {
		return
	}
	s.flags |= asyncLowLatency
	unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCSSERIAL, uintptr(unsafe.Pointer(&s)))
}
