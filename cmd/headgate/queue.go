package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"headgate/broker"
	"headgate/broker/store"
)

// queueCmd looks into what waits for sessions and bridges.
type queueCmd struct {
	List   queueListCmd   `cmd:"" help:"List the queues: what waits, for how long, the limits, what was dropped."`
	Show   queueShowCmd   `cmd:"" help:"Show the first messages of a queue."`
	Export queueExportCmd `cmd:"" help:"Print all messages of a queue, a JSON object in each line. The queue keeps them."`
	Purge  queuePurgeCmd  `cmd:"" help:"Drop all messages of a queue."`
}

// queueFlags are what all of them take.
type queueFlags struct {
	Config  string `placeholder:"FILE" default:"${default_config}" help:"The configuration file; by default ${default_config}."`
	Recover bool   `help:"Where no gateway runs and the last one was killed: recover the store now, as the next start would."`
}

// queueName is the queue that is meant.
type queueName struct {
	Name string `arg:"" help:"Its name, as list has it; a $$ at its begin may be left out."`
}

type queueListCmd struct {
	queueFlags
	JSON bool `name:"json" help:"As JSON: sizes in bytes, times in milliseconds."`
}

// Run prints a line for each queue.
func (c *queueListCmd) Run(k *kong.Kong) error {
	q, err := c.open(false)
	if err != nil {
		return err
	}
	list, err := q.list()
	if err = errors.Join(err, q.close()); err != nil {
		return fmt.Errorf("list the queues: %w", err)
	}
	if c.JSON {
		e := json.NewEncoder(k.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(k.Stdout, "There is no queue: no session that outlives its connection, and no bridge.")
		return nil
	}
	w := tabwriter.NewWriter(k.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "QUEUE\tKIND\tMESSAGES\tSIZE\tOLDEST\tLIMITS\tDROPPED")
	for _, i := range list {
		oldest := "-"
		if i.OldestMS > 0 {
			oldest = lasting(time.Duration(i.OldestMS) * time.Millisecond)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", printableName(i.Name), i.Kind, i.Messages, size(i.Bytes), oldest, sayLimits(i.Limits), sayDrops(&i))
	}
	return w.Flush()
}

// printableName gives a name as it is, unless that would disturb a terminal.
func printableName(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == utf8.RuneError }) {
		return fmt.Sprintf("%q", name)
	}
	return name
}

func sayLimits(l broker.QueueLimits) string {
	var said []string
	if l.MaxBytes != store.Unlimited {
		said = append(said, size(int64(l.MaxBytes)))
	}
	if l.MaxMessages != broker.Unlimited {
		said = append(said, fmt.Sprintf("%d messages", l.MaxMessages))
	}
	if len(said) > 0 {
		said = append(said, string(l.AtLimit))
	}
	if l.MaxWait != broker.UnlimitedWait {
		said = append(said, "at most "+lasting(time.Duration(l.MaxWait)))
	}
	if len(said) == 0 {
		return "unlimited"
	}
	return strings.Join(said, ", ")
}

func sayDrops(i *broker.QueueInfo) string {
	var said []string
	for _, d := range []struct {
		n    uint64
		what string
	}{{i.Dropped.Oldest, "oldest"}, {i.Dropped.Newest, "newest"}, {i.Dropped.Aged, "too old"}, {i.Dropped.Purged, "purged"}, {uint64(i.Refused), "refused"}} {
		if d.n > 0 {
			said = append(said, fmt.Sprintf("%d %s", d.n, d.what))
		}
	}
	if len(said) == 0 {
		return "-"
	}
	return strings.Join(said, ", ")
}

type queueShowCmd struct {
	queueFlags
	queueName
	N int `short:"n" default:"10" help:"How many messages; 10 by default."`
}

// Validate is called by the parser.
func (c *queueShowCmd) Validate() error {
	if c.N < 1 {
		return fmt.Errorf("-n %d: want 1 or more", c.N)
	}
	return nil
}

// Run prints a line for each message.
func (c *queueShowCmd) Run(k *kong.Kong) error {
	q, err := c.open(false)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(k.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TIME\tQOS\tSIZE\tTOPIC\tPAYLOAD")
	lines := &lineWriter{each: func(line []byte) error { return showMessage(w, line) }}
	err = q.export(lines, c.Name, c.N)
	if err = errors.Join(err, q.close()); err != nil {
		return fmt.Errorf("show queue %s: %w", c.Name, err)
	}
	return w.Flush()
}

// showMessage prints an exported message in a line.
func showMessage(w io.Writer, line []byte) error {
	var m struct {
		Topic   string
		Payload string
		Base64  []byte `json:"payload_base64"`
		QoS     byte
		Retain  bool
		Time    time.Time
	}
	if err := json.Unmarshal(line, &m); err != nil {
		return err
	}
	payload := []byte(m.Payload)
	if m.Base64 != nil {
		payload = m.Base64
	}
	flags := ""
	if m.Retain {
		flags = "r"
	}
	_, err := fmt.Fprintf(w, "%s\t%d%s\t%d\t%s\t%s\n", m.Time.Local().Format(time.DateTime), m.QoS, flags, len(payload), printableName(m.Topic), beginOf(payload))
	return err
}

// beginOf gives the begin of a payload, on one line of a terminal.
func beginOf(payload []byte) string {
	const most = 60
	b, more := payload, ""
	if len(b) > most {
		b, more = b[:most], "..."
	}
	text := strings.ToValidUTF8(string(b), "\uFFFD")
	if len(more) > 0 {
		text = strings.TrimRight(text, "\uFFFD")
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError }) {
		return fmt.Sprintf("%q%s", b, more)
	}
	return text + more
}

type queueExportCmd struct {
	queueFlags
	queueName
}

// Run prints the messages as JSON.
func (c *queueExportCmd) Run(k *kong.Kong) error {
	q, err := c.open(false)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(k.Stdout)
	err = errors.Join(q.export(out, c.Name, 0), out.Flush(), q.close())
	if err != nil {
		return fmt.Errorf("export queue %s: %w", c.Name, err)
	}
	return nil
}

type queuePurgeCmd struct {
	queueFlags
	queueName
	Yes bool `short:"y" help:"Do not ask."`
}

// Run asks, and drops the messages.
func (c *queuePurgeCmd) Run(k *kong.Kong) (err error) {
	q, err := c.open(true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.close()) }()
	list, err := q.list()
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(list, func(i broker.QueueInfo) bool { return i.Name == c.Name || i.Name == "$"+c.Name }); i >= 0 && !c.Yes {
		if !confirmed(os.Stdin, k.Stderr, fmt.Sprintf("%d messages (%s) of the %s %s are lost then. Purge it?",
			list[i].Messages, size(list[i].Bytes), list[i].Kind, printableName(list[i].Name))) {
			return errors.New("nothing was purged: answer yes, or say --yes")
		}
	}
	n, err := q.purge(c.Name)
	if err != nil {
		return fmt.Errorf("purge queue %s: %w", c.Name, err)
	}
	fmt.Fprintf(k.Stdout, "%d messages purged.\n", n)
	return nil
}

// confirmed asks a question that only a yes answers.
func confirmed(in io.Reader, ask io.Writer, question string) bool {
	fmt.Fprintf(ask, "%s [y/N] ", question)
	answer, _ := bufio.NewReader(in).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// lineWriter gives each whole line that is written to it.
type lineWriter struct {
	each func(line []byte) error
	rest []byte
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.rest = append(w.rest, b...)
	for {
		i := slices.Index(w.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		if err := w.each(w.rest[:i]); err != nil {
			return 0, err
		}
		w.rest = w.rest[i+1:]
	}
}
