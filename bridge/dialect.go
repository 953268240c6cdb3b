package bridge

import (
	"errors"

	"headgate/broker/packet"
)

const (
	versionAuto = "auto"
	version5    = "5"
	version311  = "3.1.1"
)

// Limits on guessing from a peer that closes without a CONNACK: an old broker
// does that, but so does a proxy whose broker is down.
const (
	sureAfter   = 2 // 3.1.1 connections found so, before 5 is not tried first any more
	doubtsAfter = 3 // such ends in a row, before the version that worked is doubted
)

// dialect decides which MQTT version the next CONNECT speaks.
type dialect struct {
	fixed bool
	try   packet.Version // the next one
	known packet.Version // this one worked; 0: none yet

	guessed bool // try is 3.1.1 because of a close without CONNACK
	guesses int  // connections made so
	closes  int  // closes without CONNACK in a row
}

func newDialect(version string) dialect {
	switch version {
	case version5:
		return dialect{fixed: true, try: packet.V5}
	case version311:
		return dialect{fixed: true, try: packet.V311}
	}
	return dialect{try: packet.V5}
}

func (d *dialect) version() packet.Version { return d.try }

// connected tells that a CONNECT of version v was accepted.
func (d *dialect) connected(v packet.Version) {
	d.closes = 0
	if d.fixed {
		return
	}
	if v == packet.V311 && d.guessed {
		if d.guesses++; d.guesses < sureAfter {
			d.try, d.guessed = packet.V5, false // seen once: it may have been a proxy
			return
		}
	}
	d.known, d.try, d.guessed = v, v, false
}

// failed tells that a CONNECT of version v led to err. It says whether an older
// version should be tried at once.
func (d *dialect) failed(v packet.Version, err error) (olderNow bool) {
	if d.fixed {
		return false
	}
	var r *refusal
	switch {
	case errors.As(err, &r) && r.unsupportedVersion():
		d.known, d.guessed = 0, false
		d.try = other(v)
		return v == packet.V5
	case errors.Is(err, errNoConnack):
		d.closes++
		if d.known != 0 && d.closes < doubtsAfter {
			return false
		}
		d.known, d.closes = 0, 0
		d.try = other(v)
		d.guessed = v == packet.V5
		return v == packet.V5
	}
	return false
}

func other(v packet.Version) packet.Version {
	if v == packet.V5 {
		return packet.V311
	}
	return packet.V5
}

func versionName(v packet.Version) string {
	if v == packet.V5 {
		return version5
	}
	return version311
}
