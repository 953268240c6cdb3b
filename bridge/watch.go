package bridge

import (
	"context"
	"fmt"
	"time"

	"headgate/broker/packet"
)

// probeTime is the least time that a connection has for an answer after Retry. A
// slow one has twice what it took to connect, which is four round trips and more.
const probeTime = 500 * time.Millisecond

// watch keeps the connection alive and finds out when it is not: the other end
// of a link that was cut in between never says so.
func (s *session) watch(ctx context.Context) error {
	tick := time.NewTicker(min(max(s.keepAlive/20, 10*time.Millisecond), time.Second))
	defer tick.Stop()
	var pinged, retried, probed time.Duration // session age; 0: no PINGREQ is unanswered
	var probe <-chan time.Time
	patience := max(s.b.probe, 2*s.link.took)
	for {
		select {
		case <-tick.C:
		case <-s.b.pace.changed:
			s.lookAgain()
		case <-s.b.retry:
			if probe == nil {
				probe, probed = time.After(patience), s.age()
				s.ping()
			}
			continue
		case <-probe:
			if probe = nil; time.Duration(s.lastRead.Load()) <= probed && !s.stalled.Load() {
				return fmt.Errorf("the upstream does not answer: nothing came within %v of a change of the network", patience)
			}
			continue
		case <-ctx.Done():
			return nil
		}
		now := s.age()
		s.b.counters.measure(s.src)
		s.watchNode()
		if err := s.stuck(now); err != nil {
			return err
		}
		if now-retried >= holdFor {
			retried = now
			s.handHeld()
		}
		read, idle := time.Duration(s.lastRead.Load()), s.keepAlive*9/10
		if s.stalled.Load() {
			read = now
		}
		// Whatever comes shows that the upstream lives: on a slow link the
		// PINGRESP stands behind much else.
		if read > pinged {
			pinged = 0
		}
		switch {
		case pinged != 0 && now-pinged >= s.keepAlive/2:
			return fmt.Errorf("the upstream does not answer: nothing came within %v of a PINGREQ", s.keepAlive/2)
		case pinged == 0 && (now-read >= idle || now-time.Duration(s.lastWrite.Load()) >= idle): // [MQTT-3.1.2-20]
			pinged = now
			s.ping()
		}
	}
}

// lookAgain has the drain see what may go now.
func (s *session) lookAgain() {
	s.mu.Lock()
	stop := s.stopGet
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
	wake(s.wakeDrain)
}

func (s *session) ping() {
	s.mu.Lock()
	s.out = packet.AppendPingreq(s.out)
	s.fences.pinged()
	s.mu.Unlock()
	wake(s.wakeWrite)
}

// stuck finds an upstream that lives but leaves something unanswered for good.
func (s *session) stuck(now time.Duration) error {
	if s.stalled.Load() {
		return nil
	}
	s.mu.Lock()
	first, subs, unanswered := s.flight.first(), len(s.subs), s.flight.unanswered()
	s.mu.Unlock()
	patience := 2 * s.keepAlive
	switch first {
	case gathered: // what is behind it may be unanswered all the same
		if unanswered == 0 {
			break
		}
		fallthrough
	case sent1, sent2, released, fenced:
		if now-time.Duration(s.lastProgress.Load()) > patience {
			return fmt.Errorf("the upstream acknowledged nothing for %v", patience)
		}
	}
	if subs > 0 && now > patience+s.b.cfg.ConnectTimeout {
		return fmt.Errorf("the upstream did not answer SUBSCRIBE within %v", patience+s.b.cfg.ConnectTimeout)
	}
	return nil
}
