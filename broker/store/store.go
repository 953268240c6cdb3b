// Package store is the durable log of the broker: the only place where anything
// becomes durable, and the only package that imports Badger.
//
// A record is a message for some queues, a state key set or deleted, or one of
// the store's own: a queue created or removed, acknowledgements, PUBRECs that
// came. Records have one order and one number each. One goroutine, the committer,
// gathers what arrives while the last commit syncs and writes it as one
// transaction of segments (segment.go) to the tail of the spool, which is a list
// of generations (generation.go, spool.go): directories that are written once and
// removed as a whole when nothing in them is wanted any more. The state database
// (state.go) is a checkpoint of that log, which opening brings up to date
// (recover.go). The newest segments stay in memory, in the ring; a queue's reader
// (reader.go) reads them there and the others from disk, by the same numbers and
// ordinals, so that nothing is ever out of order.
//
// What every queue has acknowledged before it was written is left out of the log
// (spare.go), where the caller allows that.
//
// What waits in a queue is bounded by its quota (quota.go): the oldest that no
// reader was given can be dropped without being read, by what the queue's timeline
// (timeline.go) remembers of their bytes and numbers.
//
// What a record says is opaque here: the broker encodes it, and calls Commit,
// Queue and State.
package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

var (
	// ErrFull is for a commit that a limit refuses; nothing of it is kept. What
	// wraps it says which limit.
	ErrFull = errors.New("the store is full")

	// ErrClosed is for what comes after Close.
	ErrClosed = errors.New("the store is closed")
)

// Store is one directory's log. Its methods may be called from any goroutine.
type Store struct {
	dir     string
	cfg     Config
	log     *slog.Logger
	lock    *os.File
	spool   *spool
	state   checkpoints
	space   space
	ledger  ledger
	opening opening // while it is opened
	reserve reserve

	compressor *compressor // nil: without a disk

	look   bool // nothing is committed: see OpenToLook
	memory bool // without a disk: see OpenMemory

	firstNew  uint64 // number of the first record of this start
	maxRecord int    // encoded

	// telling is held while callers are told what became of their commits, which so
	// comes in the order of the calls. It is taken before mu.
	telling sync.Mutex

	mu        sync.Mutex // guards what follows, to the blank line
	closing   bool
	err       error // given up: nothing is written any more
	refusing  error // commits end with it at once
	next      uint64
	queues    map[QueueID]*Queue
	names     map[string]*Queue
	nextID    QueueID
	open      *segment   // being filled; nil: none
	chunk     []byte     // free memory for segments; open has its begin
	sealed    []*segment // full ones that wait for the committer
	waiters   []waiter
	earlyAt   time.Time     // when a message was last acknowledged before it was written
	logged    uint64        // number of the last record that was given to a batch to be written
	writing   []waiter      // of the batch that is being written
	begun     time.Time     // when its writing began; zero: none is
	prompt    int           // of waiters, those without a Window
	awaited   int           // of writing, those
	due       time.Time     // when what waits is written; in the past: at once
	pending   int64         // bytes that commits wait with
	changes   []stateChange // of the records in open and sealed
	notify    []*Reader
	targets   []target
	touched   []*Queue // changed since the last checkpoint
	refusers  int      // queues whose quota refuses
	dropped   []QueueID
	moves     []move   // of an evacuation, for the committer
	shedding  bool     // the commit that is being taken is left out of all queues
	copying   bool     // there is a copy, or one is being made
	copyAsked *copyJob // for the committer
	ring      ring
	dirty     stateChanges // committed, in no checkpoint yet
	saving    stateChanges // in the checkpoint that is being written
	ckpt      checkpointState
	refusal   refusal

	stateLost bool // the state database was put aside at this start

	unloggedMu sync.Mutex // guards unlogged; taken last
	unlogged   []*Queue   // with acknowledgements that the log does not have
	newAcks    atomic.Int64
	newDrops   atomic.Bool  // some of newAcks are drops
	sparable   atomic.Int64 // segments without a batch that may be left out

	// The committer's. ackedSince: since when there are acknowledgements that the
	// log does not have. failed: generations to be sealed when the disk is back.
	ackedSince time.Time
	failed     []*generation

	unsealed []*generation // of the keeper: see seal

	logTrouble   trouble
	asking       atomic.Bool  // by askDisk
	answered     atomic.Int64 // when the disk was asked last and answered, in ns since 1970
	stateTrouble trouble

	wear      *wear // nil: without a disk
	latencies latencies

	durable    atomic.Uint64 // every record up to this one is on disk
	readersEnd atomic.Bool
	lost       atomic.Int64
	counters   counters

	wake      chan struct{} // to the committer: something is to be done
	refused   chan struct{} // to the watcher: there is a commit that was refused
	jobs      chan job      // to the keeper
	committer chan struct{} // closed when it has ended
	keeper    chan struct{}
	closed    chan struct{} // closed to end the watcher
	watcher   chan struct{} // closed when it has ended
}

// waiter is a commit whose done has not run.
type waiter struct {
	done    func(error)
	after   uint64 // number of the last record that it waits for
	err     error  // refused
	patient bool   // it has no records: it waits as long as the disk does
	prompt  bool   // it has no Window
}

// Open opens the store in dir, and makes it if there is none. It brings the
// state up to date and counts what waits; what cannot be read is put aside or
// left out, logged and counted. A zero field of cfg takes its default.
func Open(dir string, cfg Config, log *slog.Logger) (*Store, error) {
	cfg.SetDefaults()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the store's directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	s := newStore(dir, cfg, log)
	s.lock = lock
	s.reserve.path = reserveOf(dir)
	s.ledger.path = filepath.Join(dir, ledgerFile)
	s.wear = newWear(dir, &s.cfg, &s.counters.payload, log)
	if s.compressor, err = newCompressor(cfg.Compression); err != nil {
		return nil, errors.Join(fmt.Errorf("open the store: %w", err), s.release())
	}
	if err := s.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("open the store: %w", err), s.release())
	}
	go s.commitAll()
	go s.keepHouse()
	go s.watch()
	return s, nil
}

func newStore(dir string, cfg Config, log *slog.Logger) *Store {
	// A quarter of the limit at most is in a generation that cannot go yet, and
	// everything that waits fits into one.
	room := min(int64(cfg.GenerationBytes), int64(cfg.MaxBytes)/4)
	cfg.PendingBytes = min(cfg.PendingBytes, Bytes(room/4*3))
	s := &Store{
		dir:       dir,
		cfg:       cfg,
		log:       log,
		spool:     &spool{dir: spoolDir(dir), log: log, room: room},
		maxRecord: min(maxRecordBytes, int(cfg.PendingBytes)-headerSize),
		queues:    make(map[QueueID]*Queue),
		names:     make(map[string]*Queue),
		nextID:    1,
		next:      1,
		ring:      ring{limit: int64(cfg.RingBytes)},
		dirty:     make(stateChanges),
		space:     space{dir: dir, next: memAlloc + room, minFree: int64(cfg.MinFree), maxBytes: int64(cfg.MaxBytes)},
		ledger:    ledger{log: log},
		wake:      make(chan struct{}, 1),
		refused:   make(chan struct{}, 1),
		jobs:      make(chan job, 16),
		committer: make(chan struct{}),
		keeper:    make(chan struct{}),
		closed:    make(chan struct{}),
		watcher:   make(chan struct{}),
	}
	s.spool.makeRoom = s.makeRoom
	return s
}

// closeLate is for how many times patience Close waits for the disk.
const closeLate = 3

// Close commits what waits, writes a checkpoint and ends. Afterwards Commit ends
// with ErrClosed, and so does a reader's Next. Another Close does nothing. A disk
// that answers nothing for 30 seconds is not waited for any longer: the error says
// so, and only the end of the process closes what is open.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		<-s.watcher
		return nil
	}
	s.closing = true
	s.mu.Unlock()
	s.nudge()
	defer func() {
		close(s.closed)
		<-s.watcher
	}()
	late := time.NewTimer(closeLate * s.cfg.Patience)
	defer late.Stop()
	select {
	case <-s.committer:
	case <-late.C:
		return fmt.Errorf("close the store: %w", s.hangs())
	}
	close(s.jobs)
	select {
	case <-s.keeper:
	case <-late.C:
		return fmt.Errorf("close the store: %w", s.hangs())
	}
	s.saveWear()
	s.readersEnd.Store(true)
	s.ledger.flush()
	return errors.Join(s.Err(), s.release())
}

// release closes the databases and gives the directory up. Where the disk was given
// up they are left to the end of the process: Badger would try for ever to write
// what it has, or die of it.
func (s *Store) release() error {
	var errs []error
	lost := s.gaveUp() != nil
	if !lost {
		errs = append(errs, s.spool.close())
	}
	if s.state != nil && !lost {
		errs = append(errs, s.state.close())
	}
	if s.lock != nil {
		errs = append(errs, unlockDir(s.lock))
	}
	return errors.Join(errs...)
}

// nudge wakes the committer.
func (s *Store) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Queue finds a queue by its name, or creates it. A creation is a record in the
// log: it is durable before any later commit is.
func (s *Store) Queue(name string) (*Queue, error) {
	if len(name) == 0 || len(name) > MaxKeyBytes {
		return nil, fmt.Errorf("queue name of %d bytes: want 1 to %d", len(name), MaxKeyBytes)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.names[name]; q != nil {
		return q, nil
	}
	switch {
	case s.closing:
		return nil, fmt.Errorf("create queue %q: %w", name, ErrClosed)
	case s.refusing != nil:
		return nil, fmt.Errorf("create queue %q: %w", name, s.refusing)
	}
	q := &Queue{s: s, id: s.nextID, name: name}
	s.nextID++
	s.addQueue(q)
	s.touch(q)
	seg := s.segmentFor(len(name)+16, 0)
	seg.buf = appendQueueEvent(seg.buf, queueCreated, q.id, name)
	s.appended(seg)
	s.nudge()
	return q, nil
}

func (s *Store) addQueue(q *Queue) {
	s.queues[q.id] = q
	s.names[q.name] = q
}

// touch notes that the next checkpoint must have q. The caller holds mu.
func (s *Store) touch(q *Queue) {
	if !q.touched {
		q.touched = true
		s.touched = append(s.touched, q)
	}
}

// Queues gives all queues, in no order.
func (s *Store) Queues() []*Queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*Queue, 0, len(s.queues))
	for _, q := range s.queues {
		list = append(list, q)
	}
	return list
}

// RemoveQueue lets a queue and all that waits in it go, and ends its reader. It
// is a record in the log, durable with the next commit.
func (s *Store) RemoveQueue(q *Queue) {
	s.mu.Lock()
	if s.queues[q.id] == q {
		s.removeQueue(q)
	}
	s.mu.Unlock()
	s.nudge()
}

// removeQueue is RemoveQueue for a queue that there is. The caller holds mu.
func (s *Store) removeQueue(q *Queue) {
	delete(s.queues, q.id)
	delete(s.names, q.name)
	if !s.closing {
		seg := s.segmentFor(16, 0)
		seg.buf = appendQueueEvent(seg.buf, queueRemoved, q.id, "")
		s.appended(seg)
		s.dropped = append(s.dropped, q.id)
	}
	q.remove()
}
