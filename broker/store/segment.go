package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"
)

// A segment is the unit in which records reach the disk: a header, the records,
// and a list of the queues that have messages in it. All numbers but the
// records' own lengths are big-endian.
//
//	offset  size
//	     0     4  magic "hgsg"
//	     4     1  version of the format: 1, or compressedVersion
//	     5     1  place of the segment in its commit, 255 at most
//	     6     1  count of segments in its commit, 255 at most; 0: not known
//	     7     1  1: the records between it and the segment before it were left
//	              out, all of them being acknowledged; else 0
//	     8     8  number of the first record; the others follow without a gap
//	    16     4  count of records
//	    20     4  length of the records
//	    24     4  count of queues
//	    28     4  CRC32C of the records
//	    32     4  salt of the store: see findSegments
//	    36     4  CRC32C of bytes 0 to 35 and of the list of queues
//	    40        the records
//	              the queues: 24 bytes each, by ascending id
//
// An entry of the list of queues is id (4), count of messages (4), their bytes
// of Data and Meta (8), ordinal of the first one (8). What comes after the list
// is padding.
const (
	segmentMagic   = "hgsg"
	segmentVersion = 1

	headerSize     = 40
	queueEntrySize = 24

	// maxSegmentBytes bounds a segment, unless a single record is larger.
	maxSegmentBytes = 64 << 10
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

var errSegment = errors.New("damaged segment")

func segmentError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errSegment, fmt.Sprintf(format, args...))
}

// A segmentView reads an encoded segment in place.
type segmentView struct {
	first   uint64
	count   int
	body    []byte // the records, or packed ones
	queues  []byte
	bodyCRC uint32
	salt    uint32
	place   byte
	of      byte
	gap     bool   // what is missing before it was left out
	packed  bool   // body is as compressor.pack has made it
	whole   []byte // all of it
	opened  []byte // the records, once they were asked for
}

// queueEntry is what a segment says of one queue.
type queueEntry struct {
	queue QueueID
	count int
	bytes int64
	first uint64 // ordinal
}

// parseSegment checks a segment's header and list of queues. The records are
// not checked: see checkBody and records.
func parseSegment(b []byte) (segmentView, error) {
	var v segmentView
	if len(b) < headerSize {
		return v, segmentError("%d bytes are no header", len(b))
	}
	if string(b[:4]) != segmentMagic {
		return v, segmentError("magic is %q", b[:4])
	}
	if b[4] != segmentVersion && b[4] != compressedVersion {
		return v, segmentError("version %d, this program reads versions %d and %d", b[4], segmentVersion, compressedVersion)
	}
	v.packed, v.gap = b[4] == compressedVersion, b[7] == 1
	body := uint64(binary.BigEndian.Uint32(b[20:]))
	queues := uint64(binary.BigEndian.Uint32(b[24:])) * queueEntrySize
	if headerSize+body+queues > uint64(len(b)) {
		return v, segmentError("%d bytes of records and %d of queues in a segment of %d", body, queues, len(b))
	}
	v.first = binary.BigEndian.Uint64(b[8:])
	v.count = int(binary.BigEndian.Uint32(b[16:]))
	v.body = b[headerSize : headerSize+body]
	v.queues = b[headerSize+body : headerSize+body+queues]
	v.salt, v.place, v.of = binary.BigEndian.Uint32(b[32:]), b[5], b[6]
	v.whole = b[:headerSize+body+queues]
	v.bodyCRC = binary.BigEndian.Uint32(b[28:])
	if headCRC(b[:36], v.queues) != binary.BigEndian.Uint32(b[36:]) {
		return v, segmentError("checksum of the header")
	}
	if v.count <= 0 || v.first == 0 || v.first+uint64(v.count) < v.first {
		return v, segmentError("%d records from number %d", v.count, v.first)
	}
	return v, nil
}

func headCRC(header, queues []byte) uint32 {
	return crc32.Update(crc32.Checksum(header, crcTable), crcTable, queues)
}

// checkBody checks the records' checksum.
func (v *segmentView) checkBody() error {
	if crc32.Checksum(v.body, crcTable) != v.bodyCRC {
		return segmentError("checksum of the records")
	}
	return nil
}

// records checks the records' checksum, and gives them.
func (v *segmentView) records(z *compressor) (records []byte, err error) {
	if v.opened != nil {
		return v.opened, nil
	}
	if err := v.checkBody(); err != nil {
		return nil, err
	}
	records = v.body
	if v.packed {
		records, err = z.unpack(v.body)
	}
	v.opened = records
	return records, err
}

// last is the number of the last record.
func (v *segmentView) last() uint64 { return v.first + uint64(v.count) - 1 }

func (v *segmentView) queueCount() int { return len(v.queues) / queueEntrySize }

func (v *segmentView) queueAt(i int) queueEntry {
	b := v.queues[i*queueEntrySize:]
	return queueEntry{
		queue: QueueID(binary.BigEndian.Uint32(b)),
		count: int(binary.BigEndian.Uint32(b[4:])),
		bytes: int64(binary.BigEndian.Uint64(b[8:])),
		first: binary.BigEndian.Uint64(b[16:]),
	}
}

// find gives the entry of one queue, or false if it has nothing here.
func (v *segmentView) find(q QueueID) (queueEntry, bool) {
	lo, hi := 0, v.queueCount()
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if QueueID(binary.BigEndian.Uint32(v.queues[mid*queueEntrySize:])) < q {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == v.queueCount() {
		return queueEntry{}, false
	}
	e := v.queueAt(lo)
	return e, e.queue == q
}

// cutRecord cuts the next record off b: its content and what follows it.
func cutRecord(b []byte) (rec, rest []byte, err error) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n == 0 || n > uint64(len(b)-w) {
		return nil, nil, segmentError("length of a record")
	}
	return b[w : w+int(n)], b[w+int(n):], nil
}

// A segment is one that is in memory: being filled, waiting for the disk, or
// one of the newest. Bytes that a recentRef points to do not change any more, so
// readers use them without the store's lock.
type segment struct {
	mem      []byte // what buf may grow into; never moved
	buf      []byte // header, records; then the list of queues once finished; nil: it is on disk
	first    uint64 // number of the first record
	count    int
	queues   []segmentQueue
	finished bool
	salt     uint32
	place    int         // in its commit
	of       int         // segments in that
	living   *generation // of a store without a disk: counts what waits in it

	// While it has no batch; see spare.go. Guarded by Store.mu.
	begun     time.Time // when its first record came
	due       time.Time // when it is to be written
	must      bool      // in any case
	unsettled int       // messages in it, counted for each queue, that are not acknowledged
	charged   int64     // of Store.pending

	leftOut uint64 // records between it and the segment before in the log
}

func newSegment(mem []byte, first uint64) *segment {
	clear(mem[:headerSize])
	return &segment{mem: mem, buf: mem[:headerSize], first: first}
}

type segmentQueue struct {
	q *Queue
	queueEntry
}

// segmentOverhead is what a segment and a queue's share of it cost in memory
// besides buf.
const (
	segmentOverhead      = 160
	segmentQueueOverhead = 96
)

// size is the length of the segment as it will be on disk, until it is finished.
func (g *segment) size() int { return len(g.buf) + len(g.queues)*queueEntrySize }

// memory is what the segment costs, until it is finished.
func (g *segment) memory() int64 {
	return int64(g.size()+len(g.queues)*segmentQueueOverhead) + segmentOverhead
}

// fits says whether a record of n bytes for so many queues still goes in.
func (g *segment) fits(n, queues int) bool {
	return g.size()+n+queues*queueEntrySize <= len(g.mem)
}

func (g *segment) last() uint64 { return g.first + uint64(g.count) - 1 }

// finish completes the encoding, once. Only the committer calls it, when nothing
// is added any more.
func (g *segment) finish(z *compressor) []byte {
	if g.finished {
		return g.buf // it is committed again
	}
	g.finished = true
	version := byte(segmentVersion)
	if packed := z.pack(g.buf[headerSize:], len(g.queues)*queueEntrySize); packed != nil {
		g.buf, version = packed, compressedVersion
	}
	body := g.buf[headerSize:]
	slices.SortFunc(g.queues, func(a, b segmentQueue) int { return cmp.Compare(a.queue, b.queue) })
	for i := range g.queues {
		e := &g.queues[i]
		g.buf = binary.BigEndian.AppendUint32(g.buf, uint32(e.queue))
		g.buf = binary.BigEndian.AppendUint32(g.buf, uint32(e.count))
		g.buf = binary.BigEndian.AppendUint64(g.buf, uint64(e.bytes))
		g.buf = binary.BigEndian.AppendUint64(g.buf, e.first)
	}
	h := g.buf[:headerSize]
	copy(h, segmentMagic)
	h[4] = version
	h[5], h[6] = byte(min(g.place, 255)), byte(min(g.of, 255))
	if g.leftOut > 0 {
		h[7] = 1
	}
	binary.BigEndian.PutUint32(h[32:], g.salt)
	binary.BigEndian.PutUint64(h[8:], g.first)
	binary.BigEndian.PutUint32(h[16:], uint32(g.count))
	binary.BigEndian.PutUint32(h[20:], uint32(len(body)))
	binary.BigEndian.PutUint32(h[24:], uint32(len(g.queues)))
	binary.BigEndian.PutUint32(h[28:], crc32.Checksum(body, crcTable))
	binary.BigEndian.PutUint32(h[36:], headCRC(h[:36], g.buf[headerSize+len(body):]))
	return g.buf
}
