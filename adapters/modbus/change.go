package modbus

import (
	"context"
	"encoding/binary"
	"errors"
	"time"
)

// change is what a write makes of a device.
type change struct {
	register register
	data     []byte // of a register table two bytes each; of coils one, 0 or 1
	mask     []byte // of data: which of the bits are meant; nil: all
	function byte   // that the config names; 0: the one that fits
}

// The functions that write. [MB-APP 6]
const (
	writeSingleCoil        = 5
	writeSingleRegister    = 6
	writeMultipleCoils     = 15
	writeMultipleRegisters = 16
	maskWriteRegister      = 22
	readWriteRegisters     = 23
)

// apply makes the change: a coil by function 5, one register by 6, more by 16,
// unless the change names another. Bits of one register are set by function 22,
// which the device does as one; where it has no such function, and for bits of
// more registers, they are read, changed and written, which nobody else on this
// link can come between.
func (c *client) apply(ctx context.Context, timeout time.Duration, w change) error {
	if w.mask == nil {
		return c.write(ctx, timeout, w)
	}
	if len(w.data) == 2 && (w.function == 0 && !c.noMask || w.function == maskWriteRegister) {
		err := c.setBits(ctx, timeout, w)
		if !errors.Is(err, illegalFunction) || w.function != 0 {
			return err
		}
		c.noMask = true
	}
	now, err := c.read(ctx, timeout, w.register.table, w.register.address, len(w.data)/2)
	if err != nil {
		return err
	}
	for i := range now {
		now[i] = now[i]&^w.mask[i] | w.data[i]&w.mask[i]
	}
	w.data, w.mask = now, nil
	return c.write(ctx, timeout, w)
}

// setBits sets the bits of a register by function 22: what stands there AND the
// first mask, OR the second. [MB-APP 6.16]
func (c *client) setBits(ctx context.Context, timeout time.Duration, w change) error {
	c.transport.begin(ctx, c, timeout)
	_, err := c.modbus.MaskWriteRegister(w.register.address, ^binary.BigEndian.Uint16(w.mask), binary.BigEndian.Uint16(w.data))
	return explain(err)
}

// write writes the whole of the data.
func (c *client) write(ctx context.Context, timeout time.Duration, w change) error {
	c.transport.begin(ctx, c, timeout)
	address, count := w.register.address, uint16(len(w.data)/2)
	var err error
	switch {
	case w.register.table == coils && w.function == writeMultipleCoils:
		_, err = c.modbus.WriteMultipleCoils(address, 1, w.data)
	case w.register.table == coils:
		var value uint16
		if w.data[0] != 0 {
			value = 0xff00 // [MB-APP 6.5]
		}
		_, err = c.modbus.WriteSingleCoil(address, value)
	case w.function == readWriteRegisters:
		_, err = c.modbus.ReadWriteMultipleRegisters(address, count, address, count, w.data)
	case count == 1 && w.function != writeMultipleRegisters:
		_, err = c.modbus.WriteSingleRegister(address, binary.BigEndian.Uint16(w.data))
	default:
		_, err = c.modbus.WriteMultipleRegisters(address, count, w.data)
	}
	return explain(err)
}
