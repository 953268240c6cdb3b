// Package homeassistant announces the devices of a gateway to Home Assistant, by MQTT
// discovery: one retained message a device, in which each of its points is an entity.
// It knows what is published of values and how commands are given, which the
// templates in its messages say; it reads no values itself. cmd/headgate runs an
// Announcer beside the pump.
package homeassistant

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"headgate/gateway/point"
)

// Broker is what an Announcer needs of the local broker.
type Broker interface {
	// Publish takes one message, retained, at QoS 1, and never blocks; an empty
	// payload removes what is retained.
	Publish(topic string, payload []byte) error

	// Subscribe has handle called with each message that is published from now on to
	// the topic. handle does not block.
	Subscribe(topic string, handle func(payload []byte)) error

	// Retained calls fn with each retained message that matches the filter. fn does
	// not block, and publishes nothing.
	Retained(filter string, fn func(topic string, payload []byte))
}

// Topics says where the pump publishes values and states, and takes commands.
type Topics interface {
	ValueTopic(device, point string) string
	StatusTopic(device string) string
	SetTopic(device, point string) string
}

// Announcer announces the devices of one gateway. Make one with New.
type Announcer struct {
	cfg     Config
	gateway string // its id
	version string
	devices []point.Device
	topics  Topics
	refresh func()
	broker  Broker
	log     *slog.Logger

	jitter time.Duration // the most that a birth is answered later
}

// maxJitter keeps several gateways from answering Home Assistant's birth at one time.
const maxJitter = time.Second

// New makes the Announcer of a gateway with these devices. refresh is called when Home
// Assistant has started and knows no value: it has each of them published again.
func New(cfg Config, gateway, version string, devices []point.Device, topics Topics, refresh func(), broker Broker, log *slog.Logger) *Announcer {
	return &Announcer{cfg: cfg, gateway: gateway, version: version, devices: devices, topics: topics, refresh: refresh, broker: broker, log: log,
		jitter: maxJitter}
}

// Run announces the devices, and again whenever Home Assistant says that it has
// started, until ctx ends. What was announced before and is not any more is taken
// back. What is announced stays when Run ends: whether a device is there says its
// status.
func (a *Announcer) Run(ctx context.Context) {
	born := make(chan struct{}, 1)
	if a.cfg.Enabled {
		topic := a.cfg.Prefix + "/status"
		err := a.broker.Subscribe(topic, func(payload []byte) {
			if string(payload) != "online" {
				return
			}
			select {
			case born <- struct{}{}:
			default:
			}
		})
		if err != nil {
			a.log.Warn("Home Assistant's start is not heard", "topic", topic, "err", err)
		}
	}
	list, faults := a.messages()
	for _, err := range faults {
		a.log.Error("a device is not announced to Home Assistant", "err", err)
	}
	a.sayUnmatched()
	a.takeBack(list)
	a.announce(list)
	for {
		select {
		case <-ctx.Done():
			return
		case <-born:
		}
		wait := time.NewTimer(rand.N(a.jitter))
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		}
		a.announce(list)
		a.refresh()
	}
}

// announce publishes the messages. Where one has fewer entities than the one that is
// retained, the others are taken away first.
func (a *Announcer) announce(list []announced) {
	for _, m := range list {
		var before []byte
		a.broker.Retained(m.topic, func(_ string, payload []byte) { before = payload })
		if merged := withRemoved(m.payload, before); merged != nil {
			a.publish(m.topic, merged)
		}
		a.publish(m.topic, m.payload)
	}
	if len(list) > 0 {
		a.log.Info("devices are announced to Home Assistant", "count", len(list)-1)
	}
}

// takeBack removes what this gateway has announced and does not any more.
func (a *Announcer) takeBack(list []announced) {
	prefixes := []string{a.cfg.Prefix}
	if a.cfg.Prefix != DefaultPrefix {
		prefixes = append(prefixes, DefaultPrefix)
	}
	var before []announced
	for _, prefix := range prefixes {
		a.broker.Retained(a.filter(prefix), func(topic string, payload []byte) {
			if !slices.ContainsFunc(list, func(m announced) bool { return m.topic == topic }) {
				before = append(before, announced{topic, payload})
			}
		})
	}
	for _, m := range before {
		if !isOurs(m.payload) {
			continue
		}
		a.publish(m.topic, nil)
		a.log.Info("a device is not announced to Home Assistant any more", "topic", m.topic)
	}
}

func (a *Announcer) publish(topic string, payload []byte) {
	if err := a.broker.Publish(topic, payload); err != nil {
		a.log.Warn("Home Assistant is not told", "topic", topic, "err", err)
	}
}

// sayUnmatched names the tables that are about no point, and those that ask for what a
// point cannot be.
func (a *Announcer) sayUnmatched() {
	if !a.cfg.Enabled {
		return
	}
	for _, p := range a.cfg.Point {
		found, fits := false, p.Component == ""
		for _, d := range a.devices {
			for i := range d.Points {
				if p.matches(d.Name, d.Points[i].Name) {
					found, fits = true, fits || can(&d.Points[i], p.Component)
				}
			}
		}
		switch {
		case !found:
			a.log.Warn("a [[homeassistant.point]] matches no point", "point", p.Point)
		case !fits:
			a.log.Warn("a [[homeassistant.point]] wants what its point cannot be", "point", p.Point, "reason", p.Component)
		}
	}
}
