package modbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"headgate/gateway/point"
)

// Setup is one table of a device's setup: what is written whenever it comes online,
// unless it stands there already, which is not looked up where no_read forbids it.
type Setup struct {
	// Register is the table and the address, of a holding register or a coil.
	Register string `toml:"register"`

	// Type is how the value stands there, as that of a point.
	Type string `toml:"type"`

	// Order is the order of its bytes. Default: the device's.
	Order string `toml:"order"`

	// Bits takes a part of it, as in a point; the other bits stay as they are.
	Bits string `toml:"bits"`

	// Value is what is written: a number, true or false, or a time.
	Value any `toml:"value"`

	// WriteFunction is the function code that writes it. Default: the one that fits.
	WriteFunction uint8 `toml:"write_function"`
}

// maxSetup is how many a device may have: they go before all polls.
const maxSetup = 16

// point is the setup as a point of the device.
func (s Setup) point(d *Device) Point {
	p := Point{Name: "setup", Register: s.Register, Type: s.Type, Order: s.Order, Bits: s.Bits, WriteFunction: s.WriteFunction, Access: "rw", Interval: d.Interval}
	p.setDefaults(d)
	return p
}

// setup is one that is ready to be written.
type setup struct {
	field  *field
	change change
}

func newSetup(d Device, s Setup) (setup, error) {
	f, err := newField(d, s.point(&d))
	if err != nil {
		return setup{}, err
	}
	v, ok := valueOf(s.Value)
	if !ok {
		return setup{}, fmt.Errorf("%v: want a number, true or false, or a text in quotes", s.Value)
	}
	c, err := f.encode(v)
	return setup{&f, c}, err
}

// valueOf is a value as TOML has it.
func valueOf(v any) (point.Value, bool) {
	switch v := v.(type) {
	case bool:
		return point.OfBool(v), true
	case int64:
		return point.OfInt(v), true
	case float64:
		return point.OfFloat(v), true
	case string:
		return point.OfString(v), true
	}
	return point.Value{}, false
}

// checkSetup checks what is written when the device comes online.
func (d *Device) checkSetup(fault faultFunc) {
	if n := len(d.Setup); n > maxSetup {
		fault("setup", "%d: a device may have %d", n, maxSetup)
	}
	for i, s := range d.Setup {
		sound := true
		inSetup := func(key, format string, args ...any) {
			sound = false
			fault(fmt.Sprintf("setup[%d].%s", i, key), format, args...)
		}
		p := s.point(d)
		if s.Value == nil {
			inSetup("value", "is missing: want what to write")
		}
		if d.checkPoint(&p, inSetup); !sound {
			continue
		}
		ready, err := newSetup(*d, s)
		if err != nil {
			inSetup("value", "%v", err)
			continue
		}
		if l, err := d.limits(); err == nil && ready.change.mask != nil && s.WriteFunction != maskWriteRegister && l.forbids(spanOf(ready.field)) {
			inSetup("bits", "to leave its other bits as they are the register must be read, which is forbidden; want write_function = %d, where the device knows that", maskWriteRegister)
		}
	}
}

// setUp has the device's setup written, before any poll: it has come online.
func (a *Adapter) setUp(d *device) {
	for _, s := range d.setup {
		a.pending = append(a.pending, &write{ctx: context.Background(), device: d, field: s.field, change: s.change, setup: true, result: make(chan written, 1)})
	}
}

// doSetup writes one that does not stand there already: a device that comes and goes
// may keep it in a memory that can be written 100,000 times. The error is that of the
// link or of ctx. It may be written twice.
func (a *Adapter) doSetup(ctx context.Context, w *write) error {
	d, u := w.device, w.device.unit
	if u.presence != online || u.away() {
		return nil // all of it is written when it comes back
	}
	sent, written := time.Now(), false
	err := a.exchange(ctx, true, func() error {
		sent = time.Now()
		if d.limits.forbids(spanOf(w.field)) {
			written = true
			return u.client.apply(ctx, d.timeout, w.change)
		}
		var refused exception
		data, err := u.client.read(ctx, d.timeout, w.change.register.table, w.change.register.address, w.field.size())
		switch {
		case err == nil && w.change.stands(data), isSilence(err), err != nil && !errors.As(err, &refused):
			return err
		}
		written = true
		return u.client.apply(ctx, d.timeout, w.change)
	})
	now := time.Now()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case isLink(err):
		return err
	}
	a.outcome(u, d, now, now.Sub(sent), err)
	switch {
	case err == nil && written:
		a.count(func() { d.stats.Writes++ })
	case isSilence(err) && u.presence == online && !u.away():
		a.pending = append(a.pending, w)
	case err != nil && !isSilence(err):
		a.log.Warn("device cannot be set up", "device", d.name, "register", w.field.register.table.span(w.change.register.address, w.field.size()), "err", err)
	}
	return nil
}

// stands says whether what was read is what the change would make of it.
func (c change) stands(data []byte) bool {
	if c.register.table.isBits() {
		return data[0]&1 == c.data[0]
	}
	for i, b := range data {
		differs := b ^ c.data[i]
		if c.mask != nil {
			differs &= c.mask[i]
		}
		if differs != 0 {
			return false
		}
	}
	return true
}
