// Package gateway is the pump between the field and the broker: it runs the
// adapters, each in a goroutine of its own that is restarted with back-off,
// turns what they say into topics and payloads, and carries commands the other
// way, with a result for each. It does not know what an adapter talks to, and
// not what stands behind the Publisher; cmd/headgate brings them together.
package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"headgate/gateway/format"
	"headgate/gateway/point"
)

// Adapter is what the pump needs of an adapter: one link, and the devices on it.
type Adapter interface {
	// Name names the adapter in logs and in the faults of a config.
	Name() string

	// Devices lists the devices and their points; it does not change. Device
	// names are unique in the whole gateway, point names within their device;
	// each can stand as one topic level. "status" and "set" are no point names.
	Devices() []point.Device

	// Run talks to the devices and emits what they say until ctx ends; it
	// returns after everything that it has started has returned. Trouble with a
	// link or a device is a point.Status, not an error: when Run returns before
	// ctx has ended, or panics, it is run again after a while. emit does not
	// block, and may be called from any goroutine.
	Run(ctx context.Context, emit func(point.Update)) error

	// Write carries out one command and returns the value that it read back,
	// which is published as a sample and so is not emitted too, or the zero
	// Value when it has not read it back. It returns soon after ctx has ended. Its error wraps one of those of package point where that fits.
	// It is called while Run runs, from another goroutine, once at a time.
	Write(ctx context.Context, cmd point.Command) (point.Value, error)
}

// Message is one MQTT message, to or from the Publisher. Its slices are not
// changed once it is handed over, by either side.
type Message struct {
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool

	// ResponseTopic and CorrelationData are those of MQTT 5.0, "" and nil where
	// there are none.
	ResponseTopic   string
	CorrelationData []byte

	// Expiry is how much longer the message is worth anything, of a message with
	// the Message Expiry Interval of MQTT 5.0; 0: for ever.
	Expiry time.Duration

	// Queued says that an upstream had kept the message while we were away.
	Queued bool
}

// Publisher is what the pump needs of a broker.
type Publisher interface {
	// Publish takes one message and never blocks; the error says why it is lost.
	Publish(m Message) error

	// Subscribe has handle called with each message that is published from now
	// on, by others than this Publisher, and whose topic matches filter; Retain
	// is as it was published. handle does not block, and publishes nothing.
	Subscribe(filter string, handle func(Message)) error

	// Unsubscribe ends what Subscribe began with this filter.
	Unsubscribe(filter string)
}

// Gateway is the pump. Make one with New.
type Gateway struct {
	cfg    Config
	topics template
	pub    Publisher
	format *format.Encoder
	clock  Clock
	log    *slog.Logger

	intake  *queue                // commands as they came
	field   atomic.Pointer[field] // by New, and by Run when it is told to Replace
	changes chan change
	hears   chan struct{} // closed when Run has subscribed to the commands
	ended   chan struct{} // closed when Run returns

	outcomes [len(outcomeNames)]atomic.Uint64 // commands, by how they ended
	ignored  atomic.Uint64                    // retained commands
	flooded  atomic.Uint64                    // commands for which intake had no room
	dropped  atomic.Uint64                    // messages that the publisher did not take, or a template failed at
	losing   trouble                          // of publishing
	flooding trouble                          // of intake
	refusing sparing                          // lines
	failing  sparing                          // the same, of a template
}

// Clock says in which boot of the machine a time of time.Now is, how long that had run
// by then, and whether somebody keeps the machine's clock now. It is called for each
// value, by any goroutine.
type Clock func(at time.Time) (boot uint32, uptime time.Duration, synced bool)

// New makes a pump of cfg, to which SetDefaults has been applied and in which
// Check has found no fault. Nothing runs before Run. The error names every
// device or point that cannot be published, with its adapters.
func New(cfg Config, adapters []Adapter, pub Publisher, clock Clock, log *slog.Logger) (*Gateway, error) {
	topics, err := parseTemplate(cfg.Topic, cfg.ID)
	if err != nil {
		return nil, fmt.Errorf("topic template %q: %w", cfg.Topic, err)
	}
	encoder, err := format.New(cfg.Config)
	if err != nil {
		return nil, err
	}
	g := &Gateway{
		cfg: cfg, topics: topics, format: encoder, pub: pub, clock: clock, log: log,
		changes: make(chan change), hears: make(chan struct{}), ended: make(chan struct{}),
	}
	g.intake = newQueue(maxIntake, maxIntakeBytes, g.sort, g.refuseUnread)
	f, err := newField(g, adapters, &field{})
	if err != nil {
		return nil, err
	}
	g.field.Store(f)
	return g, nil
}

// SetFilters are the topic filters of the commands: what matches one is for this
// gateway, and nothing that it publishes does.
func (g *Gateway) SetFilters() []string { return g.topics.setFilters() }

// ValueFilter matches the topics of all values, and of what the devices' status is.
func (g *Gateway) ValueFilter() string { return g.topics.value("+", "+") }

// Origin reads the name of a value's topic: where the value is from, and its point. It
// is false for any other topic.
func (g *Gateway) Origin(topic string) (from format.Origin, pointName string, ok bool) {
	device, pointName, ok := g.topics.origin(topic)
	return format.Origin{Gateway: g.cfg.ID, Device: device, Topic: topic, DeviceTopic: g.topics.ofDevice(device)}, pointName, ok
}

// Run runs the adapters and carries commands until ctx ends; then it says of
// every device that it is offline, and returns nil. The error is that of
// subscribing to the commands, after which nothing runs either. Run is called
// once.
func (g *Gateway) Run(ctx context.Context) error {
	defer close(g.ended)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := g.field.Load()
	for _, r := range f.runners {
		r.announce("starting")
	}
	var sorting sync.WaitGroup
	sorting.Go(func() { g.intake.run(ctx) })
	for _, r := range f.runners {
		r.start(ctx)
	}
	err := g.hear(f.hearers, nil)
	for _, filter := range g.SetFilters() {
		if err != nil {
			break
		}
		if err = g.pub.Subscribe(filter, g.handle); err != nil {
			err = fmt.Errorf("subscribe to commands at %s: %w", filter, err)
		}
	}
	if err == nil {
		close(g.hears)
	}
	for err == nil && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case c := <-g.changes:
			c.done <- g.change(ctx, c.adapters)
		}
	}
	cancel()
	sorting.Wait()
	for _, r := range g.field.Load().runners {
		r.running.Wait()
	}
	return err
}

// Listening is closed when Run hears commands: what is published from then on is not
// missed.
func (g *Gateway) Listening() <-chan struct{} { return g.hears }

// SayAgain publishes the last value of every point once more, with the time and the
// quality that it had, for one who has just come and cannot wait for the next.
func (g *Gateway) SayAgain() {
	for _, r := range g.field.Load().runners {
		for _, d := range r.devices {
			d.sayAgain()
		}
	}
}

// Devices lists the devices with their points, in the order of the configuration.
func (g *Gateway) Devices() []point.Device {
	var all []point.Device
	for _, r := range g.field.Load().runners {
		all = append(all, r.adapter.Devices()...)
	}
	return all
}

// publish hands one message on, or counts it as dropped.
func (g *Gateway) publish(m Message) bool {
	if err := g.pub.Publish(m); err != nil {
		g.dropped.Add(1)
		if g.losing.begin(time.Now()) {
			g.log.Warn("messages are dropped", "topic", m.Topic, "err", err)
		}
		return false
	}
	if n, over := g.losing.over(time.Now); over {
		g.log.Info("messages are taken again", "count", n)
	}
	return true
}
