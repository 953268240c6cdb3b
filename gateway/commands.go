package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"headgate/broker/topic"
	"headgate/gateway/point"
)

// outcomeNames are what a command can come to, as its result says it: see
// point.Outcome.
var outcomeNames = [...]string{outcomeOK, outcomeRefused, "exception", outcomeTimeout, "offline", outcomeError}

const (
	outcomeOK      = "ok"
	outcomeRefused = "refused"
	outcomeTimeout = "timeout"
	outcomeError   = "error"
)

// A command that finds maxQueued of its adapter before it, or that would make
// them weigh more, is refused: whoever sends faster than the field can do is
// told so at once. The intake holds what comes while others are refused; what
// it has no room for gets no result.
const (
	maxQueued      = 64
	maxQueuedBytes = 256 << 10
	maxIntake      = 1024
	maxIntakeBytes = 1 << 20
)

// command is one command on its way to its adapter.
type command struct {
	message Message
	arrived time.Time
	target  *target
	request request
	expires time.Time // not carried out after that
}

// bytes is what the command costs while it waits.
func (c *command) bytes() int {
	return len(c.message.Topic) + len(c.message.Payload) + len(c.message.ResponseTopic) + len(c.message.CorrelationData)
}

// mostAge is how old it may become.
func (c *command) mostAge(maxAge time.Duration) time.Duration {
	most := c.request.mostAge(maxAge)
	if e := c.message.Expiry; e > 0 {
		most = min(most, e)
	}
	return most
}

// handle takes one message to a set topic. The publisher calls it, in the
// middle of its own work: everything that could block, or publish, is done by
// sort.
func (g *Gateway) handle(m Message) {
	if m.Retain {
		g.ignore(m)
		return
	}
	now := time.Now()
	if err := g.intake.put(command{message: m, arrived: now}); err != nil {
		g.flooded.Add(1)
		if err != errStopping && g.flooding.begin(now) {
			g.log.Warn("commands come too fast to be answered, and are dropped", "topic", m.Topic, "err", err)
		}
		return
	}
	if n, over := g.flooding.over(time.Now); over {
		g.log.Info("commands come slowly enough again", "count", n)
	}
}

// sort sends a command to its adapter, or refuses it. It runs on the goroutine
// of the intake.
func (g *Gateway) sort(_ context.Context, c *command) {
	c.target = g.field.Load().targets[c.message.Topic]
	req, err := parseFor(c.target, c.message.Payload)
	c.request = req
	switch {
	case c.target == nil:
		err = g.unknown(c.message.Topic)
	case !c.target.point.info.Writable:
		err = fmt.Errorf("point %q of device %q cannot be written", c.target.point.info.Name, c.target.device.name)
	case err == nil:
		var left time.Duration
		if left, err = req.remaining(c.arrived, c.message.Queued, g.cfg.MaxAge); err == nil {
			if e := c.message.Expiry; e > 0 {
				left = min(left, e)
			}
			c.expires = c.arrived.Add(left)
			err = c.target.device.runner.commands.put(*c)
		}
	}
	if err != nil {
		g.refuse(c, err)
	}
}

// ignore drops a retained command: it would be carried out again at every start.
func (g *Gateway) ignore(m Message) {
	if len(m.Payload) == 0 {
		return
	}
	g.ignored.Add(1)
	t := g.field.Load().targets[m.Topic]
	if t == nil || !t.warned.CompareAndSwap(false, true) {
		g.log.Debug("a retained command is ignored", "topic", m.Topic)
		return
	}
	g.log.Warn("a retained command is ignored; an empty retained message to its topic removes it", "topic", m.Topic)
}

func (g *Gateway) unknown(set string) error {
	device, name := g.topics.names(set)
	switch {
	case g.field.Load().devices[device] == nil:
		return fmt.Errorf("there is no device %.80q", device)
	case name == "":
		return fmt.Errorf("device %q takes no bytes as they are: a point is set at %s", device, g.topics.set(device, "POINT"))
	}
	return fmt.Errorf("device %q has no point %.80q", device, name)
}

// refuse answers a command that nothing was sent for.
func (g *Gateway) refuse(c *command, reason error) {
	if skipped, ok := g.refusing.line(time.Now()); ok {
		g.log.Info("a command is refused", "topic", c.message.Topic, "reason", reason, "count", skipped+1)
	}
	g.answer(c, outcomeRefused, point.Value{}, reason.Error())
}

// refuseUnread is refuse for a command that sort has not seen.
func (g *Gateway) refuseUnread(c *command, reason error) {
	c.request, _ = parseFor(g.field.Load().targets[c.message.Topic], c.message.Payload) // for its id
	g.refuse(c, reason)
}

// execute carries out one command and answers it. It runs on the goroutine
// of the adapter's queue.
func (g *Gateway) execute(ctx context.Context, c *command) {
	if time.Now().After(c.expires) {
		g.refuse(c, fmt.Errorf("it waited for its turn until it was older than %v", c.mostAge(g.cfg.MaxAge)))
		return
	}
	d, p := c.target.device, c.target.point
	began := time.Now()
	// An adapter may keep it waiting for its device, but not for longer than it is worth.
	deadline := began.Add(g.cfg.CommandTimeout)
	if c.expires.Before(deadline) {
		deadline = c.expires
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	v, err := d.runner.write(ctx, point.Command{Device: d.name, Point: p.info.Name, Value: c.request.value})
	outcome := point.Outcome(err)
	if outcome == outcomeError && errors.Is(err, context.DeadlineExceeded) {
		outcome = outcomeTimeout
	}
	if err != nil {
		g.log.Info("a command came to nothing", "device", d.name, "point", p.info.Name, "took", time.Since(began), "reason", outcome, "err", err)
		g.answer(c, outcome, point.Value{}, err.Error())
		return
	}
	g.log.Info("a command was carried out", "device", d.name, "point", p.info.Name, "took", time.Since(began))
	if v.Kind() != point.None {
		d.readBack(p, v)
	}
	g.answer(c, outcomeOK, v, "")
}

// answer publishes the result of a command, to its result topic and to the
// response topic that it names.
func (g *Gateway) answer(c *command, outcome string, v point.Value, reason string) {
	for i, name := range outcomeNames {
		if name == outcome {
			g.outcomes[i].Add(1)
		}
	}
	result := Message{
		Topic:   resultTopic(c.message.Topic),
		Payload: appendResult(nil, outcome, v, reason, c.request.id, time.Now()),
		QoS:     1,
	}
	response := c.message.ResponseTopic
	if response == result.Topic {
		result.CorrelationData = c.message.CorrelationData
		response = ""
	}
	// A set topic of the greatest length leaves no room for the result's.
	if topic.CheckName(result.Topic) == nil {
		g.publish(result)
	}
	if response == "" {
		return
	}
	if err := g.checkResponse(response); err != nil {
		g.log.Debug("a command's response topic is not used", "topic", response, "reason", err)
		return
	}
	result.Topic, result.CorrelationData = response, c.message.CorrelationData
	g.publish(result)
}

// checkResponse keeps a command from having its result published where it would
// be taken for something else: for another command, or for a device's value.
func (g *Gateway) checkResponse(name string) error {
	if err := topic.CheckName(name); err != nil {
		return err
	}
	if name[0] == '$' {
		return errors.New("it begins with $")
	}
	if g.topics.own(name) {
		return errors.New("it is a topic of the gateway's own")
	}
	return nil
}
