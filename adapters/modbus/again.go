package modbus

import (
	"errors"
	"time"
)

const (
	// A unit that says that it is busy is asked again after busyWait, busyTries
	// times.
	busyWait  = 200 * time.Millisecond
	busyTries = 3
)

// again says whether a read that has failed is to be made once more before its
// points are bad: one answer that is lost or broken on the way says nothing of
// them, and it may be an hour until they are due again. A unit that is not there
// costs no more for it, for it is offline after as many misses as before; what it
// has not answered when it was due before, either, is not asked for twice.
func (r *read) again(now time.Time, err error) bool {
	u := r.device.unit
	r.failed++
	var e exception
	switch {
	case errors.As(err, &e) && (e == acknowledged || e == deviceBusy):
		u.notBefore = now.Add(busyWait)
		return r.failed <= busyTries
	case isSilence(err):
		return r.failed == 1 && u.presence == online && !u.away() && r.device.known.silent[r.span()] == 0
	}
	return false
}
