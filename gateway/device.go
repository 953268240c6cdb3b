package gateway

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"headgate/gateway/format"
	"headgate/gateway/point"
)

// device is what the pump knows of one device: its topics, and what it said
// last.
type device struct {
	gateway     *Gateway
	runner      *runner
	name        string
	made        [2]string // manufacturer and model
	statusTopic string
	origin      format.Origin      // of its samples, without a topic
	points      []*outlet          // in the order of the config
	byName      map[string]*outlet // the same

	mu      sync.Mutex // guards what follows, and keeps a device's messages in order
	status  point.Status
	since   time.Time // of the status
	said    bool      // the status has been published
	guessed bool      // the status is from the pump, not from the adapter
	updated time.Time // the adapter's last word
	samples uint64
	bad     uint64 // of samples
	held    uint64 // of samples: not published, for they say nothing new
	strays  uint64 // samples of points that there are not

	together []format.Sample // of this update, for one payload each time
}

// outlet is one point's way out.
type outlet struct {
	info  point.Info
	topic string
	last  point.Sample // under the device's mu; a zero Time: none yet
	sent  point.Sample // the last one that was published, the same

	// Nobody kept the machine's clock when last was measured, or since was noted: that
	// is still so of these times when somebody does. The same.
	unsynced bool

	// Of an alarm, under the device's mu.
	state point.Value
	since time.Time // of state
}

// target is where a command goes.
type target struct {
	device *device
	point  *outlet
	warned atomic.Bool // of a retained command
}

// newDevice makes the device, and the targets of its commands by their set topics.
func newDevice(g *Gateway, r *runner, d point.Device) (dev *device, targets map[string]*target, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("device %q of adapter %q: %w", d.Name, r.adapter.Name(), err)
		}
	}()
	if err := point.CheckDeviceName(d.Name); err != nil {
		return nil, nil, fmt.Errorf("its name %w", err)
	}
	dev = &device{
		gateway: g, runner: r, name: d.Name, made: [2]string{d.Manufacturer, d.Model},
		statusTopic: g.topics.status(d.Name),
		origin:      format.Origin{Gateway: g.cfg.ID, Device: d.Name, DeviceTopic: g.topics.ofDevice(d.Name)},
		byName:      make(map[string]*outlet, len(d.Points)),
	}
	for _, info := range d.Points {
		if err := point.CheckPointName(info.Name); err != nil {
			return nil, nil, fmt.Errorf("point %q: its name %w", info.Name, err)
		}
		if dev.byName[info.Name] != nil {
			return nil, nil, fmt.Errorf("point %q is there twice: point names must be unique in a device", info.Name)
		}
		o := &outlet{info: info, topic: g.topics.value(d.Name, info.Name)}
		dev.points = append(dev.points, o)
		dev.byName[info.Name] = o
	}
	targets = make(map[string]*target, len(d.Points))
	for _, o := range dev.points {
		targets[g.topics.set(d.Name, o.info.Name)] = &target{device: dev, point: o}
	}
	if d.Raw {
		targets[g.topics.deviceSet(d.Name)] = &target{device: dev, point: &outlet{info: point.Info{Writable: true, Raw: true}}}
	}
	return dev, targets, nil
}

// update takes what the adapter says of the device.
func (d *device) update(a *attempt, u point.Update) {
	d.mu.Lock()
	defer d.mu.Unlock()
	// A word that comes after the run it belongs to must not undo what was
	// said at its end.
	if a.ended.Load() {
		return
	}
	d.updated = time.Now()
	switch {
	case u.Status != nil:
		d.setStatus(*u.Status, false)
	case d.guessed && hasGood(u.Samples):
		// An adapter that was restarted may hold that nothing has changed.
		d.setStatus(point.Status{Online: true, Time: d.updated}, false)
	case !d.said:
		d.publishStatus()
	}
	for i := range u.Samples {
		d.publishSample(u.Samples[i])
	}
	d.publishTogether()
	d.show(u.Status, u.Samples)
}

// announce makes the device offline, by the pump's own knowledge.
func (d *device) announce(reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.setStatus(point.Status{Reason: reason}, true)
	d.show(&d.status, nil)
}

// readBack publishes the value that a command has left behind.
func (d *device) readBack(o *outlet, v point.Value) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o.sent = point.Sample{} // it is published whatever was before
	s := point.Sample{Point: o.info.Name, Unit: o.info.Unit, Value: v, Time: time.Now()}
	d.publishSample(s)
	d.publishTogether()
	d.show(nil, []point.Sample{s})
}

// setStatus publishes a status that differs from the one before; mu is held.
func (d *device) setStatus(s point.Status, guessed bool) {
	if s.Time.IsZero() {
		s.Time = time.Now()
	}
	if s.Online {
		s.Reason = ""
	}
	d.guessed = guessed
	same := !d.since.IsZero() && s.Online == d.status.Online && s.Reason == d.status.Reason
	if same && d.said {
		return
	}
	if !same {
		d.since = s.Time
		if s.Online {
			d.gateway.log.Info("device is online", "device", d.name)
		} else if !guessed {
			d.gateway.log.Warn("device is offline", "device", d.name, "reason", brief(s.Reason))
		}
	}
	d.status = s
	d.publishStatus()
}

// maxBrief is how much of a reason goes into the log for each device: its link
// has said it in full, and so does the status.
const maxBrief = 80

func brief(reason string) string {
	if len(reason) <= maxBrief {
		return reason
	}
	return strings.ToValidUTF8(reason[:maxBrief], "") + "..."
}

// publishStatus publishes the status as it is; one that is dropped is tried
// again with the device's next word. mu is held.
func (d *device) publishStatus() {
	var room [256]byte
	d.said = d.gateway.publish(Message{
		Topic: d.statusTopic, Payload: bytes.Clone(appendStatus(room[:0], d.status)), QoS: 1, Retain: true,
	})
}

// publishSample publishes one sample, unless the point's report holds it back; mu
// is held.
func (d *device) publishSample(s point.Sample) {
	o := d.byName[s.Point]
	if o == nil {
		d.strays++
		if d.strays == 1 {
			d.gateway.log.Warn("the adapter speaks of a point that is not configured", "device", d.name, "point", s.Point)
		}
		return
	}
	s = honest(s)
	d.samples++
	if s.Quality == point.Bad {
		d.bad++
	}
	o.last = s
	if o.info.Alarm {
		d.publishAlarm(o)
		return
	}
	_, _, synced := d.gateway.clock(s.Time)
	o.unsynced = !synced
	if !o.info.Report.Due(&o.sent, &s) {
		d.held++
		return
	}
	d.send(o, s)
}

// sayAgain publishes the last word of each point once more, as it was; that of an
// alarm is retained.
func (d *device) sayAgain() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, o := range d.points {
		if !o.last.Time.IsZero() && !o.info.Raw && !o.info.Alarm {
			d.send(o, o.last)
		}
	}
	d.publishTogether()
}

// send publishes one sample; mu is held.
func (d *device) send(o *outlet, s point.Sample) {
	if o.info.Raw {
		if s.Quality == point.Good {
			d.gateway.publish(Message{Topic: o.topic, Payload: []byte(s.Value.String()), QoS: byte(*d.gateway.cfg.QoS)})
		}
		return
	}
	if s.Unit == "" {
		s.Unit = o.info.Unit
	}
	sample := format.Sample{Origin: d.origin, Sample: s}
	if o.unsynced {
		sample.Unsynced = true
		sample.Boot, sample.Uptime, _ = d.gateway.clock(s.Time)
	}
	sample.Topic = o.topic
	if d.gateway.format.Format() == format.JSONDevice {
		d.together = append(d.together, sample)
		return
	}
	if d.publishPayload(o.topic, &sample) {
		o.sent = s
	}
}

func hasGood(samples []point.Sample) bool {
	for i := range samples {
		if samples[i].Quality == point.Good {
			return true
		}
	}
	return false
}
