package modbus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"headgate/adapters/port"
	"headgate/gateway/point"
)

// A link that cannot be opened, or has failed, is opened again after a while
// that doubles each time: up to maxSerialBackoff for a serial port, which costs
// nobody anything; up to maxTCPBackoff for a host, which may be a small one with
// a whole plant of gateways coming back to it, hence spread at random.
const (
	firstBackoff     = 250 * time.Millisecond
	maxSerialBackoff = 2 * time.Second
	maxTCPBackoff    = 10 * time.Second
)

// Renew is for a caller who knows that files of the link's TLS have been exchanged: a
// connection that stands is closed before the next request, and made anew with them. It
// may be called at any time and does not wait.
func (a *Adapter) Renew() {
	select {
	case a.renew <- struct{}{}:
	default:
	}
}

// renewed does what Renew has asked for, if it has.
func (a *Adapter) renewed(ctx context.Context) error {
	select {
	case <-a.renew:
	default:
		return nil
	}
	if a.asleep {
		return nil
	}
	a.log.Info("connection is made anew, with the certificates that there are now")
	return a.reopen(ctx)
}

// opening opens the link and serves it until it fails, or ctx ends.
func (a *Adapter) opening(ctx context.Context) error {
	select {
	case <-a.renew: // the files are read now
	default:
	}
	if err := a.transport.open(ctx); err != nil {
		return err
	}
	defer func() {
		a.transport.close()
		a.count(func() { a.isOpen = false })
	}()
	a.nowOpen()
	return a.serve(ctx)
}

func (a *Adapter) nowOpen() {
	a.asleep = false
	a.count(func() { a.isOpen, a.reason, a.opened = true, "", a.opened+1 })
}

// exchange makes a request and, if the link failed, opens it again at once and
// makes it once more, for many devices close a connection that is idle. repeat
// says that this may be done even if the first request may have been heard. A
// link on which nothing has been answered since is left to the back-off.
func (a *Adapter) exchange(ctx context.Context, repeat bool, request func() error) error {
	if err := a.wake(ctx); err != nil {
		return err
	}
	err := request()
	var failed *linkError
	if !errors.As(err, &failed) || a.reopened && !failed.stale {
		return err
	}
	if e := a.reopen(ctx); e != nil {
		return &linkError{sent: failed.sent, err: e}
	}
	if failed.sent && !repeat {
		return fmt.Errorf("%w: it may have been done: %w", point.ErrTimeout, failed.err)
	}
	return request()
}

// reopen closes the link and opens it at once.
func (a *Adapter) reopen(ctx context.Context) error {
	a.reopened = true
	a.transport.close()
	if err := a.transport.open(ctx); err != nil {
		return err
	}
	a.nowOpen()
	return nil
}

// well notes that a unit has answered: whatever was wrong with the link is over.
func (a *Adapter) well() {
	if a.trouble > 0 {
		a.log.Info("link is open again", "count", a.trouble)
	}
	a.noTrouble()
}

// noTrouble is what is known of the link's trouble when there is none.
func (a *Adapter) noTrouble() {
	if a.down != "" {
		for _, d := range a.devices {
			d.down = ""
		}
	}
	a.reopened, a.down, a.trouble, a.backoff = false, "", 0, 0
}

// failed notes that the link cannot be opened, or not be used. Every device is
// offline then, once that has been so for as long as it is to be borne with, and
// its points are bad, by the same reason.
func (a *Adapter) failed(err error) {
	now := time.Now()
	a.reopened = false
	a.trouble++
	if a.trouble == 1 {
		a.failedSince = now
		a.log.Warn("link is down, and is tried again", "err", port.WithHolder(err, a.transport.link.path))
	}
	reason := fmt.Sprintf("%s is down: %v", a.name, err)
	a.count(func() { a.reason = err.Error() })
	for _, u := range a.units {
		u.forget()
	}
	a.down = reason
	for _, d := range a.devices {
		if d.down != reason && now.Sub(a.failedSince) >= d.unit.offlineAfter {
			d.down = reason
			a.offline(d, now, reason)
		}
	}
}

// pause waits before the link is tried again. Commands are answered meanwhile.
// It is false when ctx has ended.
func (a *Adapter) pause(ctx context.Context) bool {
	most := maxSerialBackoff
	network := a.transport.link.carrier != serialLine
	if network {
		most = maxTCPBackoff
	}
	a.backoff = min(max(firstBackoff, 2*a.backoff), most)
	wait := a.backoff
	if network {
		wait = wait/2 + rand.N(wait/2)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		a.refuseAll(a.down)
		select {
		case <-timer.C:
			return true
		case w := <-a.writes:
			a.pending = append(a.pending, w)
		case <-ctx.Done():
			return false
		}
	}
}
