package web

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// archiving has an archive, as far as the configuration wants one, and writes it. A
// reload may give it another limit, and begin and end it.
type archiving struct {
	dir   string        // "": there is none, ever
	limit atomic.Int64  // bytes that the archive may have; 0: there is to be none
	other chan struct{} // limit is another one; has room for one
	rows  chan minute   // to be written
	now   atomic.Pointer[archive]
}

// minute is a row for the archive.
type minute struct {
	number int64  // since 1970
	names  string // of the points, a line each: see pointNames
	row    []span
}

func newArchiving(cfg *Config, devices []Device, log *slog.Logger) *archiving {
	a := &archiving{dir: cfg.HistoryDir, other: make(chan struct{}, 1), rows: make(chan minute, 1)}
	if a.dir != "" {
		a.limit.Store(max(0, int64(cfg.HistoryBytes)))
	}
	if err := a.adjust(devices); err != nil {
		log.Warn("the days of the points are not kept", "err", err)
	}
	return a
}

// setLimit has the archive have another limit soon.
func (a *archiving) setLimit(limit HistoryLimit) {
	if a.dir == "" {
		return
	}
	a.limit.Store(max(0, int64(limit)))
	select {
	case a.other <- struct{}{}:
	default:
	}
}

// adjust opens the archive, ends it, or has it keep to its limit. What was written stays
// on disk where there is to be none any more. One goroutine at a time calls it.
func (a *archiving) adjust(devices []Device) error {
	limit, kept := a.limit.Load(), a.now.Load()
	switch {
	case limit == 0 && kept == nil:
	case limit == 0:
		a.now.Store(nil)
		kept.close()
	case kept == nil:
		kept, err := openArchive(a.dir, limit, devices)
		if err != nil {
			return err
		}
		a.now.Store(kept)
	case limit != kept.limit:
		kept.limit = limit
		return kept.trim(0)
	}
	return nil
}

// keepMinute hands the row of a minute that has ended to the archive. One that the
// disk has no time for is left out: the events do not wait for it.
func (h *hub) keepMinute(now time.Time) {
	before := h.minute
	h.minute = now.Unix() / 60
	if before == 0 || before == h.minute {
		return
	}
	row := h.s.history.minuteRow(h.devices)
	if h.s.days.limit.Load() == 0 {
		return
	}
	select {
	case h.s.days.rows <- minute{before, pointNames(h.devices), row}:
	default:
	}
}

// keepRows writes rows until ctx ends. wait waits for the last one, but not for a
// disk that hangs.
func (s *Server) keepRows(ctx context.Context) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if a := s.days.now.Load(); a != nil {
				a.close()
			}
		}()
		failing := false
		for {
			err := error(nil)
			select {
			case <-ctx.Done():
				return
			case <-s.days.other:
				err = s.days.adjust(s.src.Devices())
			case m := <-s.days.rows:
				err = s.days.add(m, s.src.Devices())
			}
			if err != nil && !failing {
				s.log.Warn("the day of the points is not kept", "err", err)
			}
			if err == nil && failing {
				s.log.Info("the day of the points is kept again")
			}
			failing = err != nil
		}
	}()
	return func() {
		select {
		case <-done:
		case <-time.After(stopTimeout):
		}
	}
}

// add writes a row. An archive that could not be opened before may be now.
func (a *archiving) add(m minute, devices []Device) error {
	if err := a.adjust(devices); err != nil {
		return err
	}
	kept := a.now.Load()
	if kept == nil {
		return nil
	}
	return kept.add(m.number, m.names, m.row)
}
