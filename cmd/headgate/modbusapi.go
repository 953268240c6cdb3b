package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"headgate/adapters/modbus"
	"headgate/cmd/headgate/control"
	"headgate/gateway/point"
)

// The tools' requests to the Modbus links of a gateway that runs.
const (
	modbusLinkPath    = "/api/v1/modbus/link"    // does it have the link?
	modbusRequestPath = "/api/v1/modbus/request" // a request on it
	modbusSniffPath   = "/api/v1/modbus/sniff"   // all that is said on it, until the tool goes
)

// modbusAsk is a tool's request.
type modbusAsk struct {
	Link    string         `json:"link"` // modbus.Config.Link
	Request modbus.Request `json:"request"`
}

// modbusReply is what came of it.
type modbusReply struct {
	Answer  modbus.Answer `json:"answer"`
	Outcome string        `json:"outcome"` // point.Outcome
	Error   string        `json:"error,omitempty"`
}

// modbusHas says whether the gateway has a link, and its name.
type modbusHas struct {
	Name string `json:"name"` // "" where it has not

	// Turnaround is how long units have been measured to take to begin an answer.
	Turnaround map[uint8]time.Duration `json:"turnaround,omitempty"`
}

// modbusPart is one [[modbus]] table and its adapter.
type modbusPart struct {
	config  modbus.Config
	adapter *modbus.Adapter
}

// modbusRoutes serves the tools.
func (h *house) modbusRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST "+modbusLinkPath, func(w http.ResponseWriter, r *http.Request) {
		var ask modbusAsk
		var has modbusHas
		err := control.Request(r, &ask)
		if a := h.modbusLink(ask.Link); a != nil {
			has = modbusHas{a.Name(), measured(a)}
		}
		control.Answer(w, has, err)
	})
	mux.HandleFunc("POST "+modbusRequestPath, func(w http.ResponseWriter, r *http.Request) {
		var ask modbusAsk
		if err := control.Request(r, &ask); err != nil {
			control.Answer(w, nil, err)
			return
		}
		a := h.modbusLink(ask.Link)
		if a == nil {
			control.Answer(w, nil, fmt.Errorf("this gateway has no link %q", ask.Link))
			return
		}
		answer, err := a.Do(r.Context(), ask.Request)
		reply := modbusReply{Answer: answer, Outcome: point.Outcome(err)}
		if err != nil {
			reply.Error = err.Error()
		}
		if ask.Request.Write != nil {
			h.log.Info("a tool has written", "link", a.Name(), "unit", ask.Request.Unit, "register", ask.Request.Register, "reason", reply.Outcome)
		}
		control.Answer(w, reply, nil)
	})
	mux.HandleFunc("GET "+modbusSniffPath, func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		a := h.modbusLink(query.Get("link"))
		if a == nil {
			control.Answer(w, nil, fmt.Errorf("this gateway has no link %q", query.Get("link")))
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		out := http.NewResponseController(w)
		out.Flush() // the tool knows from then on that it is heard
		a.Sniff(r.Context(), func(heard modbus.Heard) {
			printHeard(w, heard, query.Has("raw"))
			out.Flush()
		})
	})
}

// measured gives the turnarounds of the units that have been heard.
func measured(a *modbus.Adapter) map[uint8]time.Duration {
	units := map[uint8]time.Duration{}
	for _, d := range a.Stats().Devices {
		if d.Turnaround > 0 {
			units[d.Unit] = d.Turnaround
		}
	}
	return units
}

// modbusLink gives the adapter that has the link; nil where none has. What a link's
// port is called may have changed since the start.
func (h *house) modbusLink(link string) *modbus.Adapter {
	for _, m := range h.pump.Load().modbus {
		if m.config.Link() == link {
			return m.adapter
		}
	}
	return nil
}

// modbusAsker makes a tool's requests.
type modbusAsker interface {
	Do(ctx context.Context, r modbus.Request) (modbus.Answer, error)
	Close()
}

// throughGateway asks by way of the gateway that has the link.
type throughGateway struct {
	client *control.Client
	link   string
}

func (g *throughGateway) Close() {}

func (g *throughGateway) Do(ctx context.Context, r modbus.Request) (modbus.Answer, error) {
	var reply modbusReply
	if err := g.client.Post(ctx, modbusRequestPath, modbusAsk{g.link, r}, &reply); err != nil {
		return modbus.Answer{}, err
	}
	if reply.Error != "" {
		return modbus.Answer{}, &replyError{reply}
	}
	return reply.Answer, nil
}

// replyError is the error that the gateway's adapter gave.
type replyError struct{ reply modbusReply }

func (e *replyError) Error() string { return e.reply.Error }

func (e *replyError) Is(target error) bool { return point.Outcome(target) == e.reply.Outcome }
