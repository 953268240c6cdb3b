package store

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// job is one thing for the keeper.
type job struct {
	seal   *generation
	ckpt   *checkpoint
	remove *generation
	copy   *copyJob
}

// keepHouse is the keeper: it does, off the committer, what no commit has to
// wait for, in the order in which it is asked. It ends when jobs is closed.
func (s *Store) keepHouse() {
	defer close(s.keeper)
	s.compact(mostTables)
	for j := range s.jobs {
		switch {
		case j.seal != nil:
			s.unsealed = append(s.unsealed, j.seal)
		case j.remove != nil:
			s.removeGeneration(j.remove)
		case j.ckpt != nil:
			s.checkpoint(j.ckpt)
		}
		s.seal()
		if j.copy != nil {
			s.makeCopy(j.copy)
		}
	}
}

// seal seals the generations that are written no more. For a table there must be
// room; as long as there is none they stay open.
func (s *Store) seal() {
	for len(s.unsealed) > 0 {
		g := s.unsealed[0]
		if !s.makeRoom(g.tail.memUsed + 64<<10) {
			return
		}
		s.unsealed = s.unsealed[1:]
		// What is not in its table is in its write-ahead log: opening it for reading
		// takes that over.
		if err := g.seal(); err != nil {
			s.log.Warn("a generation of the spool did not close", "path", g.dir, "err", err)
		}
		s.keepReserve()
	}
}

func (s *Store) sweep() {
	if err := s.spool.sweep(); err != nil {
		s.log.Warn("a generation of the spool cannot be removed yet", "path", s.dir, "err", err)
	}
}

// removeGeneration removes a generation; where that does not succeed, another
// attempt follows with the next checkpoint.
func (s *Store) removeGeneration(g *generation) {
	s.spool.remove(g)
	s.sweep()
}

// checkpoint writes a checkpoint, unless commits are in trouble or the disk has
// no room for what Badger may need with it. One that the disk does not take is
// put off: the log has it all, and is kept as long.
func (s *Store) checkpoint(c *checkpoint) {
	if _, err := s.logTrouble.now(); err != nil && !errors.Is(err, ErrFull) || !s.mayCheckpoint() {
		s.putOff(c)
		return
	}
	if s.wear != nil {
		c.wear = s.wear.encode(time.Now())
	}
	if err := s.writeState(c); err != nil {
		if s.stateTrouble.note(err, time.Now()) {
			s.log.Error("the state database does not take a checkpoint: the log is kept until it does", "path", s.dir, "err", err)
		}
		s.putOff(c)
		return
	}
	if since := s.stateTrouble.over(); !since.IsZero() {
		s.log.Info("the state database takes checkpoints again", "path", s.dir, "took", time.Since(since))
	}
	s.counters.checkpoints.Add(1)
	s.mu.Lock()
	s.ckpt.busy = false
	s.ckpt.applied = c.applied
	s.saving = nil
	remove := s.removable()
	s.mu.Unlock()
	s.nudge()
	for _, g := range remove {
		s.removeGeneration(g)
	}
	s.sweep()
	s.keepReserve()
	s.compact(fewTables)
	s.evacuate()
}

// mayCheckpoint says whether the disk has room for a checkpoint. The reserve is
// there for one that lets a generation go.
func (s *Store) mayCheckpoint() bool {
	if s.space.writable(0) {
		return true
	}
	s.mu.Lock()
	lets := len(s.ckpt.dead) > 0
	s.mu.Unlock()
	return lets && s.makeRoom(256<<10) // beside its log, which is allocated
}

// writeState writes a checkpoint to a disk that takes something: one that hangs is
// waited for in a system call, see mapping.populate.
func (s *Store) writeState(c *checkpoint) error {
	if !s.memory {
		now := time.Now()
		if err := os.Chtimes(s.dir, now, now); err != nil {
			return err
		}
	}
	return s.state.write(c)
}

// saveWear has the next start know what was written today. It is no reason to
// fail: what the last checkpoint had is known.
func (s *Store) saveWear() {
	st, ok := s.state.(*stateDB)
	if !ok || s.look || s.Err() != nil {
		return
	}
	if err := st.writeWear(s.wear.encode(time.Now())); err != nil {
		s.log.Warn("what was written today is not saved", "path", s.dir, "err", err)
	}
}

// putOff gives back what a checkpoint would have written, for the next one.
func (s *Store) putOff(c *checkpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, ch := range c.changes {
		if _, newer := s.dirty[k]; !newer {
			s.dirty[k] = ch
			s.ckpt.dirty += int64(len(k) + len(ch.value))
		}
	}
	// All of them: after a failure the state database is made anew.
	for _, q := range s.queues {
		s.touch(q)
	}
	s.dropped = append(s.dropped, c.dropped...)
	s.saving = nil
	s.ckpt.busy = false
	s.nudge()
}

// noRoom says whether an error is that of a full disk.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
