package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"headgate/broker"
	"headgate/broker/store"
	"headgate/cmd/headgate/config"
	"headgate/cmd/headgate/control"
	"headgate/gateway/rule"
	"headgate/gateway/web"
)

// reloadCmd tells the gateway that runs here to read its configuration again.
type reloadCmd struct {
	configFile
}

const reloadPath = "/api/v1/reload"

// Run checks the configuration first: a faulty one is not reloaded.
func (c *reloadCmd) Run(k *kong.Kong) error {
	file, _, err := config.Check(c.path())
	if err != nil {
		return err
	}
	var r reloadResult
	if err := control.New(control.Paths(file.Gateway.DataDir)).Post(context.Background(), reloadPath, nil, &r); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	fmt.Fprintln(k.Stdout, r)
	return nil
}

// reloadResult is what a reload has come to.
type reloadResult struct {
	// Links says that those links and devices have started again that were changed.
	Links bool `json:"links"`

	// Bridges says that some have begun, ended or begun again.
	Bridges bool `json:"bridges"`

	// Renewed names the links and bridges that connect anew, because their certificates,
	// keys or passwords were exchanged in their files.
	Renewed []string `json:"renewed"`

	// Rules says that some have begun, ended or begun again.
	Rules bool `json:"rules"`

	// Page is where the page has gone, as a URL or "off"; "": it stays.
	Page string `json:"page"`

	// Unbound are listeners whose address cannot be bound, each with why: they are tried again.
	Unbound []string `json:"unbound"`

	// Restart names the keys, and bridges, whose change needs a restart.
	Restart []string `json:"restart"`
}

// String says it.
func (r reloadResult) String() string {
	said := "Reloaded: users, rights, limits, classes, listeners, certificates and logins to the page are in force"
	if r.Links {
		said += "; links and devices that were changed have started again"
	}
	if r.Bridges {
		said += "; bridges that were changed have started again"
	}
	if len(r.Renewed) > 0 {
		said += "; connections are made anew with files that were exchanged: " + strings.Join(r.Renewed, ", ")
	}
	if r.Rules {
		said += "; rules are the new ones"
	}
	switch r.Page {
	case "":
	case web.Off:
		said += "; there is no page any more"
	default:
		said += "; the page is at " + r.Page + " now"
	}
	said += "."
	for _, listener := range r.Unbound {
		said += "\nNobody can connect there, and it is tried again: " + listener
	}
	if len(r.Restart) > 0 {
		said += "\nChanged too, but in force only after a restart: " + strings.Join(r.Restart, ", ") + "."
	}
	return said
}

// reloader reads the configuration again while the gateway runs: at SIGHUP, and
// when a tool asks for it on the control socket.
type reloader struct {
	path    string
	log     *slog.Logger
	store   *store.Store
	broker  *broker.Broker
	web     *web.Server
	rules   *rule.Rules
	control http.Handler      // what the control socket serves
	pump    func() *fieldPump // what runs
	replace func(*fieldPump) error
	bridges func([]config.Bridge) (bridgesReloaded, error)
	parts   func() []connected
	service *service

	hup      chan os.Signal // by listen
	listener net.Listener   // of the control socket; nil: there is none

	mu      sync.Mutex   // one reload at a time; guards what follows
	started *config.File // what the gateway runs with: of a reload, what is in force
	sums    fileSums     // of the files that its parts read when they connect
}

// newReloader makes one for a house that runs what it was built of.
func (h *house) newReloader(path string) *reloader {
	sums, _ := fileSums(nil).renew(h.connectedParts())
	return &reloader{path: path, log: h.log, started: new(*h.config), store: h.store, broker: h.broker, web: h.web, rules: h.rules, control: h.controlHandler(),
		pump: h.pump.Load, replace: h.replacePump, bridges: h.reloadBridges, parts: h.connectedParts, sums: sums, service: h.service}
}

// running gives the files that were read last, and as TOML what the gateway runs with.
func (r *reloader) running() (files []string, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.started.Paths, r.started.Text()
}

// commandTime is how long a command may take.
func (r *reloader) commandTime() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.started.Gateway.MaxAge + r.started.Gateway.CommandTimeout
}

func (r *reloader) reload() (res reloadResult, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.service.reloading()
	defer r.service.tell("READY=1")
	defer func() {
		if err != nil {
			r.log.Error("configuration not reloaded", "err", err)
			return
		}
		r.log.Info("configuration reloaded", "restart", strings.Join(res.Restart, ", "))
	}()
	file, err := config.Reload(r.path, r.started.Gateway.ID)
	if err != nil {
		return res, err
	}
	file.Broker.Version = r.started.Broker.Version
	page, err := r.web.Prepare(file.Web)
	if err != nil {
		return res, err
	}
	if err = r.broker.Reload(file.Broker); err != nil {
		page.Cancel()
		return res, err
	}
	r.nowInForce(file)
	r.reloadWeb(file, page, &res)
	if !reflect.DeepEqual(file.Rule, r.started.Rule) {
		if err = r.rules.Reload(file.Rule); err != nil {
			return res, err
		}
		r.started.Rule, res.Rules = file.Rule, true
	}
	if res.Links, err = r.reloadPump(file); err != nil {
		return res, err
	}
	if err = r.reloadBridges(file, &res); err != nil {
		return res, err
	}
	r.sums, res.Renewed = r.sums.renew(r.parts())
	for _, l := range r.broker.ListenerFaults() {
		res.Unbound = append(res.Unbound, "listener "+l.URL+": "+addressFault(l.Err))
	}
	now := *file
	now.Broker, now.Bridge, now.Web, now.Store.Class = r.started.Broker, r.started.Bridge, r.started.Web, r.started.Store.Class
	res.Restart = append(res.Restart, changedKeys("", reflect.ValueOf(*r.started), reflect.ValueOf(now))...)
	return res, nil
}

// changedKeys names the keys that are not the same in two tables of one type, and
// of lists of tables the list. prefix is that of the names.
func changedKeys(prefix string, before, after reflect.Value) (keys []string) {
	for i := range before.NumField() {
		field, was, is := before.Type().Field(i), before.Field(i), after.Field(i)
		name := field.Tag.Get("toml")
		switch {
		case name == "-" || !field.IsExported() || reflect.DeepEqual(was.Interface(), is.Interface()):
		case field.Anonymous:
			keys = append(keys, changedKeys(prefix, was, is)...)
		case was.Kind() == reflect.Struct:
			keys = append(keys, changedKeys(prefix+name+".", was, is)...)
		default:
			keys = append(keys, prefix+name)
		}
	}
	return keys
}

// nowInForce notes what the broker has taken of a configuration, and has the store take
// its limits.
func (r *reloader) nowInForce(file *config.File) {
	r.started.Broker, r.started.Store.Class, r.started.Paths = file.Broker, file.Store.Class, file.Paths
	now, then := &r.started.Store.Config, &file.Store.Config
	if r.store.SetLimits(*then) {
		now.MaxBytes = then.MaxBytes
	}
	now.AtLimit, now.CardEndurance, now.DailyWriteBudget = then.AtLimit, then.CardEndurance, then.DailyWriteBudget
}

// reloadWeb has the page be what was prepared. Where the days of its points are stays.
func (r *reloader) reloadWeb(file *config.File, page *web.Change, res *reloadResult) {
	dir, before := r.started.Web.HistoryDir, r.web.Address()
	page.Apply()
	if at := r.web.Address(); at != before {
		res.Page = cmp.Or(at, web.Off)
	}
	r.started.Web = file.Web
	r.started.Web.HistoryDir = dir
}

// reloadBridges has the bridges of a configuration run.
func (r *reloader) reloadBridges(file *config.File, res *reloadResult) error {
	b, err := r.bridges(file.Bridge)
	r.started.Bridge, res.Bridges = b.inForce, b.changed
	res.Restart = append(res.Restart, b.restart...)
	return err
}

// reloadPump starts those links and devices again whose tables have changed, and all
// after a change of those keys of [gateway] that are theirs. What they are called in topics
// others have been told at the start, and the store stays where it is.
func (r *reloader) reloadPump(file *config.File) (done bool, err error) {
	was, g := r.started.Gateway, file.Gateway
	g.ID, g.DataDir, g.Topic = was.ID, was.DataDir, was.Topic
	same := reflect.DeepEqual(g, was)
	if same && reflect.DeepEqual(file.HomeAssistant, r.started.HomeAssistant) && reflect.DeepEqual(file.Modbus, r.started.Modbus) && reflect.DeepEqual(file.Serial, r.started.Serial) && reflect.DeepEqual(file.Derived, r.started.Derived) {
		return false, nil
	}
	next := *file
	next.Gateway = g
	var running *fieldPump
	if same {
		running = r.pump()
	}
	p, err := newFieldPump(&next, running, r.broker, r.log)
	if err == nil {
		err = r.replace(p)
	}
	if err != nil {
		return false, err
	}
	r.started.Gateway, r.started.HomeAssistant, r.started.Modbus, r.started.Serial, r.started.Derived = g, file.HomeAssistant, file.Modbus, file.Serial, file.Derived
	return true, nil
}

// listen hears SIGHUP from now on, before anybody is told that the gateway is ready,
// and binds the control socket. Without one the gateway works all the same.
func (r *reloader) listen() {
	r.hup = make(chan os.Signal, 1)
	signal.Notify(r.hup, syscall.SIGHUP)
	l, err := control.Listen(control.Paths(r.started.Gateway.DataDir))
	if err != nil {
		r.log.Warn("tools cannot reach this gateway", "err", err)
		return
	}
	r.listener = l
	r.log.Debug("control socket is there", "path", l.Addr().String())
}

// run answers SIGHUP and the control socket until ctx ends.
func (r *reloader) run(ctx context.Context) error {
	defer signal.Stop(r.hup)
	var wg sync.WaitGroup
	defer wg.Wait()
	if r.listener != nil {
		wg.Go(func() {
			if err := control.Serve(ctx, r.listener, r.control); err != nil {
				r.log.Error("control socket failed", "err", err)
			}
		})
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.hup:
			r.reload() // it logs what came of it
		}
	}
}
