package modbus

import "time"

const (
	// A unit that is away is asked again after firstProbe, then after twice
	// that and so on up to maxProbe: each time costs its neighbours a timeout.
	firstProbe = time.Second
	maxProbe   = 30 * time.Second

	// probeShare: of the time of a link on which others answer, the units that are
	// away get one part in that many together, however many they are.
	probeShare = 20

	// leastQuarantine: on a serial line nothing tells a late answer from that to
	// a later request. So a unit that has missed one is left alone for as long
	// as the timeout, but this long at least; what it says meanwhile is discarded.
	leastQuarantine = 500 * time.Millisecond
)

// presence is what is known of a unit.
type presence uint8

const (
	unknown presence = iota
	online
	offline
)

// unit is one unit id on the link. Two devices of the config may be one unit.
type unit struct {
	id      byte
	client  *client
	devices []*device

	// How many misses in a row make it away, and how long since the first of them
	// must pass as well until it is offline.
	mostMisses   int
	offlineAfter time.Duration

	presence    presence
	misses      int // requests in a row without an answer
	firstMissed time.Time
	lastMissed  time.Time
	notBefore   time.Time // no request before
	probe       time.Duration

	asked      time.Time     // when it was last
	turnaround time.Duration // of its answers, averaged: see transport; 0: not known yet
}

// newUnit is a unit that is away, and offline, after defaultMisses.
func newUnit(id byte, t *transport) *unit {
	return &unit{id: id, client: newClient(id, t), mostMisses: defaultMisses}
}

// add adds a device of the config, and has the unit be as patient as that wants.
func (u *unit) add(d *device, misses int, after time.Duration) {
	if len(u.devices) == 0 {
		u.mostMisses = 0
	}
	u.mostMisses, u.offlineAfter = max(u.mostMisses, misses), max(u.offlineAfter, after)
	u.devices = append(u.devices, d)
}

// away says whether the unit has left so much unanswered that it is asked less and
// less. It is offline, which others are told, when that has been so for long enough.
func (u *unit) away() bool { return u.misses >= u.mostMisses }

// answered notes an answer; changed is true when the unit has come online, or was
// away without having been called offline yet.
func (u *unit) answered() (changed bool) {
	changed = u.presence != online || u.away()
	u.presence, u.misses, u.notBefore, u.probe = online, 0, time.Time{}, 0
	return changed
}

// missed notes that no answer came; late is for how long one may still come.
// changed is true when the unit has gone offline.
func (u *unit) missed(now time.Time, late time.Duration) (changed bool) {
	if u.misses++; u.misses == 1 {
		u.firstMissed = now
	}
	u.lastMissed = now
	wait := late
	if u.away() {
		u.probe = min(max(firstProbe, 2*u.probe), maxProbe)
		wait = max(wait, u.probe)
		left := u.offlineAfter - now.Sub(u.firstMissed)
		if left <= 0 {
			changed = u.presence != offline
			u.presence = offline
		} else {
			wait = max(late, min(wait, left)) // that is when it may be said
		}
	}
	u.notBefore = now.Add(wait)
	return changed
}

// forget is for when the link has failed: nothing is known then.
func (u *unit) forget() {
	u.presence, u.misses, u.notBefore, u.probe = unknown, 0, time.Time{}, 0
}
