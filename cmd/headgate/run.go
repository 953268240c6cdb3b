package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"headgate/broker"
	"headgate/broker/store"
	"headgate/cmd/headgate/config"
	"headgate/gateway/rule"
	"headgate/gateway/web"
)

// runCmd runs the gateway.
type runCmd struct {
	configFile
	Verbose bool `short:"v" help:"Log each message too."`
}

// gcPercent is how much more than what is in use the heap may have, unless GOGC in
// the environment says otherwise. On a board of 512 MB memory is dearer than the
// collector's time, which is little: a message allocates next to nothing.
//
// Until the parts are made it is startPercent, so that nothing is collected in between
// but at a large start. What the configuration's reading has left would become Badger's
// memtables, of which 10 MB are cleared then, and so resident; of memory that was never
// used only what is written is.
const (
	gcPercent    = 40
	startPercent = 500
)

// Run runs it until SIGTERM or SIGINT; a second SIGINT ends it at once.
func (c *runCmd) Run() error {
	tuned := os.Getenv("GOGC") != ""
	if !tuned {
		debug.SetGCPercent(startPercent)
	}
	file, err := config.Load(c.path())
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if c.Verbose {
		level = slog.LevelDebug
	}
	log := newLog(level, os.Getenv)

	ctx, stop := untilStopped()
	defer stop()

	h, err := build(file, log)
	if err != nil {
		return err
	}
	if !tuned {
		debug.SetGCPercent(gcPercent)
	}
	log.Info("gateway starts", "gateway", file.Gateway.ID, "path", absolute(file.Gateway.DataDir))
	h.service = newService(os.Getenv)
	h.reloader = h.newReloader(c.path())
	return h.run(ctx)
}

// house is the gateway with its parts. build makes them in the order in which
// data needs them: the store, the broker, the bridges, the adapters behind the
// pump; run starts them so and stops them in reverse.
type house struct {
	log     *slog.Logger
	config  *config.File
	started time.Time
	store   *store.Store
	broker  *broker.Broker
	pump    atomic.Pointer[fieldPump]
	pumps   fieldPumps

	rules    *rule.Rules
	bridging bridgeSet

	lines    *web.Log
	web      *web.Server
	operator *broker.Client // publishes what the page asks for
	asked    atomic.Uint64  // numbers the commands of the page

	reloader *reloader // nil: nobody can reach it from outside
	service  *service  // nil: nobody started it as one
}

// build makes the parts. It opens the store and reads what it kept; no port, no
// device and no connection is opened yet.
func build(file *config.File, log *slog.Logger) (*house, error) {
	lines := web.NewLog(log.Handler())
	log = slog.New(lines)
	h := &house{log: log, lines: lines, config: file, started: time.Now()}
	st, err := openStore(file.Gateway.DataDir, file.Store.Config, log)
	if err != nil {
		return nil, err
	}
	h.store = st
	if err := h.buildOn(file); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return h, nil
}

func (h *house) buildOn(file *config.File) (err error) {
	file.Broker.Version, file.Broker.GatewayID = version(), file.Gateway.ID
	if h.broker, err = broker.New(file.Broker, h.store, h.log); err != nil {
		return err
	}
	f, err := newFieldPump(file, nil, h.broker, h.log)
	if err != nil {
		return err
	}
	h.pumps = newFieldPumps()
	h.pump.Store(f)
	if h.rules, err = rule.New(file.Rule, ruleClient{h.broker.NewClient("rules")}, h.log); err != nil {
		return err
	}
	h.operator = h.broker.NewClient("operator")
	if err := h.buildBridges(file.Bridge); err != nil {
		return err
	}
	h.web, err = web.New(file.Web, h, h.lines, h.log)
	return err
}

// stage is a part that runs.
type stage struct {
	name string
	run  func(context.Context) error
}

// run starts the parts and waits for the end of ctx, or for a part that gives
// up; then it stops them in reverse and closes the store. What was acknowledged
// is on disk at any time, so nothing is lost when it is not waited for.
func (h *house) run(ctx context.Context) error {
	stages := []stage{{"broker", h.broker.Run}}
	stages = append(stages, stage{"bridges", h.runBridges}, stage{"network", h.watchNetwork})
	stages = append(stages, stage{"rules", h.rules.Run})
	stages = append(stages, stage{"gateway", h.runPump})
	stages = append(stages, stage{"web", h.web.Run})
	if h.reloader != nil {
		h.reloader.listen()
		stages = append(stages, stage{"control", h.reloader.run})
	}
	if h.service != nil {
		stages = append(stages, stage{"watchdog", h.feed})
	}

	// Who cannot have his port goes on trying; everything else goes on.
	if err := h.broker.Listen(); err != nil {
		h.log.Debug("not every listener could be bound at once", "err", err)
	}
	ended := make(chan error, len(stages))
	var stops []func()
	for _, s := range stages {
		partCtx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := s.run(partCtx); err != nil && partCtx.Err() == nil {
				ended <- fmt.Errorf("%s: %w", s.name, err)
			}
		}()
		stops = append(stops, func() {
			cancel()
			<-done
			h.log.Debug("part stopped", "part", s.name)
		})
	}
	h.tellManager("READY=1")
	var err error
	select {
	case <-ctx.Done():
	case err = <-ended:
	}
	h.tellManager("STOPPING=1")
	h.log.Info("gateway stops")
	start := time.Now()
	for i := len(stops) - 1; i >= 0; i-- {
		stops[i]()
	}
	err = errors.Join(err, h.store.Close())
	h.log.Info("gateway stopped", "took", time.Since(start).Round(time.Millisecond))
	return err
}

// tellManager tells the service manager of a change of the whole gateway.
func (h *house) tellManager(state string) {
	if err := h.service.tell(state); err != nil {
		h.log.Warn("service manager not told", "err", err)
	}
}
