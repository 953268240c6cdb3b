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

// hear subscribes to the topics of hearers, but for those that are heard already. After
// an error none of them is.
func (g *Gateway) hear(hearers, already map[string][]Hearer) error {
	begun := map[string][]Hearer{}
	for name := range hearers {
		if _, ok := already[name]; ok {
			continue
		}
		err := g.pub.Subscribe(name, func(m Message) {
			for _, h := range g.field.Load().hearers[name] {
				if m.Topic == name {
					h.Hear(m.Topic, m.Payload)
				}
			}
		})
		begun[name] = nil
		if err != nil {
			g.unhear(begun, nil)
			return fmt.Errorf("subscribe to %s, which a derived point needs: %w", name, err)
		}
	}
	return nil
}

// unhear ends the subscriptions to topics of hearers, but for those that are still heard.
func (g *Gateway) unhear(hearers, still map[string][]Hearer) {
	for name := range hearers {
		if _, ok := still[name]; !ok {
			g.pub.Unsubscribe(name)
		}
	}
}

// show shows the observers what is said of a device; its mu is held.
func (d *device) show(status *point.Status, samples []point.Sample) {
	observers := d.gateway.field.Load().observers
	if len(observers) == 0 || status == nil && len(samples) == 0 {
		return
	}
	for _, o := range observers {
		o.Observe(point.Update{Device: d.name, Status: status, Samples: samples})
	}
}
