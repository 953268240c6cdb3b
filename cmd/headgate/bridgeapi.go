package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"headgate/bridge"
	"headgate/cmd/headgate/control"
	"headgate/gateway/web"
)

// bridgesPath gives the bridges; /pause, /resume, /drain and /purge below it take
// ?name=NAME, where there is one only also no name.
const bridgesPath = "/api/v1/bridges"

// bridgeReport is how a bridge is.
type bridgeReport struct {
	Name        string     `json:"name"`
	Remote      string     `json:"remote"`
	State       string     `json:"state"`
	Since       *time.Time `json:"since"`
	Messages    int64      `json:"messages"` // that wait, those on their way included
	Bytes       int64      `json:"bytes"`
	Oldest      float64    `json:"oldest"` // how long the first one has waited, in seconds
	InFlight    int        `json:"in_flight"`
	Rate        float64    `json:"rate"` // messages a second that go up
	Left        *float64   `json:"left"` // seconds until the backlog is empty
	Held        string     `json:"held"` // why nothing goes up, or nothing of the backlog
	Forwarded   uint64     `json:"forwarded"`
	LastError   string     `json:"last_error"`
	LastErrorAt *time.Time `json:"last_error_at"`
	Purged      int64      `json:"purged,omitempty"` // by this request
}

func newBridgeReport(b *bridge.Bridge) bridgeReport {
	st := b.Stats()
	r := bridgeReport{Name: st.Name, Remote: st.Remote, State: string(st.State), Since: timeOrNull(st.Since),
		Messages: st.Backlog.Messages, Bytes: st.Backlog.Bytes, Oldest: st.Backlog.Oldest.Seconds(), InFlight: st.InFlight,
		Rate: st.Rate, Held: st.Held, Forwarded: st.Forwarded, LastError: st.LastError, LastErrorAt: timeOrNull(st.LastErrorAt)}
	if st.Left > 0 {
		r.Left = new(st.Left.Seconds())
	}
	return r
}

func (h *house) bridgeReports() []bridgeReport {
	list := []bridgeReport{}
	for _, b := range h.bridges() {
		list = append(list, newBridgeReport(b))
	}
	return list
}

// bridge lines of a page.
func (p *reportPage) bridge(b *bridgeReport) {
	oldest := ""
	if b.Messages > 0 && b.Oldest >= 1 {
		oldest = ", the oldest for " + lasting(time.Duration(b.Oldest*1e9))
	}
	p.line("bridge", "%s to %s: %s%s, %d messages wait (%s)%s", b.Name, b.Remote, b.State, forHow(p.ago(b.Since)), b.Messages, size(b.Bytes), oldest)
	if b.Held != "" {
		p.line("", "%s", b.Held)
	}
	if b.Rate > 0 {
		left := ""
		if b.Left != nil {
			left = ", empty in " + lasting(time.Duration(*b.Left*1e9))
		}
		p.line("", "%.3g messages a second go up%s", b.Rate, left)
	}
	if b.LastError != "" {
		p.line("", "last error %s ago: %s", p.ago(b.LastErrorAt), b.LastError)
	}
}

// bridgeRoutes are those of headgate bridge and of the page.
func (h *house) bridgeRoutes() []web.Route {
	routes := []web.Route{{Pattern: "GET " + bridgesPath, Handle: func(w http.ResponseWriter, _ *http.Request) { control.Answer(w, h.bridgeReports(), nil) }}}
	queues := h.broker.Queues()
	for action, do := range map[string]func(b *bridge.Bridge) (purged int64, err error){
		"pause":  func(b *bridge.Bridge) (int64, error) { b.Pause(); return 0, nil },
		"resume": func(b *bridge.Bridge) (int64, error) { b.Resume(); return 0, nil },
		"drain":  func(b *bridge.Bridge) (int64, error) { b.Hurry(); return 0, nil },
		"purge":  func(b *bridge.Bridge) (int64, error) { return queues.PurgeBridge(b.Stats().Name) },
	} {
		routes = append(routes, web.Route{Pattern: "POST " + bridgesPath + "/" + action, Handle: func(w http.ResponseWriter, r *http.Request) {
			b, err := h.findBridge(r.FormValue("name"))
			if err != nil {
				control.Answer(w, nil, err)
				return
			}
			purged, err := do(b)
			report := newBridgeReport(b)
			report.Purged = purged
			h.log.Info("a tool asked something of a bridge", "bridge", report.Name, "reason", action)
			control.Answer(w, report, err)
		}})
	}
	return routes
}

func (h *house) findBridge(name string) (*bridge.Bridge, error) {
	var names []string
	for _, b := range h.bridges() {
		n := b.Stats().Name
		if n == name || name == "" && len(h.bridges()) == 1 {
			return b, nil
		}
		names = append(names, n)
	}
	switch {
	case len(names) == 0:
		return nil, errors.New("this gateway has no bridge")
	case name == "":
		return nil, fmt.Errorf("which one? there is %s", strings.Join(names, ", "))
	}
	return nil, fmt.Errorf("there is no bridge %q: there is %s", name, strings.Join(names, ", "))
}
