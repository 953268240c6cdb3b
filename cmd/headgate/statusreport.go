package main

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"headgate/bridge"
	"headgate/broker/store"
)

// statusReport is how a running gateway is. Sizes are in bytes; what is not known
// is null.
type statusReport struct {
	Version string    `json:"version"`
	Gateway string    `json:"gateway"`
	Time    time.Time `json:"time"`
	Uptime  float64   `json:"uptime"` // seconds

	Alarms  []alarmReport  `json:"alarms"`
	Clients clientsReport  `json:"clients"`
	Flow    messagesReport `json:"messages"`
	Store   storeReport    `json:"store"`
	Bridges []bridgeReport `json:"bridges"`
	Devices []deviceReport `json:"devices"`
	Page    pageReport     `json:"page"`
}

type pageReport struct {
	Address string `json:"address"` // as a URL; "" where there is none
	Fault   string `json:"fault"`   // why there is none; "" where none is wanted
}

type alarmReport struct {
	Name  string     `json:"name"`
	Text  string     `json:"text"`
	Since *time.Time `json:"since"`
}

type clientsReport struct {
	Connected int64 `json:"connected"`
	Maximum   int64 `json:"maximum"`
	Away      int64 `json:"away"` // sessions whose client is not connected
}

type messagesReport struct {
	In       int64 `json:"in"`
	Out      int64 `json:"out"`
	Dropped  int64 `json:"dropped"`
	Retained int64 `json:"retained"`
}

type storeReport struct {
	Messages int64 `json:"messages"` // that wait
	Bytes    int64 `json:"bytes"`    // of them
	Used     int64 `json:"used"`     // on disk
	Limit    int64 `json:"limit"`
	Free     int64 `json:"free"` // in the file system
	Lost     int64 `json:"lost"` // messages, to damage, ever

	Commits   int64   `json:"commits"`
	CommitP50 float64 `json:"commit_p50"` // seconds; 0: there was none
	CommitP99 float64 `json:"commit_p99"`

	Spared      int64 `json:"spared"` // messages that were never written, since the start
	SparedBytes int64 `json:"spared_bytes"`

	Today wearReport `json:"today"`
}

type wearReport struct {
	Day           string   `json:"day"` // UTC
	Payload       int64    `json:"payload"`
	Files         *int64   `json:"files"`
	Disk          *int64   `json:"disk"`
	Device        string   `json:"device"`
	Amplification *float64 `json:"amplification"`
	PerDay        *int64   `json:"per_day"`
	Endurance     *int64   `json:"endurance"`
	LifeDays      *int64   `json:"life_days"`
	EMMCUsed      *int64   `json:"emmc_used"` // percent
	EMMCSpare     string   `json:"emmc_spare"`
	Budget        *int64   `json:"budget"`
}

type deviceReport struct {
	Name    string     `json:"name"`
	Adapter string     `json:"adapter"`
	Online  bool       `json:"online"`
	Reason  string     `json:"reason"`
	Since   *time.Time `json:"since"`
	Updated *time.Time `json:"updated"`
	Points  int        `json:"points"`
	Samples uint64     `json:"samples"`
	Bad     uint64     `json:"bad"`
}

// inTrouble says whether something stands still: there is an alarm, a device is
// silent, or a bridge has no upstream.
func (r *statusReport) inTrouble() bool {
	return len(r.Alarms) > 0 ||
		slices.ContainsFunc(r.Devices, func(d deviceReport) bool { return !d.Online }) ||
		slices.ContainsFunc(r.Bridges, func(b bridgeReport) bool { return b.State != string(bridge.Connected) })
}

// status gives it as it is now. It waits for no disk and for no device.
func (h *house) status() statusReport {
	now := time.Now()
	b, s := h.broker.Stats(), h.store.Stats()
	r := statusReport{
		Version: version(), Gateway: h.config.Gateway.ID, Time: now.UTC().Truncate(time.Second), Uptime: now.Sub(h.started).Seconds(),
		Alarms:  []alarmReport{},
		Clients: clientsReport{Connected: b.Connections, Maximum: b.MaxConnections, Away: b.Offline},
		Flow:    messagesReport{In: b.MessagesIn, Out: b.MessagesOut, Dropped: b.Dropped + b.QueueDropped, Retained: b.Retained},
		Store: storeReport{
			Messages: b.Queued, Bytes: b.QueuedBytes, Used: s.SpoolBytes, Limit: s.MaxBytes, Free: s.FreeBytes, Lost: int64(s.Lost),
			Commits: s.Commits, CommitP50: s.CommitP50.Seconds(), CommitP99: s.CommitP99.Seconds(),
			Spared: s.Spared, SparedBytes: s.SparedBytes,
			Today: newWearReport(&s.Wear),
		},
		Bridges: h.bridgeReports(), Devices: []deviceReport{},
	}
	for _, a := range s.Alarms() {
		r.Alarms = append(r.Alarms, alarmReport{a.Name, a.Text, timeOrNull(a.Since)})
	}
	r.Alarms = append(r.Alarms, h.listenerAlarms()...)
	r.Page.Address = h.web.Address()
	if err := h.web.Fault(); err != nil {
		r.Page.Fault = addressFault(err)
	}
	rules, _ := h.rules.Stats()
	for i := range rules {
		if s := &rules[i]; s.Useless() {
			r.Alarms = append(r.Alarms, alarmReport{"rule " + s.Name, fmt.Sprintf("rule %s has failed at %d messages, and published none: %s", s.Name, s.Failed, s.Error), timeOrNull(s.Since)})
		}
	}
	for _, d := range h.pump.Load().gateway.Stats().Devices {
		for _, p := range d.Points {
			if on, known := p.Last.Value.Bool(); p.Alarm && known && on {
				r.Alarms = append(r.Alarms, alarmReport{d.Name + "/" + p.Name, p.Message, timeOrNull(p.Since)})
			}
		}
		r.Devices = append(r.Devices, deviceReport{Name: d.Name, Adapter: d.Adapter, Online: d.Online, Reason: d.Reason,
			Since: timeOrNull(d.Since), Updated: timeOrNull(d.Updated), Points: len(d.Points), Samples: d.Samples, Bad: d.Bad})
	}
	return r
}

// minAmplified is the payload of a day from which on it is told how much is written for
// each byte of it: of less, the machine's other writes are all that there is to see.
const minAmplified = 1 << 20

// listenerAlarms are the addresses that the broker's listeners cannot have.
func (h *house) listenerAlarms() (alarms []alarmReport) {
	for _, l := range h.broker.ListenerFaults() {
		alarms = append(alarms, alarmReport{Name: "listener " + l.URL, Text: "nobody can connect there: " + addressFault(l.Err)})
	}
	return alarms
}

// addressFault says why an address could not be bound, and of one that is taken by whom it may be.
func addressFault(err error) string {
	if errors.Is(err, syscall.EADDRINUSE) {
		return err.Error() + "; does another program have it, such as mosquitto or a second headgate?"
	}
	return err.Error()
}

func newWearReport(w *store.Wear) wearReport {
	r := wearReport{Day: w.Day.Format(time.DateOnly), Payload: w.Payload, Files: known(w.Files), Disk: known(w.Disk), Device: w.Device,
		PerDay: known(w.PerDay), LifeDays: known(w.LifeDays), EMMCUsed: known(int64(w.EMMCUsed)), EMMCSpare: w.EMMCSpare}
	if w.Amplification > 0 && w.Payload >= minAmplified {
		r.Amplification = &w.Amplification
	}
	if w.Endurance > 0 {
		r.Endurance = &w.Endurance
	}
	if w.Budget > 0 && w.Budget < int64(store.Unlimited) {
		r.Budget = &w.Budget
	}
	return r
}

// known gives nil for what the store does not know.
func known(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

// timeOrNull gives nil for a time that there was not.
func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}
