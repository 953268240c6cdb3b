package modbus

import (
	"fmt"
	"slices"
	"time"
)

// planBlocks gives the reads of the blocks that have any of the fields in them, and
// the fields that are in none. A field in several is read with the first. What the
// device has refused, block or field, is left to be planned like anything else.
func (d *device) planBlocks(fields []*field) (reads []*read, rest []*field) {
	if len(d.limits.blocks) == 0 {
		return nil, fields
	}
	in := make([][]*field, len(d.limits.blocks))
	for _, f := range fields {
		at := slices.IndexFunc(d.limits.blocks, func(block span) bool { return block.holds(spanOf(f)) && !d.known.blockRefused(block) })
		if at < 0 || d.known.isRefused(f) {
			rest = append(rest, f)
			continue
		}
		in[at] = append(in[at], f)
	}
	for i, block := range d.limits.blocks {
		if len(in[i]) == 0 {
			continue
		}
		r := d.newRead(in[i])
		r.address, r.count, r.block = uint16(block.start), block.end-block.start, true
		reads = append(reads, r)
	}
	return reads, rest
}

func (l *learned) blockRefused(s span) bool {
	return slices.ContainsFunc(l.blocks, func(b refusedBlock) bool { return b.span == s })
}

// withoutBlock notes that the device has refused a block, and gives the read of
// those of its registers that have a field in them.
func (d *device) withoutBlock(r *read, now time.Time) *read {
	d.known.blocks = append(d.known.blocks, refusedBlock{r.span(), now.Add(forgetAfter)})
	plain := d.newRead(r.fields)
	plain.deadline = now.Add(plain.fields[0].interval / 2)
	return plain
}

// checkBlocks checks the blocks that are to be read as they are.
func (d *Device) checkBlocks(fault faultFunc) {
	if len(d.ReadBlocks) == 0 {
		return
	}
	l, err := d.limits()
	if err != nil {
		d.checkSpans(fault, "read_blocks", d.ReadBlocks)
		return // of other faults that are said where they stand nothing follows for a block
	}
	for i, text := range d.ReadBlocks {
		key := fmt.Sprintf("read_blocks[%d]", i)
		block := l.blocks[i]
		most := l.most(block.table)
		if n := block.end - block.start; n > most {
			fault(key, "%q is %d: the device lets one request read %d, see max_registers and max_bits", text, n, most)
		}
		if l.forbids(block) {
			fault(key, "%q has registers in it that must not be read: by no_read, or for the access of their point is \"w\"", text)
		}
		d.checkBlockPoints(func(format string, args ...any) { fault(key, format, args...) }, text, block, l.blocks)
	}
}

// checkBlockPoints checks that a block has a point in it, and no part of one that is
// in none of the blocks as a whole.
func (d *Device) checkBlockPoints(fault func(format string, args ...any), text string, block span, blocks []span) {
	used := false
	for _, p := range d.Point {
		f, err := newField(*d, p)
		if err != nil {
			return // said with the point
		}
		s := spanOf(&f)
		if !f.readable || !block.touches(s.table, s.start, s.end) {
			continue
		}
		used = true
		if !slices.ContainsFunc(blocks, func(b span) bool { return b.holds(s) }) {
			fault("%q has a part of point %s in it, which is %s: want all of it in one block, or none", text, p.Name, s.table.span(uint16(s.start), s.end-s.start))
		}
	}
	// Of a profile whose points are not all wanted a block may go unused.
	if !used && len(d.Point) > 0 && len(d.ProfilePoints) == 0 {
		fault("%q has no point in it: it would never be read", text)
	}
}
