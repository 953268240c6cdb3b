package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"headgate/broker"
	"headgate/cmd/headgate/config"
	"headgate/cmd/headgate/control"
	"headgate/gateway/point"
)

const configPath = "/api/v1/config"

var errNoFile = errors.New("this gateway was not started from a file")

// writeAsk is a value for a point.
type writeAsk struct {
	Device string          `json:"device"`
	Point  string          `json:"point"`
	Value  json.RawMessage `json:"value"`
}

// writeResult is what came of it: Status is "ok" or why not, Value what was read
// back, null if nothing was.
type writeResult struct {
	ID     string          `json:"id"`
	Status string          `json:"status"`
	Value  json.RawMessage `json:"value"`
	Reason string          `json:"reason"`
}

// serveWrite sets a point as any MQTT client would, by a command to its set topic,
// and waits for the result.
func (h *house) serveWrite(w http.ResponseWriter, r *http.Request) {
	var ask writeAsk
	err := control.Request(r, &ask)
	var res writeResult
	if err == nil {
		if _, err = point.ParseJSON(ask.Value); err == nil {
			res, err = h.write(r.Context(), ask)
		}
	}
	control.Answer(w, res, err)
}

func (h *house) write(ctx context.Context, ask writeAsk) (res writeResult, err error) {
	var topic string
	for _, d := range h.pump.Load().gateway.Stats().Devices {
		for _, p := range d.Points {
			if d.Name == ask.Device && p.Name == ask.Point {
				topic = p.Topic + "/set"
			}
		}
	}
	if topic == "" {
		return res, fmt.Errorf("there is no point %.80q of a device %.80q", ask.Point, ask.Device)
	}
	atMost := h.config.Gateway.MaxAge + h.config.Gateway.CommandTimeout
	if h.reloader != nil {
		atMost = h.reloader.commandTime()
	}
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	id := "page-" + strconv.FormatUint(h.asked.Add(1), 10)
	payload, err := json.Marshal(map[string]any{"value": ask.Value, "id": id})
	if err != nil {
		return res, err
	}
	results := make(chan writeResult, 1)
	c := h.broker.NewClient(id)
	defer c.Close()
	err = c.Subscribe(topic+"/result", func(m broker.Message) {
		var got writeResult
		if json.Unmarshal(m.Payload, &got) == nil && got.ID == id {
			select {
			case results <- got:
			default:
			}
		}
	})
	if err != nil {
		return res, err
	}
	if err := h.operator.Publish(broker.Message{Topic: topic, Payload: payload, QoS: 1}); err != nil {
		return res, err
	}
	select {
	case res := <-results:
		return res, nil
	case <-ctx.Done():
		return res, fmt.Errorf("no result came for %s: %w", topic, ctx.Err())
	}
}

// publishAsk is a message for the local broker.
type publishAsk struct {
	Topic   string `json:"topic"`
	Payload string `json:"payload"`
	QoS     byte   `json:"qos"`
	Retain  bool   `json:"retain"`
}

func (h *house) servePublish(w http.ResponseWriter, r *http.Request) {
	var ask publishAsk
	err := control.Request(r, &ask)
	switch {
	case err != nil:
	case strings.HasPrefix(ask.Topic, "$"):
		err = fmt.Errorf("publish to %.80q: topics that begin with $ are the broker's own", ask.Topic)
	default:
		err = h.operator.Publish(broker.Message{Topic: ask.Topic, Payload: []byte(ask.Payload), QoS: ask.QoS, Retain: ask.Retain})
	}
	control.Answer(w, struct{}{}, err)
}

func (h *house) serveDisconnect(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		ClientID string `json:"client_id"`
	}
	err := control.Request(r, &ask)
	if err == nil {
		err = h.broker.Disconnect(ask.ClientID)
	}
	control.Answer(w, struct{}{}, err)
}

func (h *house) serveReload(w http.ResponseWriter, _ *http.Request) {
	if h.reloader == nil {
		control.Answer(w, nil, errNoFile)
		return
	}
	res, err := h.reloader.reload()
	control.Answer(w, res, err)
}

// configReport is the configuration that runs.
type configReport struct {
	Files []string `json:"files"`
	Text  string   `json:"text"` // TOML, without the secrets
}

func (h *house) serveConfig(w http.ResponseWriter, _ *http.Request) {
	report := configReport{h.config.Paths, h.config.Text()}
	if h.reloader != nil {
		report.Files, report.Text = h.reloader.running()
	}
	control.Answer(w, report, nil)
}

// checkReport is what headgate check says of the file on disk.
type checkReport struct {
	Time    time.Time    `json:"time"`
	Good    bool         `json:"good"`    // a reload would take it: there are warnings and notes at most
	Differs bool         `json:"differs"` // it is not what runs, as far as no secret tells it
	Summary string       `json:"summary"` // what it holds, if it is good
	Faults  []checkFault `json:"faults"`  // those of the worst severity first
}

type checkFault struct {
	Severity string `json:"severity"` // "error", "warning" or "note"
	File     string `json:"file"`
	Line     int    `json:"line"`   // 1-based; 0: the whole file
	Column   int    `json:"column"` // 1-based, in characters; 0: the whole line
	Key      string `json:"key"`
	Text     string `json:"text"`
	Excerpt  string `json:"excerpt"` // secrets masked
}

func (h *house) serveConfigCheck(w http.ResponseWriter, _ *http.Request) {
	if h.reloader == nil {
		control.Answer(w, nil, errNoFile)
		return
	}
	report := checkReport{Time: time.Now().UTC(), Faults: []checkFault{}}
	file, notes, err := config.Check(h.reloader.path)
	var faults config.Faults
	switch {
	case errors.As(err, &faults):
		err = nil
	case err == nil:
		_, text := h.reloader.running()
		report.Good, report.Summary, report.Differs = true, file.Summary(), file.Text() != text
	}
	all := append(faults, notes...)
	ranks := []config.Severity{config.Error, config.Warning, config.Note}
	slices.SortStableFunc(all, func(a, b config.Fault) int {
		return slices.Index(ranks, a.Level()) - slices.Index(ranks, b.Level())
	})
	for _, f := range all {
		report.Faults = append(report.Faults, checkFault{string(f.Level()), f.File, f.Line, f.Column, f.Key, f.Text, f.Excerpt()})
	}
	control.Answer(w, report, err)
}
