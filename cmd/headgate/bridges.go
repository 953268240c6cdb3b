package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"headgate/bridge"
	"headgate/broker"
	"headgate/broker/topic"
	"headgate/cmd/headgate/config"
)

// bridgeSet has the bridges, and runs them. A reload changes single ones: the others
// go on, and each one's queue is where it was.
type bridgeSet struct {
	skip   func(topic string) bool // what no bridge takes up: the gateway's own commands
	failed chan error              // of a bridge that gave up

	mu      sync.Mutex // guards what follows
	ctx     context.Context
	parts   []*bridgePart
	uplinks map[string]*broker.Uplink // also of bridges that are gone
}

// bridgePart is one bridge, and its session in the broker.
type bridgePart struct {
	config config.Bridge // as the file has it
	uplink *broker.Uplink
	bridge *bridge.Bridge
	stop   func() // ends its run and waits for that; nil: it does not run
}

// bridges gives those that there are now.
func (h *house) bridges() (list []*bridge.Bridge) {
	h.bridging.mu.Lock()
	defer h.bridging.mu.Unlock()
	for _, p := range h.bridging.parts {
		list = append(list, p.bridge)
	}
	return list
}

// buildBridges makes the bridges of a configuration. They are not started yet.
func (h *house) buildBridges(list []config.Bridge) error {
	s := &h.bridging
	commands := h.pump.Load().gateway.SetFilters()
	s.skip = func(name string) bool {
		return slices.ContainsFunc(commands, func(filter string) bool { return topic.Match(filter, name) })
	}
	s.failed, s.uplinks = make(chan error, 1), map[string]*broker.Uplink{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range list {
		p, err := h.addBridge(c)
		if err != nil {
			return err
		}
		s.parts = append(s.parts, p)
	}
	return nil
}

// uplinkFilters are the filters of what a bridge takes.
func (h *house) uplinkFilters(c *config.Bridge) []broker.UplinkFilter {
	filters := make([]broker.UplinkFilter, len(c.Up))
	for i, up := range c.Up {
		filters[i] = broker.UplinkFilter{Filter: up.Filter, QoS: up.Highest(), QueueQoS0: *c.QueueQoS0, High: up.Priority == bridge.PriorityHigh}
	}
	if c.Sparkplug.On() {
		filters = append(filters, broker.UplinkFilter{Filter: edgeField{h}.Filter(), QoS: 1, QueueQoS0: *c.QueueQoS0})
	}
	return filters
}

// addBridge makes a bridge, with the session that it had. The caller holds mu.
func (h *house) addBridge(c config.Bridge) (p *bridgePart, err error) {
	h.broker.LimitBridge(c.Name, c.Queue)
	p = &bridgePart{config: c, uplink: h.bridging.uplinks[c.Name]}
	liveFirst := c.Replay == bridge.ReplayLiveFirst
	if p.uplink != nil {
		err = p.uplink.Reconfigure(h.uplinkFilters(&c), liveFirst)
	} else {
		p.uplink, err = h.broker.NewUplink(c.Name, h.uplinkFilters(&c), liveFirst)
	}
	if err == nil {
		h.bridging.uplinks[c.Name] = p.uplink
		p.bridge, err = h.newBridge(c.Config, p.uplink)
	}
	return p, err
}

// newBridge makes a bridge on a session. Nothing is done with that before it runs.
func (h *house) newBridge(c bridge.Config, u *broker.Uplink) (*bridge.Bridge, error) {
	c.Skip, c.Origin = h.bridging.skip, h.pump.Load().gateway.Origin
	if c.Sparkplug.On() {
		h.makeEdgeNode(&c)
	}
	say := h.sayConnected(c.Name)
	c.Connected = func(connected bool, peer string) {
		if connected {
			u.SetPeer(peer)
		}
		say(connected)
	}
	return bridge.New(c, uplinkSource{u, h.broker.WallTime}, h.log)
}

// runBridges runs the bridges until ctx ends.
func (h *house) runBridges(ctx context.Context) error {
	s := &h.bridging
	s.mu.Lock()
	s.ctx = ctx
	for _, p := range s.parts {
		s.start(p)
	}
	s.mu.Unlock()
	var err error
	select {
	case <-ctx.Done():
	case err = <-s.failed:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx = nil
	for _, p := range slices.Backward(s.parts) {
		p.end()
	}
	return err
}

// start has a bridge run, if they do. The caller holds mu.
func (s *bridgeSet) start(p *bridgePart) {
	if s.ctx == nil {
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	done := make(chan struct{})
	b := p.bridge
	go func() {
		defer close(done)
		if err := b.Run(ctx); err != nil && ctx.Err() == nil {
			select {
			case s.failed <- fmt.Errorf("bridge %s: %w", p.config.Name, err):
			default:
			}
		}
	}()
	p.stop = func() {
		cancel()
		<-done
	}
}

func (p *bridgePart) end() {
	if p.stop != nil {
		p.stop()
		p.stop = nil
	}
}

// bridgesReloaded is what a reload of the bridges has come to.
type bridgesReloaded struct {
	changed bool            // some have begun, ended or begun again
	restart []string        // whose change needs a restart, and which go on as they were
	inForce []config.Bridge // all that there are now
}

// reloadBridges has those bridges run that a configuration has: what is the same goes
// on, what is not begins again, with all that waits for it. With an error for one the others are as they should be.
func (h *house) reloadBridges(list []config.Bridge) (r bridgesReloaded, err error) {
	s := &h.bridging
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	was := s.parts
	s.parts = nil
	for _, p := range was {
		if !slices.ContainsFunc(list, func(c config.Bridge) bool { return c.Name == p.config.Name }) {
			p.end()
			p.uplink.Close()
			r.changed = true
			h.log.Info("bridge is gone: what waits for it is kept until it is purged", "bridge", p.config.Name)
		}
	}
	for _, c := range list {
		i := slices.IndexFunc(was, func(p *bridgePart) bool { return p.config.Name == c.Name })
		if i < 0 {
			p, err := h.addBridge(c)
			switch {
			case errors.Is(err, broker.ErrLanes):
				r.restart = append(r.restart, "bridge "+c.Name)
			case err != nil:
				errs = append(errs, fmt.Errorf("bridge %s: %w", c.Name, err))
			default:
				s.start(p)
				s.parts = append(s.parts, p)
				r.changed = true
			}
			continue
		}
		p := was[i]
		s.parts = append(s.parts, p)
		h.broker.LimitBridge(c.Name, c.Queue)
		p.config.Queue = c.Queue
		if reflect.DeepEqual(p.config, c) {
			continue
		}
		if err := h.changeBridge(p, c); errors.Is(err, broker.ErrLanes) {
			r.restart = append(r.restart, "bridge "+c.Name)
		} else if err != nil {
			errs = append(errs, fmt.Errorf("bridge %s: %w", c.Name, err))
		} else {
			r.changed = true
		}
	}
	for _, p := range s.parts {
		r.inForce = append(r.inForce, p.config)
	}
	return r, errors.Join(errs...)
}

// changeBridge has a bridge run with another configuration; with an error it goes on
// with the one that it has. The caller holds mu.
func (h *house) changeBridge(p *bridgePart, c config.Bridge) error {
	filters, liveFirst := h.uplinkFilters(&c), c.Replay == bridge.ReplayLiveFirst
	if err := p.uplink.Fits(filters, liveFirst); err != nil {
		return err
	}
	next, err := h.newBridge(c.Config, p.uplink)
	if err != nil {
		return err
	}
	if p.bridge.Paused() {
		next.Pause()
	}
	p.end()
	err = p.uplink.Reconfigure(filters, liveFirst)
	p.config, p.bridge = c, next
	h.bridging.start(p)
	return err
}
