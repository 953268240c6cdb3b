package modbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"headgate/gateway/point"
)

// Request is one request to a unit that a person makes with a tool, beside all
// polling: any unit, any register, whatever the config says of them.
type Request struct {
	Unit     uint8  `json:"unit"`
	Register string `json:"register"` // the first one, like "holding:100"
	Count    int    `json:"count"`    // of registers or bits; those that Write has, for a write

	// Write is what to write; nil: it reads.
	Write *Write `json:"write,omitempty"`

	// Timeout is how long the unit may take to answer; 0: as the link's config says.
	Timeout time.Duration `json:"timeout,omitempty"`
}

// Write is what a Request writes.
type Write struct {
	Data     []byte `json:"data"`               // of registers two bytes each, of a coil one, 0 or 1
	Mask     []byte `json:"mask,omitempty"`     // which bits of Data are meant; nil: all
	Function byte   `json:"function,omitempty"` // that writes; 0: the one that fits
}

// Answer is what a unit has answered.
type Answer struct {
	Data []byte        `json:"data"` // that was read: registers as they came, or bits packed low bit first
	Took time.Duration `json:"took"` // from the request's first byte to the answer's last
}

// checkedRequest is a request that can be made.
type checkedRequest struct {
	Request
	register register
}

// prepare checks what can be checked without the unit.
func (r Request) prepare(l link) (checkedRequest, error) {
	reg, err := parseRegister(r.Register)
	if err != nil {
		return checkedRequest{}, fmt.Errorf("register %w", err)
	}
	if l.onSerialLine() && r.Unit == 0 { // some are shipped with one above 247, and must be told another
		return checkedRequest{}, errors.New("unit 0: want 1 to 255")
	}
	most := reg.table.maxRead()
	if w := r.Write; w != nil {
		r.Count, most = len(w.Data)/2, maxWrite
		if reg.table.isBits() {
			r.Count, most = len(w.Data), 1
		}
		if !reg.table.writable() {
			return checkedRequest{}, fmt.Errorf("%s can only be read: the protocol has no function that writes it", reg.table.span(reg.address, r.Count))
		}
		if w.Mask != nil && len(w.Mask) != len(w.Data) {
			return checkedRequest{}, errors.New("mask and data differ in length")
		}
	}
	if r.Count < 1 || r.Count > most || int(reg.address)+r.Count > 1<<16 {
		return checkedRequest{}, fmt.Errorf("%d from %s on: want 1 to %d, and 65535 is the last address", r.Count, r.Register, most)
	}
	return checkedRequest{r, reg}, nil
}

// maxWrite is how many registers function 23 may write, and 16 a few more.
// [MB-APP 6.12, 6.17]
const maxWrite = 121

// WireTime is what a request and its answer take on the link's serial line, with
// the silence that the protocol wants around them, a unit that answers at once
// taken for granted; 0 where there is no RTU line that is known.
func (c *Config) WireTime(r Request) time.Duration {
	l, err := parseURL(c.URL)
	if err != nil || l.framing != rtu || l.mode.Baud <= 0 {
		return 0
	}
	q, err := r.prepare(l)
	if err != nil {
		return 0
	}
	data := 2 * q.Count
	if q.register.table.isBits() {
		data = (q.Count + 7) / 8
	}
	request, answer := writeFrame, 5+data
	if r.Write != nil && len(r.Write.Data) > 2 {
		request, answer = 9+data, writeFrame
	}
	return l.mode.WireTime(request+answer) + 2*l.frameGap()
}

// what names the request for its errors.
func (r *checkedRequest) what() string {
	verb := "read"
	if r.Write != nil {
		verb = "write"
	}
	return fmt.Sprintf("%s %s of unit %d", verb, r.register.table.span(r.register.address, r.Count), r.Unit)
}

// make makes the request.
func (r *checkedRequest) make(ctx context.Context, c *client, timeout time.Duration) (Answer, error) {
	if r.Timeout > 0 {
		timeout = r.Timeout
	}
	began := time.Now()
	var a Answer
	var err error
	if w := r.Write; w != nil {
		err = c.apply(ctx, timeout, change{register: r.register, data: slices.Clone(w.Data), mask: w.Mask, function: w.Function})
	} else {
		a.Data, err = c.read(ctx, timeout, r.register.table, r.register.address, r.Count)
	}
	a.Took = time.Since(began)
	return a, err
}

// Format is how a value stands in a unit's registers: a point without a device.
type Format struct{ field field }

// NewFormat makes the format of a point, of which register, type, order and what
// follows from them count. The error names every fault.
func NewFormat(p Point) (Format, error) {
	d := Device{Point: []Point{p}}
	d.Point[0].Name, d.Point[0].Interval = "value", defaultInterval
	d.Point[0].setDefaults(&d)
	var faults []error
	d.checkPoint(&d.Point[0], func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %w", key, fmt.Errorf(format, args...)))
	})
	if len(faults) > 0 {
		return Format{}, errors.Join(faults...)
	}
	f, err := newField(d, d.Point[0])
	return Format{f}, err
}

// Read is the request that reads the value.
func (f Format) Read(unit uint8) Request {
	return Request{Unit: unit, Register: tableNames[f.field.register.table] + fmt.Sprintf(":%d", f.field.register.address), Count: f.field.size()}
}

// Write is the request that writes the value; the error says what it can be.
func (f Format) Write(unit uint8, v point.Value) (Request, error) {
	c, err := f.field.encode(v)
	if err != nil {
		return Request{}, err
	}
	return Request{
		Unit: unit, Register: tableNames[c.register.table] + fmt.Sprintf(":%d", c.register.address),
		Write: &Write{Data: c.data, Mask: c.mask, Function: c.function},
	}, nil
}

// Decode makes the value of what Read has read; the error says why there is none.
func (f Format) Decode(data []byte) (point.Value, error) {
	want := 2 * f.field.size()
	if f.field.register.table.isBits() {
		want = 1
	}
	if len(data) != want {
		return point.Value{}, fmt.Errorf("%d bytes were read, not %d", len(data), want)
	}
	return f.field.decode(data)
}
