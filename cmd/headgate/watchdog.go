package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"headgate/adapters/modbus"
	"headgate/adapters/serial"
	"headgate/broker/store"
)

// The service manager's watchdog is fed only while the parts move: one that is
// stuck is not mended by a process that only says that it lives. What stands still
// for reasons of the world is not stuck: a disk that does not answer is an alarm
// of its own, a link that is not there is opened again, a cloud may be away.

// movement is how far a part has come, and whether it should be moving at all.
type movement struct {
	part  string
	count uint64        // changes whenever it moves
	due   bool          // there is something for it to do
	still time.Duration // it may rest so long although there is
}

const (
	// stuckAfter is how long a part with something to do may rest.
	stuckAfter = 30 * time.Second

	// linkStuckAfter is that of a link: who is silent is asked every 30 s.
	linkStuckAfter = 2 * time.Minute

	// committerStuckAfter is that of a write while the disk takes others: a card may
	// try one block again for long.
	committerStuckAfter = 2 * time.Minute
)

// rested is what the watchdog knows about one part.
type rested struct {
	count uint64
	since time.Time // it has not moved since then, although it should
}

// watchdog finds the parts that are stuck. It is one goroutine's.
type watchdog struct {
	parts map[string]rested
}

// look takes what the parts say now, and gives those that are stuck.
func (w *watchdog) look(now time.Time, moves []movement) (stuck []string) {
	parts := make(map[string]rested, len(moves)) // without those that are gone
	for _, m := range moves {
		before, known := w.parts[m.part]
		if !known || !m.due || before.count != m.count {
			parts[m.part] = rested{m.count, now}
			continue
		}
		parts[m.part] = before
		if rest := now.Sub(before.since); rest > max(m.still, stuckAfter) {
			stuck = append(stuck, fmt.Sprintf("%s (for %v)", m.part, rest.Round(time.Second)))
		}
	}
	w.parts = parts
	return stuck
}

// movements asks the parts. It waits for their locks, so that one that is held for
// ever keeps it from coming back.
func (h *house) movements() []movement {
	s := h.store.Stats()
	moves := []movement{committerMovement(&s)}
	h.broker.Stats()
	h.pump.Load().gateway.Stats()
	for _, b := range h.bridges() {
		b.Stats()
	}
	for _, m := range h.pump.Load().modbus {
		moves = append(moves, modbusMovement(m.config, m.adapter.Stats(), m.adapter.Turns()))
	}
	for _, line := range h.pump.Load().serial {
		moves = append(moves, serialMovements(line.config, line.adapter.Stats(), line.adapter.Turns())...)
	}
	return moves
}

// committerMovement is that of who writes to disk. A disk that hangs is no reason to
// start again; a write that does not come back while the disk takes others is one.
func committerMovement(s *store.Stats) movement {
	m := movement{part: "committer", count: uint64(s.Commits) + s.DurableRecord, due: s.PendingBytes > 0 && s.FailingSince.IsZero()}
	if s.Stuck {
		m.due, m.still = true, committerStuckAfter
	}
	return m
}

// modbusMovement is that of who owns a link: he looks for something to do each second,
// however seldom a point is read, but while he waits for an answer.
func modbusMovement(c modbus.Config, st modbus.Stats, turns uint64) movement {
	longest := c.Timeout
	for _, d := range c.Device {
		longest = max(longest, d.Timeout)
	}
	return movement{
		part:  "modbus link " + c.Name,
		count: turns + st.Requests + st.Opened,
		due:   st.Open,
		still: max(linkStuckAfter, 3*longest),
	}
}

// serialMovements are those of a serial line: of who reads it, and of who asks.
func serialMovements(c serial.Config, st serial.Stats, turns uint64) []movement {
	moves := []movement{{part: "serial line " + c.Name, count: turns, due: st.Open}}
	if len(c.Request) == 0 {
		return moves
	}
	interval := c.Request[0].Interval
	for _, r := range c.Request {
		interval = min(interval, r.Interval)
	}
	return append(moves, movement{
		part:  "requests on serial line " + c.Name,
		count: st.Sent + st.Opened,
		due:   st.Open,
		still: max(linkStuckAfter, 3*interval),
	})
}

// feed tells the service manager that the parts move, and how the gateway is, a
// few times in each of the watchdog's periods, until ctx ends.
func (h *house) feed(ctx context.Context) error {
	every := 10 * time.Second
	if h.service.watchdog > 0 {
		every = max(h.service.watchdog/4, 10*time.Millisecond)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var w watchdog
	said := ""
	for {
		// A part that holds its lock for ever keeps this goroutine; then nobody
		// feeds, and the manager ends the process.
		state := "WATCHDOG=1\nSTATUS=" + h.inOneLine()
		if stuck := w.look(time.Now(), h.movements()); len(stuck) > 0 {
			text := strings.Join(stuck, ", ")
			if said == "" {
				h.log.Error("a part is stuck: the watchdog is not fed any more", "part", text)
			}
			said, state = text, "STATUS=stuck: "+text
		} else {
			said = ""
		}
		if err := h.service.tell(state); err != nil {
			h.log.Debug("service manager not told", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// inOneLine is for `systemctl status`.
func (h *house) inOneLine() string {
	r := h.status()
	online := 0
	for _, d := range r.Devices {
		if d.Online {
			online++
		}
	}
	said := []string{fmt.Sprintf("%d clients", r.Clients.Connected)}
	if n := len(r.Devices); n > 0 {
		said = append(said, fmt.Sprintf("%d of %d devices online", online, n))
	}
	for _, b := range r.Bridges {
		said = append(said, fmt.Sprintf("bridge %s %s", b.Name, b.State))
	}
	for _, a := range r.Alarms {
		said = append(said, "alarm: "+a.Text)
	}
	return strings.ReplaceAll(strings.Join(said, ", "), "\n", " ")
}
