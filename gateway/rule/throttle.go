package rule

import (
	"errors"
	"time"
)

var errResting = errors.New("too many topics at once for throttle: 1 MB of them rest already")

// send publishes a message, or keeps it while its topic rests.
func (r *Rules) send(one *rule, m Message, now time.Time) error {
	if one.Throttle == 0 {
		return r.publish(one, m)
	}
	if t := one.resting[m.Topic]; t != nil && now.Before(t.until) {
		one.throttled.Add(1)
		if one.Keep == "first" {
			return nil
		}
		if t.next != nil {
			one.bytes -= t.next.bytes()
		}
		if one.bytes+m.bytes() > maxResting {
			t.next = nil
			return errResting
		}
		t.next = &m
		one.bytes += m.bytes()
		return nil
	}
	if t := one.resting[m.Topic]; t != nil && t.next != nil { // this one is newer
		one.bytes -= t.next.bytes()
	}
	if cost := len(m.Topic) + overhead; one.resting[m.Topic] == nil {
		if one.bytes+cost > maxResting {
			return errResting
		}
		one.bytes += cost
	}
	one.resting[m.Topic] = &rest{until: now.Add(one.Throttle)}
	return r.publish(one, m)
}

func (r *Rules) publish(one *rule, m Message) error {
	if err := r.client.Publish(m); err != nil {
		return err
	}
	one.published.Add(1)
	return nil
}

// rouse publishes what waited for the end of a throttle, and gives how long until the
// next one ends.
func (r *Rules) rouse(now time.Time) time.Duration {
	next := time.Hour
	for _, one := range *r.rules.Load() {
		for name, t := range one.resting {
			if now.Before(t.until) {
				next = min(next, t.until.Sub(now))
				continue
			}
			m := t.next
			if m == nil {
				one.bytes -= len(name) + overhead
				delete(one.resting, name)
				continue
			}
			one.bytes -= m.bytes()
			t.next, t.until = nil, now.Add(one.Throttle)
			next = min(next, one.Throttle)
			if err := r.publish(one, *m); err != nil {
				r.fail(one, name, err)
			}
		}
	}
	return max(next, time.Millisecond)
}
