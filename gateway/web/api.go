package web

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// ownRoutes are the requests that web answers by itself.
func (s *Server) ownRoutes() []Route {
	return []Route{
		{"GET /api/v1/events", s.serveEvents},
		{"GET /api/v1/devices", s.serveDevices},
		{"GET /api/v1/sparklines", s.serveSparklines},
		{"GET /api/v1/history", s.serveHistory},
		{"GET /api/v1/topics", s.serveTopics},
		{"GET /api/v1/clients", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.src.Clients()) }},
		{"GET /api/v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.src.Status()) }},
		{"GET /api/v1/log", s.serveLog},
	}
}

// deviceList is the devices at a time.
type deviceList struct {
	Time    time.Time `json:"time"`
	Layout  uint32    `json:"layout"` // another number: other devices or points, or another order
	Links   []Link    `json:"links"`
	Devices []Device  `json:"devices"`
}

func (s *Server) serveDevices(w http.ResponseWriter, _ *http.Request) {
	devices := s.src.Devices()
	answer(w, http.StatusOK, deviceList{time.Now().UTC(), layoutOf(devices), s.src.Links(), devices})
}

// serveSparklines gives a short line for each point, in the order of the devices.
func (s *Server) serveSparklines(w http.ResponseWriter, _ *http.Request) {
	now := time.Now()
	all := [][][]*float64{}
	for _, d := range s.src.Devices() {
		lines := [][]*float64{}
		for _, p := range d.Points {
			lines = append(lines, s.history.sparkline(d.Name, p.Name, now))
		}
		all = append(all, lines)
	}
	answer(w, http.StatusOK, all)
}

func (s *Server) serveHistory(w http.ResponseWriter, r *http.Request) {
	device, name := r.FormValue("device"), r.FormValue("point")
	for _, d := range s.src.Devices() {
		for _, p := range d.Points {
			if d.Name == device && p.Name == name {
				s.servePlot(w, device, name, r.FormValue("of"))
				return
			}
		}
	}
	refuse(w, http.StatusNotFound, fmt.Sprintf("there is no point %.80q of a device %.80q", name, device))
}

// servePlot gives the last hour of a point, or with of=day the last day.
func (s *Server) servePlot(w http.ResponseWriter, device, name, of string) {
	days := s.days.now.Load()
	switch {
	case of == "" || of == "hour":
		answer(w, http.StatusOK, s.history.plot(device, name, time.Now()))
	case of != "day":
		refuse(w, http.StatusUnprocessableEntity, fmt.Sprintf("of=%.40q: want hour or day", of))
	case days == nil:
		refuse(w, http.StatusNotFound, "no days are kept here: set web.history_bytes")
	default:
		p, err := days.plot(device, name, time.Now())
		if err != nil {
			refuse(w, http.StatusInternalServerError, err.Error())
			return
		}
		answer(w, http.StatusOK, p)
	}
}

func (s *Server) serveTopics(w http.ResponseWriter, _ *http.Request) {
	s.topics.look(time.Now())
	answer(w, http.StatusOK, s.topics.all())
}

// serveLog gives the lines after ?after=, a number; without it, all that are kept.
func (s *Server) serveLog(w http.ResponseWriter, r *http.Request) {
	var after uint64
	if text := r.FormValue("after"); text != "" {
		var err error
		if after, err = strconv.ParseUint(text, 10, 64); err != nil {
			refuse(w, http.StatusUnprocessableEntity, fmt.Sprintf("after=%.40q: want the number of a line", text))
			return
		}
	}
	lines, _ := s.lines.After(after)
	answer(w, http.StatusOK, lines)
}
