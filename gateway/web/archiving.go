package web

import (
	"context"
	"time"
)

// minute is a row for the archive.
type minute struct {
	number int64  // since 1970
	names  string // of the points, a line each: see pointNames
	row    []span
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
	if h.s.archive == nil {
		return
	}
	select {
	case h.s.rows <- minute{before, pointNames(h.devices), row}:
	default:
	}
}

// keepRows writes rows until ctx ends. wait waits for the last one, but not for a
// disk that hangs.
func (s *Server) keepRows(ctx context.Context) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer s.archive.close()
		failing := false
		for {
			select {
			case <-ctx.Done():
				return
			case m := <-s.rows:
				err := s.archive.add(m.number, m.names, m.row)
				if err != nil && !failing {
					s.log.Warn("the day of the points is not kept", "err", err)
				}
				if err == nil && failing {
					s.log.Info("the day of the points is kept again")
				}
				failing = err != nil
			}
		}
	}()
	return func() {
		select {
		case <-done:
		case <-time.After(stopTimeout):
		}
	}
}
