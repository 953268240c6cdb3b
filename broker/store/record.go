package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Kind says what a record is.
type Kind uint8

const (
	Message Kind = 1 // goes to the queues in Refs
	Put     Kind = 2 // sets Key to Data in the state
	Delete  Kind = 3 // removes Key from the state

	// Acknowledge is Queue.Ack as part of a commit: durable with what else is
	// in it, so that a message moves from one queue to another and is never in
	// both or in none.
	Acknowledge Kind = 4

	// Remove is RemoveQueue as part of a commit: the queue goes with what else is
	// in it, or stays with it.
	Remove Kind = 5

	queueCreated Kind = 16 // a queue's id and name
	queueRemoved Kind = 17 // a queue's id
	acknowledged Kind = 18 // a queue's id and ranges of ordinals
	received     Kind = 19 // a queue's id and ranges of ordinals
	dropped      Kind = 20 // a queue's id and how many messages it has dropped
)

// QueueID names a queue for as long as the queue is; it is not given again.
type QueueID uint32

// Ref puts a message into one queue. Meta is the caller's own few bytes, which
// come back in the Item (at most 65,535). A Ref to a queue that has been removed
// is left out.
type Ref struct {
	Queue QueueID
	Meta  []byte
}

// Record is one entry of the log, of at most 9 MiB.
type Record struct {
	Kind Kind
	Refs []Ref  // Message: the queues that it goes to, each at most once; Acknowledge and Remove: one
	Key  string // Put and Delete: at most 64,000 bytes, not empty
	Data []byte // Message and Put

	Number uint64 // Acknowledge: of the message's record

	// Window is how long the record may wait for others before it is written,
	// so that they share a write. A commit waits as long as its record with the
	// shortest one; what comes with a shorter one takes it along.
	Window time.Duration

	// Spare says of a message that it need not be written once each of its queues
	// has acknowledged it: if that is so before the end of its window, it never is.
	// It counts where all records of a commit are such, with a window each.
	Spare bool
}

// MaxKeyBytes is the longest a key or a queue's name may be.
const MaxKeyBytes = 64_000 // Badger takes 65,000

const maxMetaBytes = 1<<16 - 1

// A record in a segment is its length as a uvarint, its Kind, and then
//
//	Message       count of queues as a uvarint; for each its id (4) and where
//	              its Meta ends (4), counted from where the first one begins;
//	              the Metas; the Data. More than linearRefs are by ascending id
//	Put           length of the key as a uvarint, the key, the Data
//	Delete        the key
//	queueCreated  id (4), name
//	queueRemoved  id (4)
//	acknowledged, received
//	              id (4), ranges: where it begins, as a uvarint counted from the
//	              end of the one before, and its length as a uvarint
//	dropped       id (4), four counts as uvarints: see Drops. The ordinals stand in
//	              an acknowledged
const (
	refSize    = 8
	linearRefs = 8
)

// maxEncoded bounds the length of r as encoded. The error is for a record that
// the log does not take.
func (r *Record) maxEncoded() (int, error) {
	n := 2*binary.MaxVarintLen32 + 1 + len(r.Data) + len(r.Key) + len(r.Refs)*refSize
	switch r.Kind {
	case Message:
		if r.Key != "" {
			return 0, errors.New("a message has no key")
		}
		for i := range r.Refs {
			if len(r.Refs[i].Meta) > maxMetaBytes {
				return 0, fmt.Errorf("meta of %d bytes: at most %d go into a record", len(r.Refs[i].Meta), maxMetaBytes)
			}
			n += len(r.Refs[i].Meta)
		}
	case Put, Delete:
		if len(r.Refs) > 0 {
			return 0, errors.New("only a message goes to queues")
		}
		if len(r.Key) == 0 || len(r.Key) > MaxKeyBytes {
			return 0, fmt.Errorf("key of %d bytes: want 1 to %d", len(r.Key), MaxKeyBytes)
		}
	case Acknowledge:
		if len(r.Refs) != 1 {
			return 0, errors.New("an acknowledgement is for one queue")
		}
		n += 4 * binary.MaxVarintLen64
	case Remove:
		if len(r.Refs) != 1 {
			return 0, errors.New("a removal is of one queue")
		}
	default:
		return 0, fmt.Errorf("kind %d is not for the log", r.Kind)
	}
	if n > maxRecordBytes {
		return 0, fmt.Errorf("record of %d bytes: at most %d go into the log", n, maxRecordBytes)
	}
	return n, nil
}

// target is a Ref whose queue has been looked up.
type target struct {
	q    *Queue
	meta []byte
}

// appendMessage appends a message as it stands in a segment. It may sort ts.
func appendMessage(dst []byte, ts []target, data []byte) []byte {
	if len(ts) > linearRefs {
		slices.SortFunc(ts, func(a, b target) int { return cmp.Compare(a.q.id, b.q.id) })
	}
	n := 1 + uvarintLen(len(ts)) + len(ts)*refSize + len(data)
	for _, t := range ts {
		n += len(t.meta)
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	dst = append(dst, byte(Message))
	dst = binary.AppendUvarint(dst, uint64(len(ts)))
	end := 0
	for _, t := range ts {
		end += len(t.meta)
		dst = binary.BigEndian.AppendUint32(dst, uint32(t.q.id))
		dst = binary.BigEndian.AppendUint32(dst, uint32(end))
	}
	for _, t := range ts {
		dst = append(dst, t.meta...)
	}
	return append(dst, data...)
}

func uvarintLen(n int) int {
	l := 1
	for ; n >= 0x80; n >>= 7 {
		l++
	}
	return l
}

// cutMessage gives what a message holds for queue q; ok is false if it holds
// nothing for it. rec is the record without its length.
func cutMessage(rec []byte, q QueueID) (meta, data []byte, ok bool, err error) {
	if len(rec) == 0 || Kind(rec[0]) != Message {
		return nil, nil, false, nil
	}
	n, w := binary.Uvarint(rec[1:])
	if w <= 0 || n > uint64(len(rec)-1-w)/refSize {
		return nil, nil, false, segmentError("queues of a message")
	}
	refs := rec[1+w : 1+w+int(n)*refSize]
	rest := rec[1+w+len(refs):]
	i, ok := findRef(refs, q)
	if !ok {
		return nil, nil, false, nil
	}
	begin := 0
	if i > 0 {
		begin = refEnd(refs, i-1)
	}
	end, metas := refEnd(refs, i), refEnd(refs, int(n)-1)
	if begin > end || end > metas || metas > len(rest) {
		return nil, nil, false, segmentError("meta of a message")
	}
	return rest[begin:end:end], rest[metas:len(rest):len(rest)], true, nil
}

func refEnd(refs []byte, i int) int {
	return int(binary.BigEndian.Uint32(refs[i*refSize+4:]) & (1<<31 - 1))
}

func findRef(refs []byte, q QueueID) (int, bool) {
	n := len(refs) / refSize
	at := func(i int) QueueID { return QueueID(binary.BigEndian.Uint32(refs[i*refSize:])) }
	if n <= linearRefs {
		for i := range n {
			if at(i) == q {
				return i, true
			}
		}
		return 0, false
	}
	lo, hi := 0, n
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); at(mid) < q {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < n && at(lo) == q
}

// appendState appends a Put or a Delete as it stands in a segment.
func appendState(dst []byte, r *Record) []byte {
	if r.Kind == Delete {
		dst = binary.AppendUvarint(dst, uint64(1+len(r.Key)))
		dst = append(dst, byte(Delete))
		return append(dst, r.Key...)
	}
	dst = binary.AppendUvarint(dst, uint64(1+uvarintLen(len(r.Key))+len(r.Key)+len(r.Data)))
	dst = append(dst, byte(Put))
	dst = binary.AppendUvarint(dst, uint64(len(r.Key)))
	dst = append(dst, r.Key...)
	return append(dst, r.Data...)
}

// cutState gives the key and, of a Put, the value.
func cutState(rec []byte) (key string, value []byte, err error) {
	kind, b := Kind(rec[0]), rec[1:]
	if kind == Delete {
		return string(b), nil, nil
	}
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return "", nil, segmentError("key of a put")
	}
	return string(b[w : w+int(n)]), b[w+int(n):], nil
}

// appendQueueEvent appends a record about a queue: of kind queueCreated with its
// name, or queueRemoved with none.
func appendQueueEvent(dst []byte, k Kind, id QueueID, name string) []byte {
	dst = binary.AppendUvarint(dst, uint64(1+4+len(name)))
	dst = append(dst, byte(k))
	dst = binary.BigEndian.AppendUint32(dst, uint32(id))
	return append(dst, name...)
}

// cutQueueEvent gives the queue that a record is about, and what else it says.
func cutQueueEvent(rec []byte) (id QueueID, rest []byte, err error) {
	if len(rec) < 5 {
		return 0, nil, segmentError("record about a queue")
	}
	return QueueID(binary.BigEndian.Uint32(rec[1:])), rec[5:], nil
}

// ordinals is a range of a queue's messages: from first to before end.
type ordinals struct{ first, end uint64 }

func (o ordinals) len() uint64 { return o.end - o.first }

// addOrdinals adds a range to a list of them.
func addOrdinals(list []ordinals, r ordinals) []ordinals {
	if n := len(list); n > 0 && list[n-1].end == r.first {
		list[n-1].end = r.end
		return list
	}
	return append(list, r)
}

// maxOrdinals is how many ranges go into one record.
const maxOrdinals = 2000

func appendOrdinals(dst []byte, list []ordinals) []byte {
	at := uint64(0)
	for _, r := range list {
		// Wraps round when the ranges are not in order, and back when read.
		dst = binary.AppendUvarint(dst, r.first-at)
		dst = binary.AppendUvarint(dst, r.len())
		at = r.end
	}
	return dst
}

func cutOrdinals(b []byte) ([]ordinals, error) {
	var list []ordinals
	at := uint64(0)
	for len(b) > 0 {
		d, w := binary.Uvarint(b)
		if w <= 0 {
			return nil, segmentError("ranges of ordinals")
		}
		b = b[w:]
		n, w := binary.Uvarint(b)
		if w <= 0 || n == 0 || at+d+n < at+d {
			return nil, segmentError("ranges of ordinals")
		}
		b = b[w:]
		list = append(list, ordinals{at + d, at + d + n})
		at += d + n
	}
	return list, nil
}
