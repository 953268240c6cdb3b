package store

import "math"

// A timeline says of the messages that no reader was given yet how many bytes
// they have and of which records they are: enough to drop the oldest without
// reading them. It is bounded: where there are many, neighbours share a stretch,
// within which the bytes and the records count as evenly spread. What that is
// out by is put right when the stretch ends.
type timeline struct {
	first uint64 // ordinal of the first message
	list  []stretch
	begin int // those before it are done with
}

type stretch struct {
	end      uint64 // ordinal after its last message; it begins where the one before ends
	bytes    int64  // of Data and Meta
	from, to uint64 // numbers of the first and the last record
}

const maxStretches = 128

func (t *timeline) stretches() []stretch { return t.list[t.begin:] }

// add appends messages.
func (t *timeline) add(r ordinals, bytes int64, from, to uint64) {
	if t.begin == len(t.list) {
		t.first, t.list, t.begin = r.first, t.list[:0], 0
	}
	if len(t.list)-t.begin == maxStretches {
		t.merge()
	}
	if len(t.list) == cap(t.list) && t.begin > 0 {
		t.list, t.begin = t.list[:copy(t.list, t.stretches())], 0
	}
	t.list = append(t.list, stretch{r.end, bytes, from, to})
}

// merge joins neighbours, as long as none becomes more than a small part of all:
// then there is room for others.
func (t *timeline) merge() {
	list := t.stretches()
	var bytes float64
	for i := range list {
		bytes += float64(list[i].bytes)
	}
	messages := float64(list[len(list)-1].end - t.first)
	weigh := func(n uint64, b int64) float64 { return float64(n)/messages + float64(b)/max(bytes, 1) }
	const most = 2 * 2.7 / maxStretches // two neighbours have more than this, so three quarters remain at most
	kept, first := 0, t.first
	for _, s := range list[1:] {
		k := &list[kept]
		if weigh(s.end-first, s.bytes+k.bytes) <= most {
			*k = stretch{s.end, s.bytes + k.bytes, k.from, s.to}
			continue
		}
		first = k.end
		kept++
		list[kept] = s
	}
	t.list = t.list[:copy(t.list, list[:kept+1])]
	t.begin = 0
}

// pass takes the messages before an ordinal out, of which those that could be
// read have so many bytes, the last one in record number. It gives by how much
// the timeline had thought wrong: what counts its bytes is to add that.
func (t *timeline) pass(end uint64, bytes int64, number uint64) (wrong int64) {
	if end <= t.first {
		return 0
	}
	had := int64(0)
	for t.begin < len(t.list) && t.list[t.begin].end <= end {
		had += t.list[t.begin].bytes
		t.begin++
	}
	t.first = end
	if t.begin == len(t.list) {
		t.list, t.begin = t.list[:0], 0
		return bytes - had
	}
	s := &t.list[t.begin]
	s.from = min(max(s.from, number+1), s.to)
	if had >= bytes {
		return bytes - had
	}
	more := bytes - had
	wrong = max(0, more-s.bytes)
	s.bytes -= more - wrong
	return wrong
}

// drop takes the messages before an ordinal out, and gives how many bytes they
// had.
func (t *timeline) drop(end uint64) (bytes int64) {
	for t.begin < len(t.list) && t.list[t.begin].end <= end {
		s := &t.list[t.begin]
		bytes += s.bytes
		t.first = s.end
		t.begin++
	}
	if t.begin == len(t.list) {
		t.list, t.begin = t.list[:0], 0
		return bytes
	}
	if s := &t.list[t.begin]; end > t.first {
		part, of := float64(end-t.first), float64(s.end-t.first)
		cut := int64(float64(s.bytes) * part / of)
		s.bytes -= cut
		s.from += uint64(float64(s.to-s.from) * part / of)
		t.first = end
		bytes += cut
	}
	return bytes
}

// enough is the ordinal before which there are so many messages, and so many
// bytes.
func (t *timeline) enough(messages, bytes int64) uint64 {
	end := t.first
	for _, s := range t.stretches() {
		n := int64(s.end - end)
		if messages >= n || bytes >= s.bytes && bytes > 0 {
			messages -= n
			bytes -= s.bytes
			end = s.end
			continue
		}
		take := max(messages, 0)
		if bytes > 0 {
			take = max(take, min(n, int64(math.Ceil(float64(bytes)*float64(n)/float64(s.bytes)))))
		}
		return end + uint64(take)
	}
	return end
}

// older is the ordinal before which all messages are of records before number.
func (t *timeline) older(number uint64) uint64 {
	end := t.first
	for _, s := range t.stretches() {
		if s.to >= number {
			break
		}
		end = s.end
	}
	return end
}
