package web

import (
	"encoding/json"
	"time"

	"headgate/gateway/point"
)

// Device is one field device as it stands.
type Device struct {
	Name    string     `json:"name"`
	Adapter string     `json:"adapter"`
	Online  bool       `json:"online"`
	Reason  string     `json:"reason"`  // why it is offline
	Since   *time.Time `json:"since"`   // of the status
	Updated *time.Time `json:"updated"` // when the adapter last spoke of it
	Samples uint64     `json:"samples"`
	Bad     uint64     `json:"bad"`   // of Samples
	Polls   *Polls     `json:"polls"` // null: it is not asked, but says by itself
	Points  []Point    `json:"points"`
}

// Polls is how a device answers that is asked by Modbus; the times are in seconds, 0
// while there was no answer.
type Polls struct {
	Median     float64 `json:"median"` // of the newest answers
	Last       float64 `json:"last"`
	Late       uint64  `json:"late"` // polls that were left out, because the one before was not done yet
	Failed     uint64  `json:"failed"`
	Timeouts   uint64  `json:"timeouts"`   // requests that were not answered
	Exceptions uint64  `json:"exceptions"` // requests that were answered with an exception
}

// Link is one line or connection with devices that are asked by Modbus.
type Link struct {
	Name      string   `json:"name"`
	URL       string   `json:"url"`
	Open      bool     `json:"open"`
	Reason    string   `json:"reason"`    // why it is not open
	Load      *float64 `json:"load"`      // which part of the last minute it was busy, 0 to 1; null: it is too early to tell
	Requests  uint64   `json:"requests"`  // sent
	Timeouts  uint64   `json:"timeouts"`  // of them, without an answer
	Discarded uint64   `json:"discarded"` // bytes that were no part of an answer: noise, and answers that came late
	Devices   int      `json:"devices"`
}

// Point is one of its points, with its last value.
type Point struct {
	Name     string
	Unit     string
	Topic    string
	Writable bool
	Source   string       // how it is computed; "" when it is measured
	Message  string       // of an alarm: what is wrong while it is true
	Last     point.Sample // of zero Time while there was none
}

// MarshalJSON gives the value as the JSON scalar that it is, and null for what
// there is not.
func (p Point) MarshalJSON() ([]byte, error) {
	v := struct {
		Name     string          `json:"name"`
		Unit     string          `json:"unit"`
		Topic    string          `json:"topic"`
		Writable bool            `json:"writable"`
		Source   string          `json:"source,omitempty"`
		Message  string          `json:"message,omitempty"`
		Value    json.RawMessage `json:"value"`
		Quality  *string         `json:"quality"`
		Reason   string          `json:"reason"`
		Time     *time.Time      `json:"time"`
	}{Name: p.Name, Unit: p.Unit, Topic: p.Topic, Writable: p.Writable, Source: p.Source, Message: p.Message, Value: p.Last.Value.AppendJSON(nil), Reason: p.Last.Reason}
	if !p.Last.Time.IsZero() {
		v.Quality, v.Time = new(p.Last.Quality.String()), &p.Last.Time
	}
	return json.Marshal(v)
}

func (p *Polls) equal(other *Polls) bool {
	if p == nil || other == nil {
		return p == other
	}
	return *p == *other
}

// changes are what of the devices is new since an earlier look, as the page adds
// it to what it has.
type changes struct {
	Time    time.Time       `json:"time"`
	Layout  uint32          `json:"layout"` // that of the list which the places are in
	Links   []Link          `json:"links"`
	Devices []changedDevice `json:"devices"`
	Points  []changedPoint  `json:"points"`
}

// changedDevice has the place of a device in the list.
type changedDevice struct {
	Place   int        `json:"place"`
	Online  bool       `json:"online"`
	Reason  string     `json:"reason"`
	Since   *time.Time `json:"since"`
	Updated *time.Time `json:"updated"`
	Samples uint64     `json:"samples"`
	Bad     uint64     `json:"bad"`
	Polls   *Polls     `json:"polls"`
}

// changedPoint is [place of the device, place of the point, value, quality, ms since
// 1970, reason]: there are many.
type changedPoint struct {
	device, point int
	last          *point.Sample
}

// MarshalJSON gives it as a list.
func (c changedPoint) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, 64), '[')
	b = point.OfInt(int64(c.device)).AppendJSON(b)
	b = point.OfInt(int64(c.point)).AppendJSON(append(b, ','))
	b = c.last.Value.AppendJSON(append(b, ','))
	b = point.OfString(c.last.Quality.String()).AppendJSON(append(b, ','))
	b = point.OfInt(c.last.Time.UnixMilli()).AppendJSON(append(b, ','))
	b = point.OfString(c.last.Reason).AppendJSON(append(b, ','))
	return append(b, ']'), nil
}

// since gives what has changed from before to now; of other devices, all.
func since(before, now []Device, links []Link, at time.Time) changes {
	c := changes{Time: at, Layout: layoutOf(now), Links: links, Devices: []changedDevice{}, Points: []changedPoint{}}
	for i := range now {
		d := &now[i]
		same := len(before) == len(now) && len(before[i].Points) == len(d.Points)
		if !same || before[i].Samples != d.Samples || before[i].Online != d.Online || before[i].Reason != d.Reason || !d.Polls.equal(before[i].Polls) {
			c.Devices = append(c.Devices, changedDevice{i, d.Online, d.Reason, d.Since, d.Updated, d.Samples, d.Bad, d.Polls})
		}
		for j := range d.Points {
			last := &d.Points[j].Last
			if !last.Time.IsZero() && (!same || before[i].Points[j].Last != *last) {
				c.Points = append(c.Points, changedPoint{i, j, last})
			}
		}
	}
	return c
}
