package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"headgate/broker/packet"
	"headgate/broker/topic"
	"headgate/cmd/headgate/mqttc"
)

// subCmd prints what is published.
type subCmd struct {
	Args []string `arg:"" optional:"" name:"flags" help:"Those of mosquitto_sub; see headgate sub --help."`
}

// Run prints messages until a signal, or what the flags say.
func (c *subCmd) Run(k *kong.Kong) error {
	ctx, stop := untilSignal()
	defer stop()
	return runSub(ctx, c.Args, streams{os.Stdin, k.Stdout, k.Stderr})
}

const subHelp = `
The format of -F: %t topic, %p payload, %x %X payload in hexadecimal, %l its length, %q QoS, %r retained,
%m packet identifier, %j %J JSON (payload as text, as JSON), %I time, %U Unix time; of MQTT 5: %A topic alias,
%C content type, %D correlation data, %E expiry, %F payload format, %P user properties, %R response topic,
%S subscription identifier. %20t, %-20t and %.20t set the width. @Y @m @d @H @M @S ... as strftime, @N
nanoseconds; \n \t \r \e \a \v \0 as in C. %% @@ \\ are the characters themselves.

Exit status: 0, also after a signal; 27 after -W; the reason code when the broker refuses the connection or
all subscriptions; 1 for anything else. A connection that is lost is made again every second.

  headgate sub -t 'plant/#' -v
  headgate sub -h broker.example.com -u me -P secret -t plant/boiler/temperature -C 1 -W 10
`

func runSub(ctx context.Context, args []string, s streams) error {
	o, err := parseMQTTFlags("sub", args)
	if errors.Is(err, errHelp) {
		printMQTTHelp(s.out, "sub", "sub [-h HOST] [-p PORT] -t FILTER [-t FILTER ...] [flags]", subHelp)
		return nil
	}
	if err != nil {
		return usageError("sub", err)
	}
	cfg, err := o.clientConfig()
	if err != nil {
		return usageError("sub", err)
	}
	sub := &subSession{o: o, screen: newScreenWriter(s, o.quiet)}
	cfg.Message, cfg.Settle, cfg.Suback, cfg.Unsuback = sub.message, sub.settle, sub.subscribed, sub.unsubscribed
	if o.debug {
		cfg.Trace = sub.screen.debug
	}
	sub.client = mqttc.New(cfg)
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.timeout, errTimedOut)
		defer cancel()
	}
	return sub.screen.end(sub.run(ctx))
}

// subSession is a running sub. Its fields belong to the client's goroutine.
type subSession struct {
	o      *mqttOptions
	screen *screenWriter
	client *mqttc.Client

	line      []byte
	printed   int
	done      bool // what the flags ask for is done
	denied    int  // the exit status when all subscriptions were
	unanswers int  // UNSUBACKs that are to come
}

// reconnectPause is mosquitto_sub's.
const reconnectPause = time.Second

// run connects, and again when the connection is lost, until all is done.
func (s *subSession) run(ctx context.Context) (status int, err error) {
	said := ""
	for first := true; ; first = false {
		_, err := connect(ctx, s.client)
		if ctx.Err() != nil {
			return s.interrupted(ctx)
		}
		if err == nil {
			said = ""
			if err = s.serve(ctx); err == nil {
				break
			}
		} else if first || isRefusal(err, packet.CONNACK) {
			return statusOf(err), explain(err, s.o)
		}
		var unwritten *mqttc.SettleError
		var no *mqttc.Refusal
		switch {
		case errors.As(err, &unwritten):
			return exitFailed, nil // the screen says why
		case errors.As(err, &no) && no.Reason == packet.SessionTakenOver:
			return statusOf(err), fmt.Errorf("%w: another client has the same client identifier", err)
		}
		if text := err.Error(); text != said {
			s.screen.warn("headgate: %s: connecting again every second", text)
			said = text
		}
		if !pauseFor(ctx, reconnectPause) {
			return s.interrupted(ctx)
		}
	}
	if ctx.Err() != nil && !s.done {
		return s.interrupted(ctx)
	}
	return s.denied, nil
}

func isRefusal(err error, t packet.Type) bool {
	var no *mqttc.Refusal
	return errors.As(err, &no) && no.Packet == t
}

// interrupted is the end by -W, or by a signal: that is how one ends it.
func (s *subSession) interrupted(ctx context.Context) (int, error) {
	if errors.Is(context.Cause(ctx), errTimedOut) {
		return exitTimedOut, errTimedOut
	}
	return 0, nil
}

func pauseFor(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// serve subscribes and prints, until the connection ends. When ctx does it says
// goodbye.
func (s *subSession) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, s.client.Finish)
	defer stop()
	if err := s.subscribe(); err != nil {
		return err
	}
	return s.client.Serve(context.Background())
}

func (s *subSession) subscribe() error {
	var subs []packet.Subscription
	for _, t := range s.o.topics {
		sub := packet.Subscription{Filter: []byte(t), QoS: s.o.qos}
		if s.o.version == packet.V5 {
			sub.RetainAsPublished = s.o.retainAsPublished
			if s.o.noRetained && !s.o.removeRetained {
				sub.RetainHandling = 2 // they would not be printed
			}
		}
		subs = append(subs, sub)
	}
	if len(subs) > 0 {
		if err := s.client.Subscribe(subs, s.o.propertiesOf(packet.SUBSCRIBE)); err != nil {
			return err
		}
	}
	s.unanswers = len(s.o.unsubscribe)
	for _, filter := range s.o.unsubscribe {
		if err := s.client.Unsubscribe(filter, s.o.propertiesOf(packet.UNSUBSCRIBE)); err != nil {
			return err
		}
	}
	return nil
}

// subscribed hears what became of the subscriptions.
func (s *subSession) subscribed(ack *packet.Suback) {
	words := make([]string, len(ack.Reasons))
	denied := 0
	for i, r := range ack.Reasons {
		words[i] = fmt.Sprint(int(r))
		if r.Failed() {
			denied++
			name := ""
			if i < len(s.o.topics) {
				name = s.o.topics[i]
			}
			reason := r.String()
			if s.o.version != packet.V5 {
				reason = "refused"
			}
			s.screen.warn("headgate: subscribe to %s: %s", name, reason)
		}
	}
	if s.o.debug && !s.o.quiet {
		s.screen.debug(fmt.Sprintf("Subscribed (mid: %d): %s", ack.PacketID, strings.Join(words, ", ")))
	}
	switch {
	case denied == len(ack.Reasons):
		s.denied = int(ack.Reasons[0])
		s.finish()
	case s.o.exitAfterSub:
		s.finish()
	}
}

// unsubscribed ends an -E that has nothing to subscribe to.
func (s *subSession) unsubscribed(*packet.Unsuback) {
	s.unanswers--
	if s.o.exitAfterSub && len(s.o.topics) == 0 && s.unanswers == 0 {
		s.finish()
	}
}

func (s *subSession) finish() {
	s.done = true
	s.client.Finish()
}

// message prints one, if the flags want it.
func (s *subSession) message(m *packet.Publish) {
	o := s.o
	if o.retainedOnly && !m.Retain {
		s.finish()
		return
	}
	for _, f := range o.filterOut {
		if topic.Match(f, string(m.Topic)) {
			return
		}
	}
	if o.removeRetained && m.Retain {
		clear := packet.Publish{Topic: m.Topic, Retain: true}
		if err := s.client.Answer(&clear); err != nil {
			s.screen.warn("headgate: clear %s: %v", m.Topic, err)
		}
	}
	if o.noRetained && m.Retain {
		return
	}
	if o.percent < 100 && rand.Float64()*100 >= o.percent {
		return
	}
	s.print(m)
	if s.printed++; o.count > 0 && s.printed == o.count {
		s.finish()
	}
}

// print prints one as mosquitto_sub does: an empty payload is no line, with -v
// "(null)".
func (s *subSession) print(m *packet.Publish) {
	b := s.line[:0]
	var err error
	switch {
	case s.o.format != nil:
		if b, err = s.o.format.append(b, m, time.Now(), s.o.pretty); err != nil {
			s.screen.warn("headgate: message on %s: %v", m.Topic, err)
			b = b[:0]
		}
	case s.o.verbose && len(m.Payload) == 0:
		if s.o.noNewline {
			return
		}
		b = append(append(b, m.Topic...), " (null)"...)
	case s.o.verbose:
		b = append(append(append(b, m.Topic...), ' '), m.Payload...)
	case len(m.Payload) == 0:
		return
	default:
		b = append(b, m.Payload...)
	}
	if !s.o.noNewline {
		b = append(b, '\n')
	}
	s.screen.write(b)
	if s.line = b; cap(b) > 1<<20 {
		s.line = nil // a large one is past
	}
}

func (s *subSession) settle() error { return s.screen.flush() }
