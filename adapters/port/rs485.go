package port

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// RS485 says how the kernel's driver switches a transceiver between sending and
// receiving, with the port's RTS line. The zero value leaves it alone, as is
// right for adapters that switch by themselves, which most USB ones do.
type RS485 struct {
	On       bool
	Inverted bool          // RTS is low while sending
	Before   time.Duration // from switching to the first bit, in whole milliseconds
	After    time.Duration // from the last bit to switching back, in whole milliseconds
	Hear     bool          // what is sent is received too
}

// maxRTSDelay is what the kernel takes at most. (serial_core.c, RS485_MAX_RTS_DELAY)
const maxRTSDelay = 100 * time.Millisecond

// The flags of struct serial_rs485. (linux/serial.h)
const (
	rs485Enabled      = 1 << 0
	rs485RTSOnSend    = 1 << 1
	rs485RTSAfterSend = 1 << 2
	rs485RxDuringTx   = 1 << 4
)

// kernelRS485 is struct serial_rs485.
type kernelRS485 struct {
	flags         uint32
	before, after uint32 // ms
	_             [5]uint32
}

func (r RS485) kernel() kernelRS485 {
	k := kernelRS485{flags: rs485Enabled | rs485RTSOnSend, before: uint32(r.Before.Milliseconds()), after: uint32(r.After.Milliseconds())}
	if r.Inverted {
		k.flags = rs485Enabled | rs485RTSAfterSend
	}
	if r.Hear {
		k.flags |= rs485RxDuringTx
	}
	return k
}

// apply sets it on an open port.
func (r RS485) apply(fd int) error {
	if !r.On {
		return nil
	}
	k := r.kernel()
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCSRS485, uintptr(unsafe.Pointer(&k)))
	if errno == unix.ENOTTY || errno == unix.EINVAL {
		return fmt.Errorf("its driver cannot switch RS485: leave rs485 out of the url if the adapter switches by itself: %w", errno)
	}
	if errno != 0 {
		return os.NewSyscallError("TIOCSRS485", errno)
	}
	return nil
}

// set takes one setting of the query; known is false for a key that is none.
func (r *RS485) set(key, value string) (known bool, err error) {
	switch key {
	case "rs485":
		switch value {
		case "rts":
			r.On, r.Inverted = true, false
		case "rts-inverted":
			r.On, r.Inverted = true, true
		default:
			err = fmt.Errorf("rs485=%s: want rts (high while sending) or rts-inverted (low while sending)", value)
		}
	case "rts_before":
		r.Before, err = rtsDelay(key, value)
	case "rts_after":
		r.After, err = rtsDelay(key, value)
	case "rx_during_tx":
		if r.Hear, err = strconv.ParseBool(value); err != nil {
			err = fmt.Errorf("%s=%s: want true or false", key, value)
		}
	default:
		return false, nil
	}
	return true, err
}

func rtsDelay(key, value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 || d > maxRTSDelay || d%time.Millisecond != 0 {
		return 0, fmt.Errorf("%s=%s: want whole milliseconds up to %v, like 1ms", key, value, maxRTSDelay)
	}
	return d, nil
}

// check: the other settings do nothing without rs485.
func (r RS485) check() error {
	if !r.On && r != (RS485{}) {
		return errors.New("rts_before, rts_after and rx_during_tx want rs485=rts or rs485=rts-inverted beside them")
	}
	return nil
}
