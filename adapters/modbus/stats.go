package modbus

import (
	"sync/atomic"
	"time"
)

// Stats is one link as it stands. The counts are since the start.
type Stats struct {
	Open      bool   // the link is open
	Reason    string // why it is not; "" when it is, or has not been tried yet
	Opened    uint64 // how often it was opened
	Requests  uint64 // sent
	Answers   uint64 // that came in time, exceptions too
	Timeouts  uint64 // requests that got none
	Discarded uint64 // bytes that were not part of an answer: noise, and answers that came late
	BytesIn   uint64
	BytesOut  uint64

	Busy time.Duration // of the link's time, that requests have taken: with their answers, silences and timeouts
	Load float64       // which part of the last minute that is, 0 to 1; negative: it is too early to tell

	Devices []DeviceStats // in the order of the config
}

// DeviceStats is one device as it stands.
type DeviceStats struct {
	Name       string
	Unit       byte
	Online     bool
	Reason     string        // why it is not; "" when it is, or nothing is known yet
	Reads      uint64        // that gave values
	Failed     uint64        // that did not
	Exceptions uint64        // of Failed and of writes, those that the device answered with an exception
	Timeouts   uint64        // of Failed and of writes, those that it did not answer
	Merged     uint64        // polls that were due before the one before them was done, and were left out: they come late
	Writes     uint64        // that the device has acknowledged
	LastAnswer time.Time     // zero when there was none
	RoundTrip  time.Duration // from a request to its answer, averaged over the last ten or so
	Turnaround time.Duration // of the unit: what of that is not spent on the wire, averaged too; 0: not known yet
	PollMedian time.Duration // of the last keptPolls reads that were answered, from the request on; 0: there was none
	PollLast   time.Duration // of the last one
}

// counts is what the transport counts.
type counts struct {
	requests, answers, timeouts, discarded, bytesIn, bytesOut atomic.Uint64
	occupancy                                                 occupancy
}

// Stats gives the link and its devices as they stand. It may be called at any
// time.
func (a *Adapter) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := Stats{
		Open: a.isOpen, Reason: a.reason, Opened: a.opened,
		Requests: a.counts.requests.Load(), Answers: a.counts.answers.Load(), Timeouts: a.counts.timeouts.Load(),
		Discarded: a.counts.discarded.Load(), BytesIn: a.counts.bytesIn.Load(), BytesOut: a.counts.bytesOut.Load(),
	}
	var known bool
	if s.Load, known, s.Busy = a.counts.occupancy.share(time.Now()); !known {
		s.Load = -1
	}
	for _, d := range a.devices {
		ds := d.stats
		ds.PollMedian, ds.PollLast = d.polls.median(), d.polls.last()
		s.Devices = append(s.Devices, ds)
	}
	return s
}

// Turns counts how often the goroutine that owns the link has looked whether there is
// something to do: once a second at least while the link is open, but for the time
// that a request takes.
func (a *Adapter) Turns() uint64 { return a.turns.Load() }

// count changes what Stats gives.
func (a *Adapter) count(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// average is the new value of a RoundTrip.
func average(before, last time.Duration) time.Duration {
	if before == 0 {
		return last
	}
	return before + (last-before)/10
}
