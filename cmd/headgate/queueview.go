package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"
	"unicode/utf8"

	"headgate/broker"
	"headgate/broker/store"
	"headgate/cmd/headgate/config"
	"headgate/cmd/headgate/control"
)

const (
	queuesPath   = "/api/v1/queues"
	messagesPath = "/api/v1/queues/messages" // ?name=NAME&n=COUNT; no n: all
	purgePath    = "/api/v1/queues/purge"    // ?name=NAME
)

// queueView is a way to the queues: through the gateway that runs, or by the
// store of one that does not.
type queueView struct {
	list   func() ([]broker.QueueInfo, error)
	export func(w io.Writer, name string, n int) error // as JSON; n 0: all
	purge  func(name string) (int64, error)
	close  func() error
}

// open finds the way; write: to change something.
func (c *queueFlags) open(write bool) (*queueView, error) {
	file, err := config.Load(c.Config)
	if err != nil {
		return nil, err
	}
	client := control.New(control.Paths(file.Gateway.DataDir))
	var list []broker.QueueInfo
	err = client.Get(context.Background(), queuesPath, &list)
	switch {
	case err == nil:
		return viewRunning(client), nil
	case errors.Is(err, control.ErrNoGateway):
		return viewStore(file, write || c.Recover)
	}
	return nil, err
}

func viewRunning(client *control.Client) *queueView {
	ctx := context.Background()
	return &queueView{
		list: func() (list []broker.QueueInfo, err error) {
			return list, client.Get(ctx, queuesPath, &list)
		},
		export: func(w io.Writer, name string, n int) error {
			query := url.Values{"name": {name}}
			if n > 0 {
				query.Set("n", strconv.Itoa(n))
			}
			return client.Stream(ctx, messagesPath+"?"+query.Encode(), w)
		},
		purge: func(name string) (int64, error) {
			var a purgeAnswer
			err := client.Post(ctx, purgePath+"?"+url.Values{"name": {name}}.Encode(), nil, &a)
			return a.Messages, err
		},
		close: func() error { return nil },
	}
}

// viewStore opens the store of a gateway that does not run.
func viewStore(file *config.File, write bool) (*queueView, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	dir := filepath.Join(absolute(file.Gateway.DataDir), storeName)
	if _, err := os.Lstat(filepath.Join(dir, "FORMAT")); err != nil {
		return nil, fmt.Errorf("no gateway runs here, and in gateway.data_dir %q there is no store: %w", file.Gateway.DataDir, err)
	}
	var st *store.Store
	var err error
	if write {
		st, err = openStore(file.Gateway.DataDir, file.Store.Config, log)
	} else {
		st, err = store.OpenToLook(dir, file.Store.Config, log)
	}
	if errors.Is(err, store.ErrNotClosed) {
		return nil, fmt.Errorf("%w: start the gateway, or say --recover to have it done now", err)
	}
	if err != nil {
		return nil, err
	}
	bridges := make(map[string]broker.QueueLimits)
	for _, b := range file.Bridge {
		bridges[b.Name] = b.Queue
	}
	qs, err := broker.LookInto(st, file.Broker, bridges, log)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return &queueView{
		list:   func() ([]broker.QueueInfo, error) { return qs.List(), nil },
		export: func(w io.Writer, name string, n int) error { return exportQueue(w, qs, name, n) },
		purge:  qs.Purge,
		close:  st.Close,
	}, nil
}

type purgeAnswer struct {
	Messages int64 `json:"messages"`
}

// serveQueues answers what viewRunning asks.
func serveQueues(mux *http.ServeMux, qs *broker.Queues) {
	mux.HandleFunc("GET "+queuesPath, func(w http.ResponseWriter, _ *http.Request) { control.Answer(w, qs.List(), nil) })
	mux.HandleFunc("POST "+purgePath, func(w http.ResponseWriter, r *http.Request) {
		n, err := qs.Purge(r.FormValue("name"))
		control.Answer(w, purgeAnswer{n}, err)
	})
	mux.HandleFunc("GET "+messagesPath, func(w http.ResponseWriter, r *http.Request) {
		n := 0
		if text := r.FormValue("n"); text != "" {
			var err error
			if n, err = strconv.Atoi(text); err != nil || n < 1 {
				control.Answer(w, nil, fmt.Errorf("n=%s: want 1 or more", text))
				return
			}
		}
		out := &startedWriter{w: w}
		switch err := exportQueue(out, qs, r.FormValue("name"), n); {
		case err == nil:
		case out.started:
			panic(http.ErrAbortHandler) // who reads sees that it is not all
		default:
			control.Answer(w, nil, err)
		}
	})
}

// startedWriter knows whether something was written to it.
type startedWriter struct {
	w       io.Writer
	started bool
}

func (s *startedWriter) Write(b []byte) (int, error) {
	s.started = true
	return s.w.Write(b)
}

var errEnough = errors.New("so many were asked for")

// exportQueue writes the first n messages, or all for 0, each as a JSON object in
// a line.
func exportQueue(w io.Writer, qs *broker.Queues, name string, n int) error {
	written := 0
	var line []byte
	err := qs.Messages(name, func(m broker.QueuedMessage) error {
		line = append(appendExported(line[:0], &m), '\n')
		if _, err := w.Write(line); err != nil {
			return err
		}
		if written++; written == n {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// appendExported appends a message as a JSON object: the payload as text where it
// is UTF-8, and in base64 where not; the properties as headgate sub has them.
func appendExported(dst []byte, m *broker.QueuedMessage) []byte {
	w := jsonWriter{b: dst}
	w.open('{')
	w.text("time", m.Time.UTC().Format(time.RFC3339))
	w.text("topic", m.Topic)
	w.number("qos", uint64(m.QoS))
	w.key("retain")
	w.b = strconv.AppendBool(w.b, m.Retain)
	w.properties(&m.Properties)
	if utf8.Valid(m.Payload) {
		w.text("payload", string(m.Payload))
	} else {
		w.text("payload_base64", base64.StdEncoding.EncodeToString(m.Payload))
	}
	w.close('}')
	return w.b
}
