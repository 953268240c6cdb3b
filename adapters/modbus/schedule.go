package modbus

import (
	"cmp"
	"slices"
	"time"
)

// device is one [[modbus.device]].
type device struct {
	name   string
	unit   *unit
	fields []*field
	reads  []*read
	stats  DeviceStats // guarded by Adapter.mu
}

// read is one request that is made again and again, and the points that its
// answer holds.
type read struct {
	device   *device
	table    table
	address  uint16
	count    int
	fields   []*field
	interval time.Duration

	due     time.Time
	failing bool // the device answers it with an error, and that has been logged
}

// span names what is read: "holding registers 100-119".
func (r *read) span() string { return r.table.span(r.address, r.count) }

// plan makes the device's reads: points of one interval and one table whose
// registers touch or overlap are read together, as far as one request goes. What
// nobody asked for is never read, for devices refuse a request that touches a
// register which they do not have; and no value is cut, for its halves would be
// of two times.
func plan(d *device) []*read {
	fields := slices.Clone(d.fields)
	slices.SortStableFunc(fields, func(a, b *field) int {
		return cmp.Or(cmp.Compare(a.interval, b.interval), cmp.Compare(a.register.table, b.register.table), cmp.Compare(a.register.address, b.register.address))
	})
	var reads []*read
	for _, f := range fields {
		at := f.register
		end := int(at.address) + f.size()
		if n := len(reads); n > 0 {
			r := reads[n-1]
			last := int(r.address) + r.count
			whole := max(last, end) - int(r.address)
			if r.interval == f.interval && r.table == at.table && int(at.address) <= last && whole <= r.table.maxRead() {
				r.count = whole
				r.fields = append(r.fields, f)
				continue
			}
		}
		reads = append(reads, &read{
			device: d, table: at.table, address: at.address, count: f.size(), fields: []*field{f}, interval: f.interval,
		})
	}
	return reads
}

// advance sets when the read is due after it has been begun at the time now: at
// the next whole interval since the start, so that it does not drift. It gives
// how many times it had become due meanwhile; those are left out.
func (r *read) advance(now time.Time) (merged uint64) {
	if late := now.Sub(r.due); late >= r.interval {
		merged = uint64(late / r.interval)
	}
	r.due = r.due.Add(time.Duration(merged+1) * r.interval)
	return merged
}

// next gives the read that is to be made first, and when. A unit that must not
// be asked before some time keeps no other waiting.
func next(reads []*read) (first *read, at time.Time) {
	for _, r := range reads {
		due := r.due
		if due.Before(r.device.unit.notBefore) {
			due = r.device.unit.notBefore
		}
		if first == nil || due.Before(at) {
			first, at = r, due
		}
	}
	return first, at
}
