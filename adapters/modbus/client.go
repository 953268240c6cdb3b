package modbus

import (
	"context"
	"fmt"
	"time"

	"github.com/goburrow/modbus"
)

// transport carries one request at a time over an open link, and its answer
// back. It is used by one goroutine. It is ours because goburrow's own take a
// late answer for the next one's, sleep longer than the answer takes, and do
// not come back after an error.
type transport interface {
	// open opens the link; it may take as long as dialTimeout.
	open(ctx context.Context) error

	// close closes it. It may be called when it is not open.
	close()

	// begin sets what holds for the Sends until the next begin.
	begin(ctx context.Context, timeout time.Duration)

	// Send takes a request's ADU and gives that of its answer, and of nothing
	// else. The error is one of silence, linkError and wrongAnswer, or that of
	// the context.
	Send(request []byte) (answer []byte, err error)

	// check notes, without waiting, whether the link has failed meanwhile.
	check() error

	// lateAnswers says whether an answer that comes after its time could be
	// taken for that to a later request.
	lateAnswers() bool
}

// client makes requests to one unit: goburrow's client and packager over our
// own transport.
type client struct {
	transport transport
	modbus    modbus.Client
	noMask    bool // the unit does not know function 22
}

func newClient(unit byte, t transport) *client {
	var p modbus.Packager
	// These handlers open nothing until they are asked to send, which they are not.
	if _, ok := t.(*tcpLink); ok {
		h := modbus.NewTCPClientHandler("")
		h.SlaveId = unit
		p = h
	} else {
		h := modbus.NewRTUClientHandler("")
		h.SlaveId = unit
		p = h
	}
	return &client{transport: t, modbus: modbus.NewClient2(p, t)}
}

// read reads count bits or registers from address on: registers as they came,
// two bytes each, or bits packed low bit first.
func (c *client) read(ctx context.Context, timeout time.Duration, t table, address uint16, count int) ([]byte, error) {
	c.transport.begin(ctx, timeout)
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
