package web

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Log is a slog.Handler that hands each line on and keeps the newest, up to
// maxLog bytes; past that the oldest goes.
type Log struct {
	next   slog.Handler
	kept   *keptLines
	prefix string // the groups that are open, with their dots
	attrs  string // of With, as text
}

// Line is one line of the log. Number counts them from 1.
type Line struct {
	Number uint64    `json:"number"`
	Time   time.Time `json:"time"`
	Level  string    `json:"level"`
	Text   string    `json:"text"`
	Facts  string    `json:"facts"` // key=value, separated by spaces
}

type keptLines struct {
	mu    sync.Mutex // guards what follows
	lines []Line
	bytes int
	last  uint64
}

const (
	maxLog       = 256 << 10
	lineOverhead = 96
)

// NewLog keeps what goes to next.
func NewLog(next slog.Handler) *Log { return &Log{next: next, kept: &keptLines{}} }

// Enabled says whether next wants lines of a level.
func (l *Log) Enabled(ctx context.Context, level slog.Level) bool { return l.next.Enabled(ctx, level) }

// WithAttrs makes a handler whose lines have these facts too.
func (l *Log) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *l
	c.next = l.next.WithAttrs(attrs)
	var b strings.Builder
	b.WriteString(l.attrs)
	for _, a := range attrs {
		appendFact(&b, l.prefix, a)
	}
	c.attrs = b.String()
	return &c
}

// WithGroup makes a handler whose lines have name before the keys of their facts.
func (l *Log) WithGroup(name string) slog.Handler {
	c := *l
	c.next = l.next.WithGroup(name)
	c.prefix = l.prefix + name + "."
	return &c
}

// Handle keeps one line.
func (l *Log) Handle(ctx context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(l.attrs)
	r.Attrs(func(a slog.Attr) bool {
		appendFact(&b, l.prefix, a)
		return true
	})
	l.kept.add(Line{Time: r.Time.UTC(), Level: strings.ToLower(r.Level.String()), Text: r.Message, Facts: strings.TrimSpace(b.String())})
	return l.next.Handle(ctx, r)
}

func appendFact(b *strings.Builder, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		for _, inner := range v.Group() {
			appendFact(b, prefix+a.Key+".", inner)
		}
		return
	}
	text := v.String()
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '"' || r == '=' || !strconv.IsPrint(r) }) {
		text = strconv.Quote(text)
	}
	b.WriteString(" " + prefix + a.Key + "=" + text)
}

func (l *Line) bytes() int { return len(l.Text) + len(l.Facts) + lineOverhead }

func (k *keptLines) add(l Line) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last++
	l.Number = k.last
	k.lines = append(k.lines, l)
	k.bytes += l.bytes()
	gone := 0
	for ; k.bytes > maxLog && gone < len(k.lines)-1; gone++ {
		k.bytes -= k.lines[gone].bytes()
		k.lines[gone] = Line{}
	}
	k.lines = k.lines[gone:]
}

// After gives what is kept of the lines after the one of that number, oldest first,
// and the number of the newest.
func (l *Log) After(number uint64) (lines []Line, last uint64) {
	k := l.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	lines = []Line{}
	if n := k.last - min(number, k.last); n > 0 {
		lines = append(lines, k.lines[len(k.lines)-int(min(n, uint64(len(k.lines)))):]...)
	}
	return lines, k.last
}
