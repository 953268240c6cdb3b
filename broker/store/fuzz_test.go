package store

import (
	"bytes"
	"testing"
)

// Whatever stands on the disk, decoding it neither panics nor takes more memory
// than it has bytes, or packed ones may become; and what it gives is within that.
func FuzzSegment(f *testing.F) {
	s := OpenMemory(small(), quiet())
	defer s.Close()
	a, _ := s.Queue("a")
	b, _ := s.Queue("b")
	refs := []Ref{{a.ID(), []byte("meta")}, {b.ID(), nil}}
	z, err := newCompressor(Zstd)
	if err != nil {
		f.Fatal(err)
	}
	g := newSegment(make([]byte, 4096), 7)
	for i, rec := range []Record{
		{Kind: Message, Refs: refs, Data: []byte("for both")},
		{Kind: Put, Key: "key", Data: []byte("value")},
		{Kind: Delete, Key: "key"},
	} {
		if rec.Kind == Message {
			ts := []target{{a, refs[0].Meta}, {b, nil}}
			g.buf = appendMessage(g.buf, ts, rec.Data)
			for _, t := range ts {
				g.queues = append(g.queues, segmentQueue{t.q, queueEntry{queue: t.q.id, count: 1, bytes: 12, first: uint64(i)}})
			}
		} else {
			g.buf = appendState(g.buf, &rec)
		}
		g.count++
	}
	g.buf = appendQueueEvent(g.buf, queueCreated, 3, "c")
	g.buf = appendQueueEvent(g.buf, acknowledged, 3, string(appendOrdinals(nil, []ordinals{{1, 3}, {9, 10}})))
	g.count += 2
	raw := bytes.Clone(g.buf)
	whole := g.finish(nil)
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add([]byte(segmentMagic))
	for range 5 { // so that it is worth packing
		g.buf = append(raw, raw[headerSize:]...)
		raw = g.buf
	}
	g.finished = false
	packed := g.finish(z)
	if v, err := parseSegment(packed); err != nil || !v.packed {
		f.Fatal("it is not packed: ", err)
	}
	f.Add(packed)
	f.Add(packed[:len(packed)-1])
	f.Fuzz(func(t *testing.T, seg []byte) {
		given := bytes.Clone(seg)
		v, err := parseSegment(seg)
		if err != nil {
			// As if the checksums were right: they are no protection against a fault
			// of ours.
			if len(seg) < headerSize {
				return
			}
			v = segmentView{first: 1, count: len(seg), body: seg[headerSize:], packed: seg[4] == compressedVersion}
		}
		v.opened = v.body
		if v.packed {
			if v.opened, err = z.unpack(v.body); err != nil {
				return
			}
			if len(v.opened) > maxInflated {
				t.Fatalf("%d bytes became %d", len(v.body), len(v.opened))
			}
		}
		decodeAll(t, &v)
		for i := range v.queueCount() {
			e := v.queueAt(i)
			if items, err := v.items(z, e, 0, nil); err == nil {
				for _, it := range items {
					if len(it.Data)+len(it.Meta) > len(v.opened) || it.Number < v.first || it.Number > v.last() {
						t.Fatalf("item %+v of a segment of %d bytes", it, len(seg))
					}
				}
			}
		}
		if !bytes.Equal(given, seg) {
			t.Fatal("decoding has changed it")
		}
	})
}

func decodeAll(t *testing.T, v *segmentView) {
	b := v.opened
	for range v.count {
		rec, rest, err := cutRecord(b)
		if err != nil {
			return
		}
		if len(rest) >= len(b) {
			t.Fatal("a record without an end")
		}
		b = rest
		switch Kind(rec[0]) {
		case Message:
			_, _, _, _ = cutMessage(rec, 1)
		case Put, Delete:
			_, _, _ = cutState(rec)
		case queueCreated, queueRemoved, acknowledged, received:
			if _, body, err := cutQueueEvent(rec); err == nil {
				list, err := cutOrdinals(body)
				for _, r := range list {
					if err == nil && r.end <= r.first {
						t.Fatalf("range %+v", r)
					}
				}
			}
		}
	}
}
