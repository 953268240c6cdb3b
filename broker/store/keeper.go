package store

import (
	"errors"
	"syscall"
)

// job is one thing for the keeper.
type job struct {
	seal   *generation
	ckpt   *checkpoint
	remove *generation
}

// keepHouse is the keeper: it does, off the committer, what no commit has to
// wait for, in the order in which it is asked. It ends when jobs is closed.
func (s *Store) keepHouse() {
	defer close(s.keeper)
	for j := range s.jobs {
		var err error
		switch {
		case j.seal != nil:
			err = j.seal.seal()
		case j.remove != nil:
			err = s.spool.remove(j.remove)
		case j.ckpt != nil:
			err = s.checkpoint(j.ckpt)
		}
		if err != nil {
			s.fail(err)
		}
	}
}

// checkpoint writes a checkpoint, unless the store has failed or the disk has no
// room for what Badger may need with it.
func (s *Store) checkpoint(c *checkpoint) error {
	err := s.Err()
	if err != nil || !s.space.writable(0) {
		s.putOff(c)
		return nil
	}
	if err := s.state.write(c); err != nil {
		s.putOff(c)
		return err
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
		if err := s.spool.remove(g); err != nil {
			return err
		}
	}
	return nil
}

// putOff gives back what a checkpoint would have written, for the next one.
func (s *Store) putOff(c *checkpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, ch := range c.changes {
		if _, newer := s.dirty[k]; !newer {
			s.dirty[k] = ch
		}
	}
	for i := range c.queues {
		if q := s.queues[c.queues[i].id]; q != nil {
			s.touch(q)
		}
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
