package main

import (
	"net/http"

	"headgate/broker"
	"headgate/gateway/web"
)

// What the page and the API learn of the gateway: house is the web.Source.

const maxListedClients = 500

// clientList is who is connected, and after them whose sessions wait.
type clientList struct {
	Total   int                 `json:"total"` // Clients has maxListedClients of them at most
	Clients []broker.ClientInfo `json:"clients"`
}

// Status is the report behind headgate status.
func (h *house) Status() any { return h.status() }

// Clients are those of the broker.
func (h *house) Clients() any {
	list, total := h.broker.Clients(maxListedClients)
	return clientList{total, list}
}

// Devices are those of the pump, in the order of the configuration.
func (h *house) Devices() []web.Device {
	list := []web.Device{}
	pump := h.pump.Load()
	polls := pump.polls()
	for _, d := range pump.gateway.Stats().Devices {
		w := web.Device{Name: d.Name, Adapter: d.Adapter, Online: d.Online, Reason: d.Reason, Since: timeOrNull(d.Since), Updated: timeOrNull(d.Updated),
			Samples: d.Samples, Bad: d.Bad, Polls: polls[pollKey{d.Adapter, d.Name}], Points: make([]web.Point, 0, len(d.Points))}
		for _, p := range d.Points {
			w.Points = append(w.Points, web.Point{Name: p.Name, Unit: p.Unit, Topic: p.Topic, Writable: p.Writable, Source: p.Source, Message: p.Message, Last: p.Last})
		}
		list = append(list, w)
	}
	return list
}

// Unready says why messages are not taken, or not from everywhere.
func (h *house) Unready() []string {
	var reasons []string
	st := h.store.Stats()
	for _, a := range st.Alarms() {
		if a.Name == "disk" || a.Name == "full" {
			reasons = append(reasons, a.Text)
		}
	}
	for _, url := range h.broker.Unbound() {
		reasons = append(reasons, "listener "+url+" is not bound")
	}
	return reasons
}

// Watch gives what is published in the broker, $SYS included.
func (h *house) Watch(handle func(web.Message)) (stop func()) {
	h.broker.Retained("#", func(m broker.Message) { handle(watched(m, true)) })
	h.broker.Retained("$SYS/#", func(m broker.Message) { handle(watched(m, true)) })
	c := h.broker.NewClient("watch")
	for _, filter := range []string{"#", "$SYS/#"} {
		if err := c.Subscribe(filter, func(m broker.Message) { handle(watched(m, false)) }); err != nil {
			h.log.Error("topics cannot be watched", "filter", filter, "err", err)
		}
	}
	return c.Close
}

func watched(m broker.Message, old bool) web.Message {
	return web.Message{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain, Old: old}
}

// Routes are what the API can do to the gateway.
func (h *house) Routes() []web.Route {
	return append(h.bridgeRoutes(),
		web.Route{Pattern: "POST " + reloadPath, Handle: h.serveReload},
		web.Route{Pattern: "GET " + configPath, Handle: h.serveConfig},
		web.Route{Pattern: "GET " + configPath + "/check", Handle: h.serveConfigCheck},
		web.Route{Pattern: "POST /api/v1/write", Handle: h.serveWrite},
		web.Route{Pattern: "POST /api/v1/publish", Handle: h.servePublish},
		web.Route{Pattern: "POST /api/v1/clients/disconnect", Handle: h.serveDisconnect},
	)
}

// controlHandler is what the control socket serves: the API, and what only the
// tools on this machine may do.
func (h *house) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/v1/", h.web.API())
	h.modbusRoutes(mux)
	serveQueues(mux, h.broker.Queues())
	mux.HandleFunc("GET "+backupPath, h.serveBackup)
	return mux
}
