package gateway

import (
	"strconv"

	"headgate/gateway/format"
	"headgate/gateway/point"
)

// appendAlarm appends the payload of an alarm, which is the same in every format of
// values:
//
//	{"value":true,"message":"too hot","since":"2026-11-23T18:04:05.123Z","time":"2026-11-23T18:04:05.123Z","quality":"good"}
//
// since is when the state was first so, time that of the newest value it was told by.
// One that is not good has its "reason" at the end; a bad one has the value null.
func appendAlarm(dst []byte, o *outlet, synced bool) []byte {
	s := &o.last
	dst = append(dst, `{"value":`...)
	dst = format.AppendValue(dst, s.Value)
	dst = append(dst, `,"message":`...)
	dst = format.AppendString(dst, o.info.Message)
	dst = format.AppendTime(append(dst, `,"since":`...), o.since)
	dst = appendTime(dst, s.Time)
	if !synced {
		dst = append(dst, `,"clock":"unsynced"`...)
	}
	dst = append(dst, `,"quality":`...)
	dst = strconv.AppendQuote(dst, s.Quality.String())
	dst = format.AppendReason(dst, s.Reason)
	return append(dst, '}')
}

// publishAlarm publishes the state of an alarm when it has changed: retained, at QoS 1,
// so that who comes later knows it. mu is held.
func (d *device) publishAlarm(o *outlet) {
	s, sent := &o.last, &o.sent
	if !sent.Time.IsZero() && s.Value == sent.Value && s.Quality == sent.Quality && s.Reason == sent.Reason {
		d.held++
		return
	}
	_, _, synced := d.gateway.clock(s.Time)
	if sent.Time.IsZero() || s.Value != o.state {
		o.state, o.since = s.Value, s.Time
		o.unsynced = !synced
		if on, _ := s.Value.Bool(); on && s.Value.Kind() == point.Bool {
			d.gateway.log.Warn("alarm", "device", d.name, "point", o.info.Name, "reason", brief(o.info.Message))
		} else if was, _ := sent.Value.Bool(); was {
			d.gateway.log.Info("alarm is over, or cannot be told", "device", d.name, "point", o.info.Name, "reason", brief(s.Reason))
		}
	}
	if d.gateway.publish(Message{Topic: o.topic, Payload: appendAlarm(nil, o, synced && !o.unsynced), QoS: 1, Retain: true}) {
		o.sent = *s
	}
}
