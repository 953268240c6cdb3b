package modbus

import (
	"cmp"
	"slices"
	"time"
)

// spanOf is what a read must have for the field.
func spanOf(f *field) span {
	at := int(f.register.address)
	return span{f.register.table, at, at + f.size()}
}

// read is one request, and the points that its answer holds.
type read struct {
	device  *device
	table   table
	address uint16
	count   int
	fields  []*field
	groups  []*group // those of the fields
	block   bool     // the user has said that it is to be read as it is

	deadline time.Time // of those that wait to be made
	failed   int       // how often it has, since it became due
}

// String names what is read: "holding registers 100-119".
func (r *read) String() string { return r.table.span(r.address, r.count) }

func (r *read) span() span {
	return span{r.table, int(r.address), int(r.address) + r.count}
}

// plan finds the reads that get all the fields in the least time: over a hole
// where reading it takes less time than another request would, but never more
// than the device answers, never what must not be read, and never a part of a
// value, for its halves would be of two times. What the device has refused before
// is not read with anything else, so that it is only its own loss.
func (d *device) plan(fields []*field, c cost) []*read {
	fields = slices.Clone(fields)
	slices.SortStableFunc(fields, func(a, b *field) int {
		return cmp.Or(cmp.Compare(a.register.table, b.register.table), cmp.Compare(a.register.address, b.register.address))
	})
	reads, fields := d.planBlocks(fields)
	for len(fields) > 0 {
		n := 1
		for n < len(fields) && fields[n].register.table == fields[0].register.table {
			n++
		}
		reads = append(reads, d.planTable(fields[:n], c)...)
		fields = fields[n:]
	}
	return reads
}

// planTable plans one table, its fields in order of their addresses: best[i] is
// the least that the first i of them take, and from[i] where the last read of
// those begins.
func (d *device) planTable(fields []*field, c cost) []*read {
	best, from := make([]time.Duration, len(fields)+1), make([]int, len(fields)+1)
	for i := range fields {
		first := spanOf(fields[i])
		end := first.end
		for j := i; j < len(fields); j++ {
			s := spanOf(fields[j])
			if j > i && !d.mayJoin(fields[i], fields[j], end) {
				break
			}
			end = max(end, s.end)
			if j > i && end-first.start > d.limits.most(s.table) {
				break
			}
			if took := best[i] + c.of(s.table, end-first.start); best[j+1] == 0 || took < best[j+1] {
				best[j+1], from[j+1] = took, i
			}
		}
	}
	var reads []*read
	for n := len(fields); n > 0; n = from[n] {
		reads = append(reads, d.newRead(fields[from[n]:n]))
	}
	slices.Reverse(reads)
	return reads
}

// mayJoin says whether next may be read with those from first on, which reach up
// to end.
func (d *device) mayJoin(first, next *field, end int) bool {
	s := spanOf(next)
	if !d.known.mayShare(first, next) || d.known.cutBetween(s.table, int(first.register.address), s.start) {
		return false
	}
	if s.start < end {
		return true
	}
	if d.limits.onePoint {
		return false
	}
	if s.start == end {
		return true
	}
	if d.known.isRefused(first) {
		return false
	}
	if g := d.limits.gap; g.limited && s.start-end > g.most {
		return false
	}
	for _, no := range d.limits.noRead {
		if no.touches(s.table, end, s.start) {
			return false
		}
	}
	return !d.known.refusedIn(s.table, end, s.start)
}

// newRead is the read of these fields, which are in order.
func (d *device) newRead(fields []*field) *read {
	s := spanOf(fields[0])
	for _, f := range fields[1:] {
		s.end = max(s.end, spanOf(f).end)
	}
	r := &read{device: d, table: s.table, address: uint16(s.start), count: s.end - s.start, fields: fields}
	for _, f := range fields {
		if g := d.group(f.interval); !slices.Contains(r.groups, g) {
			r.groups = append(r.groups, g)
		}
	}
	return r
}

// halves cuts a read where its widest hole is, or, where it has none, in the
// middle; nil if it has only one field.
func (r *read) halves() []*read {
	if len(r.fields) < 2 {
		return nil
	}
	at, widest := 0, 0
	end := spanOf(r.fields[0]).end
	for i, f := range r.fields[1:] {
		s := spanOf(f)
		if hole := s.start - end; hole > widest {
			at, widest = i+1, hole
		}
		end = max(end, s.end)
	}
	if at == 0 {
		at = len(r.fields) / 2
	}
	return []*read{r.device.newRead(r.fields[:at]), r.device.newRead(r.fields[at:])}
}
