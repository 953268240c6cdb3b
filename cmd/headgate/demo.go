package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"headgate/bridge/faultnet"
	"headgate/broker"
	"headgate/broker/listen"
	"headgate/broker/store"
	"headgate/cmd/headgate/config"
)

// demoCmd shows the whole at work.
type demoCmd struct {
	For time.Duration `placeholder:"20s" help:"End by itself after this time; exit status 1 if a message was lost."`
	Dir string        `placeholder:"DIR" help:"Keep configuration, log and data in this directory; by default they are in a temporary one, which is removed at the end unless something went wrong."`
}

// Run runs it until "q", a signal, or the end of --for.
func (c *demoCmd) Run(k *kong.Kong) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	d, err := newDemo(c.Dir)
	if err != nil {
		return err
	}
	err = d.run(ctx, newScreen(k.Stdout))
	fmt.Fprintf(k.Stdout, "\n%s\n", d.verdict())
	if t := d.ledger.tally(); t.lost+t.open > 0 {
		err = errors.Join(err, fmt.Errorf("%d messages were lost", t.lost+t.open))
	}
	err = errors.Join(err, d.close())
	if c.Dir == "" && err == nil {
		fmt.Fprintln(k.Stdout, "headgate demo --dir DIR keeps its configuration in DIR: start your own from it.")
		return os.RemoveAll(d.dir)
	}
	fmt.Fprintf(k.Stdout, "The configuration that it used: %s\nStart your own from it. The log: %s\n", d.configPath, d.logPath)
	return err
}

// demo is a whole installation in one process: simulated devices, the gateway,
// a network that can be cut, and a second broker as the cloud.
type demo struct {
	dir, configPath, logPath string
	logFile                  *os.File
	log                      *slog.Logger

	field   *field
	cloud   *cloud
	link    *faultnet.Proxy
	gateway *house
	ledger  *ledger
	cut     bool
	started time.Time

	decimals map[string]int // of a topic's numbers, the most there were
}

// newDemo builds it in dir, or in a temporary directory if dir is "". Nothing
// runs yet but the simulated devices.
func newDemo(dir string) (*demo, error) {
	temporary := dir == ""
	if temporary {
		var err error
		if dir, err = os.MkdirTemp("", "headgate-demo-"); err != nil {
			return nil, fmt.Errorf("make a directory for the demo: %w", err)
		}
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the demo's directory: %w", err)
	}
	d := &demo{dir: dir, configPath: filepath.Join(dir, "headgate.toml"), logPath: filepath.Join(dir, "demo.log"), ledger: newLedger(), decimals: map[string]int{}}
	if err := d.build(); err != nil {
		err = errors.Join(err, d.close())
		if temporary {
			err = errors.Join(err, os.RemoveAll(dir))
		}
		return nil, err
	}
	return d, nil
}

func (d *demo) build() (err error) {
	if d.logFile, err = os.Create(d.logPath); err != nil {
		return fmt.Errorf("make the demo's log: %w", err)
	}
	d.log = slog.New(slog.NewTextHandler(d.logFile, nil))
	if d.cloud, err = newCloud(filepath.Join(d.dir, "cloud"), d.log.With("part", "cloud")); err != nil {
		return err
	}
	if d.link, err = faultnet.Listen("127.0.0.1:0", d.cloud.address); err != nil {
		return err
	}
	if d.field, err = newField(d.log); err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	text := strings.NewReplacer(
		"{DATA}", filepath.Join(d.dir, "data"), "{PORT}", port, "{METER}", d.field.meterPath,
		"{INVERTER}", d.field.inverterAddress, "{SCALE}", d.field.scalePath, "{CLOUD}", d.link.Addr(),
	).Replace(demoConfig)
	if err := os.WriteFile(d.configPath, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write the demo's configuration: %w", err)
	}
	file, err := config.Load(d.configPath)
	if err != nil {
		return err
	}
	if d.gateway, err = build(file, d.log.With("part", "gateway")); err != nil {
		return err
	}
	err = d.gateway.broker.NewClient("ledger").Subscribe("demo/#", func(m broker.Message) { d.ledger.publish(m.Topic, string(m.Payload)) })
	return errors.Join(err, d.cloud.client.Subscribe("demo/#", func(m broker.Message) { d.ledger.arrive(m.Topic, string(m.Payload)) }))
}

// demoConfig is what a person can start from.
const demoConfig = `# The configuration of "headgate demo". Every device in it is simulated: put your own
# ports and addresses in their places, and check it with: headgate check FILE

[gateway]
id = "demo"
data_dir = "{DATA}"

[[broker.listener]]
url = "mqtt://127.0.0.1:{PORT}"        # try: mosquitto_sub -p {PORT} -t 'demo/#' -v

[[modbus]]                             # a meter on RS485
name = "rs485"
url = "rtu://{METER}?baud=19200"
  [[modbus.device]]
  name = "meter"
  unit = 1
  interval = "1s"
    [[modbus.device.point]]
    name = "voltage"
    register = "input:0"
    type = "f32"
    unit = "V"
    [[modbus.device.point]]
    name = "power"
    register = "input:12"
    type = "f32"
    unit = "W"
    [[modbus.device.point]]
    name = "energy"
    register = "input:72"
    type = "u32"
    scale = 0.01
    unit = "kWh"

[[modbus]]                             # an inverter on the network
name = "roof"
url = "tcp://{INVERTER}"
  [[modbus.device]]
  name = "inverter"
  unit = 1
  interval = "500ms"
    [[modbus.device.point]]
    name = "ac_power"
    register = "holding:100"
    type = "i32"
    unit = "W"
    [[modbus.device.point]]
    name = "temperature"
    register = "holding:110"
    type = "i16"
    scale = 0.1
    unit = "°C"
    [[modbus.device.point]]
    name = "limit"                     # try: mosquitto_pub -p {PORT} -t demo/inverter/limit/set -m 60
    register = "holding:200"
    type = "u16"
    unit = "%"
    access = "rw"

[[serial]]                             # a scale that talks by itself
name = "scale"
url = "serial://{SCALE}?baud=9600"
frame = { kind = "line" }
parse = { regexp = '^\s*(?P<weight>[-\d.]+)\s*kg' }
  [[serial.point]]
  name = "weight"
  unit = "kg"

[[bridge]]                             # a second broker plays the cloud
name = "cloud"
url = "mqtt://{CLOUD}"
  [[bridge.up]]
  filter = "demo/#"
  qos = 1
`

// freePort gives a port of this machine that nobody listens on.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// cloud is the broker that stands for the cloud's.
type cloud struct {
	store   *store.Store
	broker  *broker.Broker
	client  *broker.Client
	address string
}

func newCloud(dir string, log *slog.Logger) (*cloud, error) {
	var storeCfg store.Config
	storeCfg.SetDefaults()
	st, err := store.Open(dir, storeCfg, log)
	if err != nil {
		return nil, fmt.Errorf("open the cloud's store: %w", err)
	}
	cfg := broker.Config{Listener: []listen.Config{{URL: "mqtt://127.0.0.1:0"}}}
	cfg.SetDefaults()
	b, err := broker.New(cfg, st, log)
	if err == nil {
		err = b.Listen()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the cloud's broker: %w", err), st.Close())
	}
	return &cloud{store: st, broker: b, client: b.NewClient("counter"), address: b.Addresses()[0]}, nil
}

// drainTime is how long the end waits for the backlog to reach the cloud.
const drainTime = 15 * time.Second

// run runs everything and shows it until ctx ends or the screen says so; then it
// mends the uplink, stops the field and waits until the cloud has everything.
func (d *demo) run(ctx context.Context, s screen) error {
	d.started = time.Now()
	cloudDone := make(chan error, 1)
	cloudCtx, stopCloud := context.WithCancel(context.Background())
	go func() { cloudDone <- d.cloud.broker.Run(cloudCtx) }()
	gatewayDone := make(chan error, 1)
	gatewayCtx, stopGateway := context.WithCancel(context.Background())
	go func() { gatewayDone <- d.gateway.run(gatewayCtx) }()

	gatewayErr := d.show(ctx, s, gatewayDone)
	d.ledger.close() // what was published until now is to arrive
	s.say("Ending: what still waits goes to the cloud.")
	if d.cut {
		d.toggle(s)
	}
	d.drain(s)
	s.close()

	stopGateway()
	if gatewayErr == nil {
		gatewayErr = <-gatewayDone
	}
	stopCloud()
	return errors.Join(gatewayErr, <-cloudDone)
}

// refresh is how often the screen is drawn.
const refresh = 250 * time.Millisecond

// show draws the screen and obeys the keys. It returns the gateway's error if
// that ended by itself.
func (d *demo) show(ctx context.Context, s screen, gatewayDone <-chan error) error {
	tick := time.NewTicker(refresh)
	defer tick.Stop()
	for {
		s.draw(d.view())
		select {
		case <-ctx.Done():
			return nil
		case err := <-gatewayDone:
			return errors.Join(errors.New("the gateway ended: see the log"), err)
		case key := <-s.keys():
			switch key {
			case 'c', 'C':
				d.toggle(s)
			case 'q', 'Q', 3: // 3 is Ctrl-C, which a raw terminal does not turn into a signal
				return nil
			}
		case <-tick.C:
		}
	}
}

// toggle cuts the uplink, or mends it.
func (d *demo) toggle(s screen) {
	if !d.cut {
		d.link.Cut()
		d.cut = true
		s.say("The uplink is cut: the backlog grows, the field goes on.")
		return
	}
	if err := d.link.Mend(); err != nil {
		s.say("The uplink cannot be mended: " + err.Error())
		return
	}
	d.cut = false
	for _, b := range d.gateway.bridges() {
		b.Retry()
	}
	s.say("The uplink is mended: the backlog drains.")
}

// drain waits until everything that was published has arrived, or drainTime.
func (d *demo) drain(s screen) {
	tick := time.NewTicker(refresh)
	defer tick.Stop()
	for end := time.Now().Add(drainTime); d.ledger.tally().open > 0 && time.Now().Before(end); <-tick.C {
		s.draw(d.view())
	}
	s.draw(d.view())
}

// verdict is the last line.
func (d *demo) verdict() string {
	t := d.ledger.tally()
	word := "Nothing was lost"
	if n := t.lost + t.open; n > 0 {
		word = fmt.Sprintf("%d LOST", n)
	}
	return fmt.Sprintf("%s: %d published, %d arrived in the cloud, %d of them twice.", word, t.sent, t.arrived, t.repeated)
}

// close lets go of what build has opened; parts may be nil.
func (d *demo) close() error {
	var errs []error
	if d.link != nil {
		errs = append(errs, d.link.Close())
	}
	if d.field != nil {
		errs = append(errs, d.field.close())
	}
	if d.cloud != nil {
		errs = append(errs, d.cloud.store.Close())
	}
	if d.logFile != nil {
		errs = append(errs, d.logFile.Close())
	}
	return errors.Join(errs...)
}
