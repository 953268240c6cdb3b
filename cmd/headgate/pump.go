package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"

	"headgate/adapters/derived"
	"headgate/adapters/modbus"
	"headgate/adapters/serial"
	"headgate/broker"
	"headgate/cmd/headgate/config"
	"headgate/gateway"
	"headgate/gateway/homeassistant"
	"headgate/gateway/point"
)

// fieldPump is the pump with its adapters: all that a change of [gateway],
// [homeassistant], [[modbus]], [[serial]] and [[derived]] makes anew, while the broker,
// its clients and the bridges go on.
type fieldPump struct {
	gateway *gateway.Gateway
	home    *homeassistant.Announcer
	modbus  []modbusPart
	serial  []serialPart
	client  *broker.Client
	started chan struct{} // closed when it runs in place of another
}

// serialPart is a serial line with its configuration.
type serialPart struct {
	config  serial.Config
	adapter *serial.Adapter
}

// newFieldPump makes the pump of a configuration. No port and no device is opened yet.
func newFieldPump(file *config.File, b *broker.Broker, log *slog.Logger) (*fieldPump, error) {
	f := &fieldPump{started: make(chan struct{})}
	var adapters []gateway.Adapter
	for _, c := range file.Modbus {
		a, err := modbus.New(c, log)
		if err != nil {
			return nil, err
		}
		adapters = append(adapters, a)
		f.modbus = append(f.modbus, modbusPart{c, a})
	}
	for _, c := range file.Serial {
		a, err := serial.New(c, log)
		if err != nil {
			return nil, err
		}
		adapters = append(adapters, a)
		f.serial = append(f.serial, serialPart{c, a})
	}
	if len(file.Derived) > 0 {
		var devices []point.Device
		for _, a := range adapters {
			devices = append(devices, a.Devices()...)
		}
		a, err := derived.New(file.Derived, devices, filepath.Join(file.Gateway.DataDir, "derived.totals"), log)
		if err != nil {
			return nil, err
		}
		adapters = append(adapters, a)
	}
	f.client = b.NewClient("gateway")
	var err error
	if f.gateway, err = gateway.New(file.Gateway, adapters, localPublisher{f.client}, b.Uptime, log); err != nil {
		f.client.Close()
		return nil, err
	}
	f.home = homeassistant.New(file.HomeAssistant, file.Gateway.ID, version(), f.gateway.Devices(), f.gateway, f.gateway.SayAgain, homeBroker{f.client, b}, log)
	return f, nil
}

// run runs the pump, and tells Home Assistant of its devices, until ctx ends.
func (f *fieldPump) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var telling sync.WaitGroup
	telling.Go(func() { f.home.Run(ctx) })
	err := f.gateway.Run(ctx)
	cancel()
	telling.Wait()
	return err
}

// fieldPumps runs one pump, and another in its place when it is told to.
type fieldPumps struct {
	next  chan *fieldPump
	ended chan struct{} // closed when run has returned
}

func newFieldPumps() fieldPumps { return fieldPumps{make(chan *fieldPump), make(chan struct{})} }

var errStopping = errors.New("the gateway stops")

// replacePump has another pump run in place of the one that does. It waits until
// that has ended, because a port is opened by one only: a second or two.
func (h *house) replacePump(f *fieldPump) error {
	select {
	case h.pumps.next <- f:
		<-f.started
		return nil
	case <-h.pumps.ended:
		f.client.Close()
		return errStopping
	}
}

// forgetDevices clears what is retained of devices that an earlier configuration had.
func (h *house) forgetDevices(g *gateway.Gateway) {
	filter := g.StatusFilter()
	if filter == "" {
		return
	}
	var kept []broker.Message
	h.broker.Retained(filter, func(m broker.Message) { kept = append(kept, m) })
	for _, m := range kept {
		g.ForgetStatus(m.Topic, m.Payload)
	}
}

// runPump runs the pump until ctx ends.
func (h *house) runPump(ctx context.Context) error {
	defer close(h.pumps.ended)
	for {
		f := h.pump.Load()
		h.forgetDevices(f.gateway)
		runCtx, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- f.run(runCtx) }()
		select {
		case err := <-done: // at the end of ctx, too
			cancel()
			return err
		case next := <-h.pumps.next:
			cancel()
			err := <-done
			f.client.Close()
			h.pump.Store(next)
			close(next.started)
			if err != nil {
				return err
			}
			h.log.Info("links and devices start again with their new configuration")
		}
	}
}
