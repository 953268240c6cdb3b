package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"headgate/adapters/derived"
	"headgate/adapters/modbus"
	"headgate/adapters/serial"
	"headgate/broker"
	"headgate/cmd/headgate/config"
	"headgate/gateway"
	"headgate/gateway/homeassistant"
	"headgate/gateway/point"
)

// fieldPump is the pump with its adapters: what [gateway], [homeassistant],
// [[modbus]], [[serial]] and [[derived]] say, while the broker, its clients and the
// bridges go on. It does not change: other tables are another fieldPump, which shares
// the pump with the one before unless [gateway] has changed, and the adapters whose
// tables are the same.
type fieldPump struct {
	gateway  *gateway.Gateway
	client   *broker.Client // the gateway's
	adapters []gateway.Adapter
	home     *homeassistant.Announcer
	ears     *broker.Client // home hears by it
	modbus   []modbusPart
	serial   []serialPart
	derived  derivedPart
}

// serialPart is a serial line with its configuration.
type serialPart struct {
	config  serial.Config
	adapter *serial.Adapter
}

// derivedPart is what is computed, with its configuration; without any its adapter is nil.
type derivedPart struct {
	config  []derived.Config
	adapter *derived.Adapter
}

// newFieldPump makes the pump of a configuration, with what stays as it was of the one
// that runs: nil has everything made anew. No port and no device is opened yet.
func newFieldPump(file *config.File, was *fieldPump, b *broker.Broker, log *slog.Logger) (*fieldPump, error) {
	f := &fieldPump{}
	before := was
	if was == nil {
		before = f
	}
	if err := f.makeAdapters(file, before, log); err != nil {
		return nil, err
	}
	if was != nil {
		f.gateway, f.client = was.gateway, was.client
	} else {
		f.client = b.NewClient("gateway")
		var err error
		if f.gateway, err = gateway.New(file.Gateway, f.adapters, localPublisher{f.client}, b.Uptime, log); err != nil {
			f.client.Close()
			return nil, err
		}
	}
	f.ears = b.NewClient("homeassistant")
	f.home = homeassistant.New(file.HomeAssistant, file.Gateway.ID, version(), f.devices(), f.gateway, f.gateway.SayAgain, homeBroker{f.client, f.ears, b}, log)
	return f, nil
}

// makeAdapters makes the adapters of a configuration, or takes those that there were.
func (f *fieldPump) makeAdapters(file *config.File, was *fieldPump, log *slog.Logger) error {
	oldModbus, oldSerial := was.modbus, was.serial
	for _, c := range file.Modbus {
		part := modbusPart{config: c}
		for _, old := range oldModbus {
			if reflect.DeepEqual(old.config, c) {
				part = old
			}
		}
		if part.adapter == nil {
			var err error
			if part.adapter, err = modbus.New(c, log); err != nil {
				return err
			}
		}
		f.modbus, f.adapters = append(f.modbus, part), append(f.adapters, part.adapter)
	}
	for _, c := range file.Serial {
		part := serialPart{config: c}
		for _, old := range oldSerial {
			if reflect.DeepEqual(old.config, c) {
				part = old
			}
		}
		if part.adapter == nil {
			var err error
			if part.adapter, err = serial.New(c, log); err != nil {
				return err
			}
		}
		f.serial, f.adapters = append(f.serial, part), append(f.adapters, part.adapter)
	}
	if len(file.Derived) == 0 {
		return nil
	}
	devices := f.devices()
	part := was.derived
	if part.adapter == nil || !reflect.DeepEqual(part.config, file.Derived) || !part.adapter.Fits(devices) {
		a, err := derived.New(file.Derived, devices, filepath.Join(file.Gateway.DataDir, "derived.totals"), log)
		if err != nil {
			return err
		}
		part = derivedPart{file.Derived, a}
	}
	f.derived, f.adapters = part, append(f.adapters, part.adapter)
	return nil
}

// devices are those of the adapters, in the order of the configuration.
func (f *fieldPump) devices() []point.Device {
	var all []point.Device
	for _, a := range f.adapters {
		all = append(all, a.Devices()...)
	}
	return all
}

// others names those of its adapters that another one has not got, and those of that one
// that it has not got.
func (f *fieldPump) others(than *fieldPump) (names []string) {
	for _, pair := range [][2]*fieldPump{{f, than}, {than, f}} {
		for _, a := range pair[0].adapters {
			if !slices.Contains(pair[1].adapters, a) && !slices.Contains(names, a.Name()) {
				names = append(names, a.Name())
			}
		}
	}
	return names
}

// announce tells Home Assistant of the devices, until stop is called, which waits.
func (f *fieldPump) announce() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.home.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
		f.ears.Close()
	}
}

// fieldPumps runs one pump, and another in its place when it is told to.
type fieldPumps struct {
	next  chan replacement
	ended chan struct{} // closed when run has returned
}

// replacement is a call of replacePump.
type replacement struct {
	pump *fieldPump
	done chan error // has room for one
}

func newFieldPumps() fieldPumps { return fieldPumps{make(chan replacement), make(chan struct{})} }

// replaceTime is how long a pump, or those of its adapters that are to end, may take for
// that, and another one until it hears commands.
const replaceTime = 20 * time.Second

var (
	errStopping = errors.New("the gateway stops")
	errStuck    = fmt.Errorf("links and devices have not ended within %v: they start again when they have", replaceTime)
)

// replacePump has another pump run in place of the one that does, and returns when that
// one hears commands. It waits until the one before, or those of its adapters that are
// not in the other, have ended, because a port is opened by one only: a second or two,
// and no longer than replaceTime. After an error, but for errStuck, the pump before runs.
func (h *house) replacePump(f *fieldPump) error {
	r := replacement{f, make(chan error, 1)}
	late := time.NewTimer(replaceTime)
	defer late.Stop()
	err := errStuck
	select {
	case h.pumps.next <- r:
		return h.replaced(r, late.C)
	case <-h.pumps.ended:
		err = errStopping
	case <-late.C:
	}
	f.ears.Close()
	if f.client != h.pump.Load().client {
		f.client.Close()
	}
	return err
}

// replaced waits for a replacement that is under way.
func (h *house) replaced(r replacement, late <-chan time.Time) error {
	select {
	case err := <-r.done:
		if err != nil {
			return err
		}
	case <-late:
		return errStuck
	}
	select {
	case <-r.pump.gateway.Listening():
		return nil
	case <-h.pumps.ended:
		return errStopping
	case <-late:
		return errStuck
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
		go func() { done <- f.gateway.Run(runCtx) }()
		next, err := h.servePump(f, done)
		cancel()
		if next.pump == nil { // at the end of ctx, too
			return err
		}
		err = <-done
		f.client.Close()
		h.pump.Store(next.pump)
		next.done <- nil
		if err != nil {
			return err
		}
		h.log.Info("links and devices start again with their new configuration")
	}
}

// servePump changes adapters while a gateway runs, until that has ended, with the error
// from done, or until another is to run.
func (h *house) servePump(f *fieldPump, done <-chan error) (other replacement, err error) {
	stop := f.announce()
	defer func() { stop() }()
	for {
		select {
		case err := <-done:
			return replacement{}, err
		case r := <-h.pumps.next:
			if r.pump.gateway != f.gateway {
				return r, nil
			}
			if err := f.gateway.Replace(r.pump.adapters); err != nil {
				r.pump.ears.Close()
				r.done <- err
				continue
			}
			h.pump.Store(r.pump)
			h.forgetDevices(f.gateway)
			stop()
			stop = r.pump.announce()
			if names := r.pump.others(f); len(names) > 0 {
				h.log.Info("links that were changed start again with their new configuration", "link", strings.Join(names, ", "))
			}
			f = r.pump
			r.done <- nil
		}
	}
}
