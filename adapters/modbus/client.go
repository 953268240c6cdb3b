package modbus

import (
	"context"
	"fmt"
	"time"

	"github.com/goburrow/modbus"
)

// client makes requests to one unit: goburrow's client and packager over our
// own transport.
type client struct {
	transport *transport
	modbus    modbus.Client
	unit      byte
	delay     time.Duration // least silence before a request
	noMask    bool          // the unit does not know function 22
}

func newClient(unit byte, t *transport) *client {
	return &client{transport: t, unit: unit, modbus: modbus.NewClient2(newPackager(t.link.framing, unit), t)}
}

// read reads count bits or registers from address on: registers as they came,
// two bytes each, or bits packed low bit first.
func (c *client) read(ctx context.Context, timeout time.Duration, t table, address uint16, count int) ([]byte, error) {
	c.transport.begin(ctx, c, timeout)
	f := [...]func(address, quantity uint16) ([]byte, error){
		coils:            c.modbus.ReadCoils,
		discreteInputs:   c.modbus.ReadDiscreteInputs,
		inputRegisters:   c.modbus.ReadInputRegisters,
		holdingRegisters: c.modbus.ReadHoldingRegisters,
	}[t]
	data, err := f(address, uint16(count))
	if err != nil {
		return nil, explain(err)
	}
	want := 2 * count
	if t.isBits() {
		want = (count + 7) / 8
	}
	// The library does not compare them.
	if len(data) != want {
		return nil, &wrongAnswer{fmt.Sprintf("the answer has %d bytes of data, not %d", len(data), want)}
	}
	return data, nil
}
