package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"headgate/bridge"
	"headgate/bridge/sparkplug"
	"headgate/gateway"
	"headgate/gateway/point"
)

// makeEdgeNode gives a bridge that is a Sparkplug edge node the gateway's devices,
// and the bdSeq of its births over restarts.
func (h *house) makeEdgeNode(c *bridge.Config) {
	c.Sparkplug.Field = edgeField{h}
	births := &birthCounter{path: filepath.Join(absolute(h.config.Gateway.DataDir), "sparkplug-"+c.Name)}
	name := c.Name
	c.Sparkplug.NextBirth = func() uint8 {
		n, err := births.next()
		if err != nil {
			h.log.Warn("bdSeq of a Sparkplug edge node is not kept: after a restart a host may take an old death for the new one's", "bridge", name, "err", err)
		}
		return n
	}
}

// birthCounter counts the births of an edge node, from 0 to 255 and on from 0, in a
// file: a host tells by the number which session a death ends.
type birthCounter struct {
	path string

	mu    sync.Mutex // guards what follows
	known bool       // last has been read
	last  uint8
}

// next gives the next number, which is in the file before it is used. The error says
// why it is not; the number is good all the same.
func (b *birthCounter) next() (uint8, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var faults []error
	if !b.known {
		b.known, b.last = true, 255
		text, err := os.ReadFile(b.path)
		n, wrong := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 8)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			faults = append(faults, err)
		case wrong != nil:
			faults = append(faults, fmt.Errorf("read %s: %w", b.path, wrong))
		default:
			b.last = uint8(n)
		}
	}
	b.last++
	return b.last, errors.Join(append(faults, b.write())...)
}

func (b *birthCounter) write() error {
	f, err := os.OpenFile(b.path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, b.last)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(b.path+".new", b.path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(b.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// edgeField is the gateway's devices to an edge node, of whichever pump runs.
type edgeField struct{ h *house }

func (f edgeField) gateway() *gateway.Gateway { return f.h.pump.Load().gateway }

func (f edgeField) Filter() string { return f.gateway().ValueFilter() }

func (f edgeField) Locate(topic string) (device, pointName string, status, ok bool) {
	from, pointName, ok := f.gateway().Origin(topic)
	status = gateway.StatusPoint(pointName) // of which Origin says that it is no value
	return from.Device, pointName, status, ok || status
}

func (f edgeField) Devices() []bridge.FieldDevice {
	g := f.gateway()
	var list []bridge.FieldDevice
	for _, d := range g.Stats().Devices {
		list = append(list, fieldDevice(g, d))
	}
	return list
}

func (f edgeField) Device(name string) (bridge.FieldDevice, bool) {
	g := f.gateway()
	d, ok := g.Device(name)
	return fieldDevice(g, d), ok
}

func fieldDevice(g *gateway.Gateway, s gateway.DeviceStats) bridge.FieldDevice {
	d := bridge.FieldDevice{Name: s.Name, Manufacturer: s.Manufacturer, Model: s.Model, Online: s.Online, Points: make([]bridge.FieldPoint, 0, len(s.Points))}
	for i := range s.Points {
		p := &s.Points[i]
		out := bridge.FieldPoint{Name: p.Name, Unit: p.Unit, Type: typeOfPoint(&p.Info)}
		if p.Writable {
			out.Set = g.SetTopic(s.Name, p.Name)
		}
		if !p.Last.Time.IsZero() {
			out.Last = bridge.FieldSample{Value: plainValue(p.Last.Value, p.Raw), Quality: sparkplugQuality(p.Last.Quality), Reason: p.Last.Reason, Time: p.Last.Time}
		}
		d.Points = append(d.Points, out)
	}
	return d
}

// typeOfPoint gives the type of a point's metric, Unknown where only its values tell.
func typeOfPoint(p *point.Info) sparkplug.DataType {
	if p.Raw {
		return sparkplug.Bytes
	}
	switch p.Kind {
	case point.Bool:
		return sparkplug.Boolean
	case point.Int:
		return sparkplug.Int64
	case point.Uint:
		return sparkplug.UInt64
	case point.Float:
		return sparkplug.Double
	case point.String:
		return sparkplug.String
	}
	return sparkplug.Unknown
}

func sparkplugQuality(q point.Quality) bridge.Quality {
	switch q {
	case point.Good:
		return bridge.QualityGood
	case point.Stale:
		return bridge.QualityStale
	}
	return bridge.QualityBad
}

// plainValue gives a value as Go has it, nil for none.
func plainValue(v point.Value, raw bool) any {
	switch v.Kind() {
	case point.Bool:
		on, _ := v.Bool()
		return on
	case point.Int:
		i, _ := v.Int()
		return i
	case point.Uint:
		u, _ := v.Uint()
		return u
	case point.Float:
		f, _ := v.Float()
		return f
	case point.String:
		if raw {
			return []byte(v.String())
		}
		return v.String()
	}
	return nil
}
