package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// hub says once a second what is new to all who have the page open: each event is
// made once, however many they are. It also keeps the history.
type hub struct {
	s *Server

	mu      sync.Mutex // guards what follows
	viewers map[*viewer]struct{}

	// run's own.
	devices []Device
	layout  uint32 // of devices
	logged  uint64 // number of the last line that was sent
	minute  int64  // since 1970, of the last tick
}

// viewer is one open page.
type viewer struct {
	of    []string
	frame chan []byte   // events of a second
	lost  chan struct{} // closed when it was too slow for one
}

const (
	tick        = time.Second
	maxViewers  = 64
	slowViewers = 4 // seconds of events that wait for one: then its connection ends, and its page begins anew
)

// The events that a page may ask for.
const (
	statusEvent  = "status"
	devicesEvent = "devices"
	topicsEvent  = "topics"
	clientsEvent = "clients"
	logEvent     = "log"
)

var eventNames = [...]string{statusEvent, devicesEvent, topicsEvent, clientsEvent, logEvent}

func newHub(s *Server) *hub { return &hub{s: s, viewers: make(map[*viewer]struct{})} }

func (h *hub) run(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			h.tick(now)
		}
	}
}

func (h *hub) tick(now time.Time) {
	before := h.devices
	h.devices = h.s.src.Devices()
	if layout := layoutOf(h.devices); layout != h.layout {
		before, h.layout = nil, layout
		h.s.history.fit(h.devices)
	}
	h.s.history.add(h.devices)
	h.keepMinute(now)
	topics := h.s.topics.tick(now)
	lines, last := h.s.lines.After(h.logged)
	h.logged = last

	frames := map[string][]byte{}
	for name := range h.wanted() {
		var v any
		switch name {
		case statusEvent:
			v = h.s.src.Status()
		case devicesEvent:
			v = since(before, h.devices, h.s.src.Links(), now)
		case topicsEvent:
			h.s.topics.look(now)
			v = topics
		case clientsEvent:
			v = h.s.src.Clients()
		case logEvent:
			if len(lines) == 0 {
				continue
			}
			v = lines
		}
		text, err := json.Marshal(v)
		if err != nil {
			h.s.log.Error("an event cannot be said", "reason", name, "err", err)
			continue
		}
		frames[name] = fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, text)
	}
	h.send(frames)
}

// wanted gives what is to be made.
func (h *hub) wanted() map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := map[string]bool{}
	for v := range h.viewers {
		for _, name := range v.of {
			names[name] = true
		}
	}
	return names
}

func (h *hub) send(frames map[string][]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for v := range h.viewers {
		var all [][]byte
		for _, name := range v.of {
			all = append(all, frames[name])
		}
		frame := all[0]
		if len(all) > 1 {
			frame = bytes.Join(all, nil)
		}
		select {
		case v.frame <- frame:
		default:
			close(v.lost)
			delete(h.viewers, v)
		}
	}
}

func (h *hub) add(of []string) *viewer {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.viewers) >= maxViewers {
		return nil
	}
	v := &viewer{of: of, frame: make(chan []byte, slowViewers), lost: make(chan struct{})}
	h.viewers[v] = struct{}{}
	return v
}

func (h *hub) remove(v *viewer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.viewers, v)
}

// serveEvents streams the events that ?of= names, separated by commas, as
// text/event-stream, until the viewer goes.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	of := strings.Split(r.FormValue("of"), ",")
	for _, name := range of {
		if !slices.Contains(eventNames[:], name) {
			refuse(w, http.StatusUnprocessableEntity, fmt.Sprintf("of=%.40q: want some of %s, separated by commas", name, strings.Join(eventNames[:], ", ")))
			return
		}
	}
	slices.Sort(of)
	v := s.hub.add(slices.Compact(of))
	if v == nil {
		refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("%d look already: more may not", maxViewers))
		return
	}
	defer s.hub.remove(v)
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	frame := []byte(": headgate\n\n")
	for {
		out.SetWriteDeadline(time.Now().Add(writeTime))
		if _, err := w.Write(frame); err != nil {
			return
		}
		if err := out.Flush(); err != nil {
			return
		}
		select {
		case frame = <-v.frame:
		case <-v.lost:
			return
		case <-r.Context().Done():
			return
		case <-s.stopping:
			return
		}
		if len(frame) == 0 {
			frame = []byte(":\n\n")
		}
	}
}
