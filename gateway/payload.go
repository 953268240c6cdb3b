package gateway

import (
	"bytes"
	"math"
	"time"

	"headgate/gateway/format"
	"headgate/gateway/point"
)

// publishPayload publishes a sample in the configured format. It says whether that is
// done; what a template makes nothing of is.
func (d *device) publishPayload(topic string, s *format.Sample) bool {
	var room [256]byte
	payload, err := d.gateway.format.Append(room[:0], s)
	if err == format.ErrNothing {
		return true
	}
	if err != nil {
		d.gateway.dropped.Add(1)
		if skipped, ok := d.gateway.failing.line(time.Now()); ok {
			d.gateway.log.Warn("value not published: the template fails", "device", d.name, "point", s.Point, "err", err, "count", skipped+1)
		}
		return false
	}
	return d.gateway.publish(Message{
		Topic: topic, Payload: bytes.Clone(payload), QoS: byte(*d.gateway.cfg.QoS), Retain: d.gateway.cfg.Retain,
	})
}

// publishTogether publishes what waits in together, each time's samples as one
// payload. mu is held.
func (d *device) publishTogether() {
	for rest := d.together; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Time.Equal(rest[0].Time) && rest[n].Unsynced == rest[0].Unsynced {
			n++
		}
		taken := d.gateway.publish(Message{
			Topic: d.origin.DeviceTopic, Payload: format.AppendDevice(nil, rest[:n]), QoS: byte(*d.gateway.cfg.QoS), Retain: d.gateway.cfg.Retain,
		})
		for i := range rest[:n] {
			if taken {
				d.byName[rest[i].Point].sent = rest[i].Sample
			}
		}
		rest = rest[n:]
	}
	d.together = d.together[:0]
}

// appendStatus appends the payload of a device's status:
//
//	{"status":"offline","reason":"no answer","time":"2026-11-23T18:04:05.123Z"}
func appendStatus(dst []byte, s point.Status) []byte {
	if s.Online {
		dst = append(dst, `{"status":"online"`...)
	} else {
		dst = append(dst, `{"status":"offline"`...)
		dst = format.AppendReason(dst, s.Reason)
	}
	dst = appendTime(dst, s.Time)
	return append(dst, '}')
}

// appendResult appends the payload of a command's result: for outcome "ok" with
// the value that was read back, null if none was, for any other with a reason.
// id is JSON as the command had it, or empty, and then left out.
func appendResult(dst []byte, outcome string, v point.Value, reason string, id []byte, at time.Time) []byte {
	dst = append(dst, `{"status":"`...)
	dst = append(dst, outcome...)
	dst = append(dst, '"')
	if outcome == outcomeOK {
		dst = append(dst, `,"value":`...)
		dst = format.AppendValue(dst, v)
	} else {
		dst = format.AppendReason(dst, reason)
	}
	if len(id) > 0 {
		dst = append(dst, `,"id":`...)
		dst = append(dst, id...)
	}
	dst = appendTime(dst, at)
	return append(dst, '}')
}

func appendTime(dst []byte, t time.Time) []byte {
	return format.AppendTime(append(dst, `,"time":`...), t)
}

// honest makes sure that a sample claims no more than it has: a bad one has no
// value, and one without a value that JSON can carry is bad.
func honest(s point.Sample) point.Sample {
	if s.Quality != point.Bad {
		if s.Value.Kind() == point.None {
			s.Quality, s.Reason = point.Bad, "no value"
		} else if f, ok := s.Value.Float(); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			s.Quality, s.Reason = point.Bad, "the value is not a finite number"
		}
	}
	if s.Quality == point.Bad {
		s.Value = point.Value{}
		if s.Reason == "" {
			s.Reason = "not said"
		}
	}
	if s.Time.IsZero() {
		s.Time = time.Now()
	}
	return s
}
