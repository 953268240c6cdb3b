package gateway

import (
	"fmt"

	"headgate/gateway/point"
)

// Observer is an Adapter that is shown what the others say.
type Observer interface {
	// Observe takes each word of the adapters, in the order of each device, before
	// anything is held back or encoded. It does not block, keeps no slice, and emits
	// nothing.
	Observe(u point.Update)
}

// Hearer is an Adapter that wants messages of others.
type Hearer interface {
	// Topics are the topics that it wants; it does not change.
	Topics() []string

	// Hear takes a message. It does not block, and does not change payload.
	Hear(topic string, payload []byte)
}

// hear subscribes to what the adapters want to hear.
func (g *Gateway) hear() error {
	for _, r := range g.runners {
		h, ok := r.adapter.(Hearer)
		if !ok {
			continue
		}
		for _, name := range h.Topics() {
			err := g.pub.Subscribe(name, func(m Message) {
				if m.Topic == name {
					h.Hear(m.Topic, m.Payload)
				}
			})
			if err != nil {
				return fmt.Errorf("subscribe to %s for %s: %w", name, r.adapter.Name(), err)
			}
		}
	}
	return nil
}

// show shows the observers what is said of a device; its mu is held.
func (d *device) show(status *point.Status, samples []point.Sample) {
	if len(d.gateway.observers) == 0 || status == nil && len(samples) == 0 {
		return
	}
	for _, o := range d.gateway.observers {
		o.Observe(point.Update{Device: d.name, Status: status, Samples: samples})
	}
}
