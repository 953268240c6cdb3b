package bridge

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"headgate/broker/packet"
)

// State is what a bridge is doing.
type State string

// The states of a bridge.
const (
	Stopped    State = "stopped"    // Run does not run
	Connecting State = "connecting" // an attempt is under way
	Connected  State = "connected"
	Waiting    State = "waiting" // for the next attempt; LastError says why
)

// Stats is how a bridge is. Counts begin with the process.
type Stats struct {
	Name   string
	Remote string // host:port of the last attempt

	State       State
	Since       time.Time // of State; zero before Run. Connecting and Waiting count as one: no connection
	Version     string    // of MQTT, "5" or "3.1.1", in the last connection; "" before the first
	LastError   string    // why there was no connection, in words; "" for never
	LastErrorAt time.Time
	Reconnects  uint64 // connections after the first

	Forwarded uint64            // messages that the upstream acknowledged; at QoS 0: written to the connection
	Batches   uint64            // PUBLISHes with several of them
	Skipped   uint64            // taken out by Config.Skip, or a template makes nothing of them
	GivenUp   map[string]uint64 // messages the upstream did not get, by reason in words
	InFlight  int               // sent, or gathered for a batch, and not acknowledged yet

	Received       uint64   // messages that came down and were published in the local broker
	Unmapped       uint64   // came down, and no [[bridge.down]] fits
	TooLarge       uint64   // came down, and larger than the bridge takes
	RefusedFilters []string // [[bridge.down]] filters that the upstream does not grant, in the last connection

	Backlog Backlog       // in the local queue, what is in flight included
	Rate    float64       // messages a second that went up in the last ten
	Left    time.Duration // until the backlog is empty if it shrinks as in the last ten seconds; 0 if it does not
	Held    string        // why nothing goes up, or nothing of the backlog, in words; "" where it does
}

// Stats gives the present state. It may be called at any time.
func (b *Bridge) Stats() Stats {
	st := b.counters.snapshot()
	st.Name = b.cfg.Name
	st.Backlog = b.src.Backlog()
	st.Held = cmp.Or(b.pace.held(), b.edge.held())
	b.counters.mu.Lock()
	defer b.counters.mu.Unlock()
	st.Rate, st.Left = b.counters.meter.rate(), b.counters.meter.left(st.Backlog.Messages)
	return st
}

type counters struct {
	forwarded, batches, skipped, received, unmapped, tooLarge atomic.Uint64

	inFlight atomic.Int64

	mu          sync.Mutex // guards what follows
	remote      string
	state       State
	since       time.Time
	version     string
	lastError   string
	lastErrorAt time.Time
	connects    uint64
	givenUp     map[string]uint64
	refused     []string
	meter       meter
}

func newCounters() *counters {
	return &counters{state: Stopped, givenUp: make(map[string]uint64)}
}

func (c *counters) setState(s State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	down := func(s State) bool { return s == Connecting || s == Waiting }
	if s != c.state && !(down(s) && down(c.state)) {
		c.since = time.Now()
	}
	c.state = s
}

// attempts tells which address the next attempt goes to.
func (c *counters) attempts(remote string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remote = remote
}

func (c *counters) connected(v packet.Version) {
	c.setState(Connected)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connects++
	c.version = versionName(v)
	c.refused = nil
}

func (c *counters) disconnected() {
	c.inFlight.Store(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.meter.reset()
}

// measure takes a sample of the meter where it is time.
func (c *counters) measure(src Source) {
	now := time.Now()
	c.mu.Lock()
	due := c.meter.due(now)
	c.mu.Unlock()
	if !due {
		return
	}
	backlog := src.Backlog().Messages
	c.mu.Lock()
	defer c.mu.Unlock()
	c.meter.add(sample{now, c.forwarded.Load(), backlog})
}

func (c *counters) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastError, c.lastErrorAt = err.Error(), time.Now()
}

func (c *counters) giveUp(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.givenUp[reason]++
}

func (c *counters) refuseFilter(filter string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = append(c.refused, filter)
}

func (c *counters) snapshot() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{
		Remote: c.remote, State: c.state, Since: c.since, Version: c.version,
		LastError: c.lastError, LastErrorAt: c.lastErrorAt, Reconnects: max(c.connects, 1) - 1,
		Forwarded: c.forwarded.Load(), Batches: c.batches.Load(), Skipped: c.skipped.Load(), GivenUp: maps.Clone(c.givenUp),
		InFlight: int(c.inFlight.Load()),
		Received: c.received.Load(), Unmapped: c.unmapped.Load(), TooLarge: c.tooLarge.Load(),
		RefusedFilters: slices.Clone(c.refused),
	}
}
