package bridge

import (
	"context"
	"fmt"
	"time"

	"headgate/broker/packet"
)

// watch keeps the connection alive and finds out when it is not: the other end
// of a link that was cut in between never says so.
func (s *session) watch(ctx context.Context) error {
	tick := time.NewTicker(min(max(s.keepAlive/20, 10*time.Millisecond), time.Second))
	defer tick.Stop()
	var pinged, retried time.Duration // session age; 0: no PINGREQ is unanswered
	for {
		select {
		case <-tick.C:
		case <-s.b.pace.changed:
			s.lookAgain()
		case <-ctx.Done():
			return nil
		}
		now := s.age()
		s.b.counters.measure(s.src)
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
			s.mu.Lock()
			s.out = packet.AppendPingreq(s.out)
			s.mu.Unlock()
			wake(s.wakeWrite)
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

// stuck finds an upstream that lives but leaves something unanswered for good.
func (s *session) stuck(now time.Duration) error {
	if s.stalled.Load() {
		return nil
	}
	s.mu.Lock()
	first, subs := s.flight.first(), len(s.subs)
	s.mu.Unlock()
	patience := 2 * s.keepAlive
	switch first {
	case sent1, sent2, released:
		if now-time.Duration(s.lastProgress.Load()) > patience {
			return fmt.Errorf("the upstream acknowledged nothing for %v", patience)
		}
	}
	if subs > 0 && now > patience+s.b.cfg.ConnectTimeout {
		return fmt.Errorf("the upstream did not answer SUBSCRIBE within %v", patience+s.b.cfg.ConnectTimeout)
	}
	return nil
}
