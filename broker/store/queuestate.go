package store

import (
	"encoding/binary"
	"errors"

	"github.com/dgraph-io/badger/v4"
)

// queueState is a queue in a checkpoint.
type queueState struct {
	id       QueueID
	name     string
	next     uint64
	head     uint64
	acked    []ordinals // above head
	received []ordinals
	drops    Drops
	dropsAt  uint64 // of load: the record up to which drops count
}

func queueKey(id QueueID) []byte { return binary.BigEndian.AppendUint32([]byte{'q'}, uint32(id)) }
func dropsKey(id QueueID) []byte { return binary.BigEndian.AppendUint32([]byte{'d'}, uint32(id)) }

func (q *queueState) loadDrops(txn *badger.Txn) error {
	item, err := txn.Get(dropsKey(q.id))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return item.Value(func(b []byte) (err error) {
		if len(b) < 8 {
			return errState
		}
		q.dropsAt = binary.BigEndian.Uint64(b)
		q.drops, err = cutDrops(b[8:])
		return err
	})
}

func (q *queueState) encode() []byte {
	b := binary.AppendUvarint(nil, uint64(len(q.name)))
	b = append(b, q.name...)
	b = binary.AppendUvarint(b, q.next)
	b = binary.AppendUvarint(b, q.head)
	acked := appendOrdinals(nil, q.acked)
	b = append(binary.AppendUvarint(b, uint64(len(acked))), acked...)
	return appendOrdinals(b, q.received)
}

func decodeQueueState(id QueueID, b []byte) (queueState, error) {
	q := queueState{id: id}
	bad := false
	number := func() uint64 {
		v, w := binary.Uvarint(b)
		if w <= 0 {
			bad = true
			return 0
		}
		b = b[w:]
		return v
	}
	bytes := func() []byte {
		n := number()
		if n > uint64(len(b)) {
			bad = true
			return nil
		}
		v := b[:n]
		b = b[n:]
		return v
	}
	q.name = string(bytes())
	q.next, q.head = number(), number()
	acked, aerr := cutOrdinals(bytes())
	received, rerr := cutOrdinals(b)
	if bad || aerr != nil || rerr != nil || q.head > q.next {
		return q, errState
	}
	q.acked, q.received = acked, received
	return q, nil
}
