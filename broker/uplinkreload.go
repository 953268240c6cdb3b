package broker

import (
	"errors"
	"fmt"
	"slices"

	"headgate/broker/topic"
)

// ErrLanes is for a change of a bridge that gives it another queue: one of high
// priority, or one for the live before the backlog. Only NewUplink makes these.
var ErrLanes = errors.New("it has a first filter of high priority, or another replay: that needs a restart")

// Fits says why Reconfigure would not take these.
func (u *Uplink) Fits(filters []UplinkFilter, liveFirst bool) error {
	for _, f := range filters {
		if err := topic.CheckFilter(f.Filter); err != nil {
			return fmt.Errorf("filter %q: %w", f.Filter, err)
		}
		if f.High && u.high == nil {
			return ErrLanes
		}
	}
	if liveFirst && u.live == nil {
		return ErrLanes
	}
	return nil
}

// Reconfigure puts other filters in the place of those that it has: what both match
// is missed at no time. To be called while no bridge uses it, from one goroutine.
func (u *Uplink) Reconfigure(filters []UplinkFilter, liveFirst bool) error {
	if err := u.Fits(filters, liveFirst); err != nil {
		return err
	}
	u.liveFirst = liveFirst
	u.now.Store(nil)
	old := u.filters
	u.filters = slices.Clone(filters)
	for _, f := range filters {
		u.listen(f)
	}
	for _, f := range old {
		if !slices.ContainsFunc(filters, func(n UplinkFilter) bool { return n.Filter == f.Filter && n.High == f.High }) {
			u.b.index.Delete(f.Filter, u.laneOf(f))
		}
	}
	u.Rewind()
	return nil
}

// Close has nothing more come for the upstream. What waits is kept, until Purge; with
// Reconfigure it begins again.
func (u *Uplink) Close() {
	for _, f := range u.filters {
		u.b.index.Delete(f.Filter, u.laneOf(f))
	}
	u.filters = nil
	u.mu.Lock()
	u.direct, u.bytes = nil, 0
	u.mu.Unlock()
	u.b.forgetBridge(u.name)
}

// listen has what matches a filter come. It is in the index only: the config says it
// again at each start, and the queue of a bridge that it names no more does not grow.
func (u *Uplink) listen(f UplinkFilter) {
	u.b.index.Set(f.Filter, u.laneOf(f), subscription{qos: f.QoS, noLocal: true, retainAsPublished: true, raise: f.QueueQoS0})
}

// laneOf gives the lane that takes what matches a filter.
func (u *Uplink) laneOf(f UplinkFilter) *session {
	if f.High {
		return u.high
	}
	return u.s
}
