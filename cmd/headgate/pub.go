package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/alecthomas/kong"

	"headgate/broker/packet"
	"headgate/cmd/headgate/mqttc"
)

// pubCmd publishes.
type pubCmd struct {
	Args []string `arg:"" optional:"" name:"flags" help:"Those of mosquitto_pub; see headgate pub --help."`
}

// Run publishes what the flags say, and ends when the broker has it.
func (c *pubCmd) Run(k *kong.Kong) error {
	ctx, stop := untilSignal()
	defer stop()
	return runPub(ctx, c.Args, streams{os.Stdin, k.Stdout, k.Stderr})
}

const pubHelp = `
With -q 1 or 2 it ends when the broker has acknowledged everything. With -l it connects again when the
connection is lost, and publishes again what was not acknowledged.

Exit status: 0; the reason code when the broker refuses the connection or a message; 7 when the connection is
lost; 24 and 25 when the broker does not take this QoS, or a packet of this size; 1 for anything else.

  headgate pub -t plant/boiler/limit/set -m 60 -q 1
  tail -f log | headgate pub -h broker.example.com -t logs/plant -l -q 1
`

func runPub(ctx context.Context, args []string, s streams) error {
	o, err := parseMQTTFlags("pub", args)
	if errors.Is(err, errHelp) {
		printMQTTHelp(s.out, "pub", "pub [-h HOST] [-p PORT] -t TOPIC (-m TEXT | -f FILE | -l | -s | -n) [flags]", pubHelp)
		return nil
	}
	if err != nil {
		return usageError("pub", err)
	}
	cfg, err := o.clientConfig()
	if err != nil {
		return usageError("pub", err)
	}
	p := &pubSession{o: o, in: s.in, screen: newScreenWriter(s, o.quiet)}
	cfg.Refused, cfg.Warn = p.refused, p.warn
	if o.debug {
		cfg.Trace = p.screen.debug
	}
	p.client = mqttc.New(cfg)
	return p.screen.end(p.run(ctx))
}

// pubSession is a running pub.
type pubSession struct {
	o      *mqttOptions
	in     io.Reader
	screen *screenWriter
	client *mqttc.Client

	mu     sync.Mutex // guards what follows
	status int        // the reason code of the last message that was refused
	warned string     // the last warning
}

// errDone is why work ends when all is done.
var errDone = errors.New("disconnected")

// run connects, publishes, waits for the acknowledgements and disconnects.
func (p *pubSession) run(ctx context.Context) (status int, err error) {
	payload, err := p.payload()
	if err != nil {
		return exitFailed, err
	}
	if _, err := connect(ctx, p.client); err != nil {
		if ctx.Err() != nil {
			return exitInterrupted, nil
		}
		return p.statusOf(err), explain(err, p.o)
	}
	// The work ends with ctx, or when there is no connection any more.
	work, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	serving, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { giveUp(p.serve(serving)) })
	if p.o.from == fromLines {
		err = p.publishLines(work)
	} else {
		err = p.publishRepeatedly(work, payload)
	}
	var unsent *mqttc.NotSent
	if err == nil || errors.As(err, &unsent) {
		err = errors.Join(err, p.client.Flush(work))
	}
	p.client.Disconnect()
	stop()
	wg.Wait()
	if err != nil && ctx.Err() != nil {
		return exitInterrupted, nil
	}
	if err != nil {
		return p.statusOf(err), explain(err, p.o)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status, nil
}

func (p *pubSession) statusOf(err error) int {
	var unsent *mqttc.NotSent
	if errors.As(err, &unsent) {
		switch unsent.Reason {
		case packet.QoSNotSupported:
			return exitQoS
		case packet.PacketTooLarge:
			return exitTooLarge
		}
		return exitFailed
	}
	return statusOf(err)
}

// serve runs the connection, and for lines the next when it is lost. It ends when
// ctx has and the client has disconnected.
func (p *pubSession) serve(ctx context.Context) error {
	for {
		err := p.client.Serve(context.Background())
		var no *mqttc.Refusal
		switch {
		case err == nil:
			return errDone
		case p.o.from != fromLines, errors.As(err, &no) && no.Reason == packet.SessionTakenOver:
			return err
		}
		for said := ""; err != nil; {
			if text := err.Error(); text != said {
				p.screen.warn("headgate: %s: connecting again every second", text)
				said = text
			}
			if !pauseFor(ctx, reconnectPause) {
				return err
			}
			if _, err = connect(ctx, p.client); isRefusal(err, packet.CONNACK) {
				return err
			}
		}
	}
}

// refused hears of a message that the broker does not take.
func (p *pubSession) refused(id uint16, topic string, no *mqttc.Refusal) {
	p.screen.warn("headgate: publish %d to %s: %s", id, topic, no.Words())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = int(no.Reason)
}

// warn says the same thing once.
func (p *pubSession) warn(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.warned != text {
		p.screen.warn("headgate: %s", text)
		p.warned = text
	}
}

// publish publishes one message; payload is used until it is acknowledged.
func (p *pubSession) publish(ctx context.Context, payload []byte) error {
	m := packet.Publish{
		QoS: p.o.qos, Retain: p.o.retain, Topic: []byte(p.o.topics[len(p.o.topics)-1]), Payload: payload,
		Properties: p.o.propertiesOf(packet.PUBLISH),
	}
	_, err := p.client.Publish(ctx, &m)
	return err
}

// publishRepeatedly publishes one message --repeat times, each when the one
// before is acknowledged.
func (p *pubSession) publishRepeatedly(ctx context.Context, payload []byte) error {
	for i := range p.o.repeat {
		if i > 0 && p.o.repeatDelay > 0 && !pauseFor(ctx, p.o.repeatDelay) {
			return context.Cause(ctx)
		}
		if err := p.publish(ctx, payload); err != nil {
			return err
		}
		if err := p.client.Flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// payload gives the message, when it is only one.
func (p *pubSession) payload() ([]byte, error) {
	switch p.o.from {
	case fromText:
		return []byte(p.o.text), nil
	case fromStdin:
		return readPayload(p.in, "the standard input")
	case fromFile:
		f, err := os.Open(p.o.file)
		if err != nil {
			return nil, fmt.Errorf("-f: %w", err)
		}
		defer f.Close()
		return readPayload(f, p.o.file)
	}
	return nil, nil
}

func readPayload(r io.Reader, name string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, packet.MaxRemaining+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", name, err)
	case len(b) == 0:
		return nil, fmt.Errorf("%s is empty: an empty message is sent with -n", name)
	case len(b) > packet.MaxRemaining:
		return nil, fmt.Errorf("%s has more than the %d bytes of an MQTT packet", name, packet.MaxRemaining)
	}
	return b, nil
}

// publishLines publishes the lines of the standard input. Publish waits while
// too much is on its way, and the input with it.
func (p *pubSession) publishLines(ctx context.Context) error {
	type line struct {
		text []byte
		err  error
	}
	lines := make(chan line)
	// Nothing ends a read of the standard input: when ctx ends first, this one
	// ends with the process.
	go func() {
		defer close(lines)
		r := bufio.NewReaderSize(p.in, 64<<10)
		for n := 1; ; n++ {
			text, err := readLine(r)
			if err == io.EOF {
				return
			}
			if err != nil {
				err = fmt.Errorf("line %d of the standard input: %w", n, err)
			}
			select {
			case lines <- line{text, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		select {
		case l, more := <-lines:
			if !more {
				return nil
			}
			if l.err != nil {
				return l.err
			}
			if err := p.publish(ctx, l.text); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// readLine reads a line without its end, which the last one may lack.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > packet.MaxRemaining:
			return nil, fmt.Errorf("longer than the %d bytes of an MQTT packet", packet.MaxRemaining)
		case err == nil:
			return line[:len(line)-1], nil
		case err == io.EOF && len(line) > 0:
			return line, nil
		case err != bufio.ErrBufferFull:
			return nil, err
		}
	}
}
