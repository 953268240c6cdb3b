package modbus

import "time"

const (
	// missesToOffline requests in a row without an answer, and a unit is offline.
	missesToOffline = 2

	// A unit that is offline is asked again after firstProbe, then after twice
	// that and so on up to maxProbe: each time costs its neighbours a timeout.
	firstProbe = time.Second
	maxProbe   = 30 * time.Second

	// probeShare: of the time of a link on which others answer, the units that are
	// offline get one part in that many together, however many they are.
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

	presence  presence
	misses    int       // requests in a row without an answer
	notBefore time.Time // no request before
	probe     time.Duration

	asked      time.Time     // when it was last
	turnaround time.Duration // of its answers, averaged: see transport; 0: not known yet
}

// answered notes an answer; changed is true when the unit has come online.
func (u *unit) answered() (changed bool) {
	changed = u.presence != online
	u.presence, u.misses, u.notBefore, u.probe = online, 0, time.Time{}, 0
	return changed
}

// missed notes that no answer came; late is for how long one may still come.
// changed is true when the unit has gone offline.
func (u *unit) missed(now time.Time, late time.Duration) (changed bool) {
	u.misses++
	wait := late
	if u.misses >= missesToOffline {
		changed = u.presence != offline
		u.presence = offline
		u.probe = min(max(firstProbe, 2*u.probe), maxProbe)
		wait = max(wait, u.probe)
	}
	u.notBefore = now.Add(wait)
	return changed
}

// forget is for when the link has failed: nothing is known then.
func (u *unit) forget() {
	u.presence, u.misses, u.notBefore, u.probe = unknown, 0, time.Time{}, 0
}
