package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
)

// journalSocket is where journald takes what has fields. [systemd's Native Journal Protocol]
const journalSocket = "/run/systemd/journal/socket"

// maxJournalBytes of one entry: a datagram must take it.
const maxJournalBytes = 64 << 10

// newLog gives the log of a gateway that runs: to the journal with its facts as
// fields, where the standard error goes there, else as text to the standard error.
func newLog(level slog.Level, getenv func(string) string) *slog.Logger {
	if goesToJournal(os.Stderr, getenv("JOURNAL_STREAM")) {
		if h, err := newJournal(journalSocket, level); err == nil {
			return slog.New(h)
		}
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// goesToJournal says whether f is the stream that JOURNAL_STREAM means: device and
// inode, as one who has redirected it would not have them.
func goesToJournal(f *os.File, stream string) bool {
	info, err := f.Stat()
	if stream == "" || err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && stream == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// journal is a slog.Handler that writes to journald: the message and its facts as
// a line to read, each fact also as a field to look for, HEADGATE_DEVICE=meter1.
type journal struct {
	level slog.Level
	attrs []slog.Attr
	group string

	out *journalConn
}

// journalConn is the socket, which the handlers made by With share.
type journalConn struct {
	mu   sync.Mutex // guards conn
	conn *net.UnixConn
}

func newJournal(socket string, level slog.Level) (*journal, error) {
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	return &journal{level: level, out: &journalConn{conn: c}}, nil
}

// Enabled says whether this level is logged.
func (j *journal) Enabled(_ context.Context, level slog.Level) bool { return level >= j.level }

// WithAttrs adds facts to all that the new handler logs.
func (j *journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *j
	with.attrs = append(j.attrs[:len(j.attrs):len(j.attrs)], j.named(attrs)...)
	return &with
}

// WithGroup puts a name before the facts that follow.
func (j *journal) WithGroup(name string) slog.Handler {
	with := *j
	with.group += name + "."
	return &with
}

func (j *journal) named(attrs []slog.Attr) []slog.Attr {
	all := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		all[i] = slog.Attr{Key: j.group + a.Key, Value: a.Value.Resolve()}
	}
	return all
}

// Handle writes one entry. An entry that is too long loses its fields' ends.
func (j *journal) Handle(_ context.Context, r slog.Record) error {
	attrs := j.attrs[:len(j.attrs):len(j.attrs)]
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, j.named([]slog.Attr{a})...)
		return true
	})
	line := strings.Builder{}
	line.WriteString(r.Message)
	var fields bytes.Buffer
	journalField(&fields, "PRIORITY", priority(r.Level))
	journalField(&fields, "SYSLOG_IDENTIFIER", "headgate")
	for _, a := range attrs {
		value := a.Value.String()
		if strings.ContainsAny(value, " \"\n") || value == "" {
			fmt.Fprintf(&line, " %s=%q", a.Key, value)
		} else {
			fmt.Fprintf(&line, " %s=%s", a.Key, value)
		}
		if fields.Len()+len(value) < maxJournalBytes/2 {
			journalField(&fields, "HEADGATE_"+fieldName(a.Key), value)
		}
	}
	message := line.String()
	journalField(&fields, "MESSAGE", message[:min(len(message), maxJournalBytes/2)])

	j.out.mu.Lock()
	defer j.out.mu.Unlock()
	_, err := j.out.conn.Write(fields.Bytes())
	if errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNREFUSED) { // journald has been restarted
		if conn, dialErr := net.DialUnix("unixgram", nil, j.out.conn.RemoteAddr().(*net.UnixAddr)); dialErr == nil {
			j.out.conn.Close()
			j.out.conn = conn
			_, err = conn.Write(fields.Bytes())
		}
	}
	return err
}

// journalField writes one field; a value of several lines has its length before it.
func journalField(b *bytes.Buffer, name, value string) {
	b.WriteString(name)
	if strings.Contains(value, "\n") {
		b.WriteByte('\n')
		b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(value))))
	} else {
		b.WriteByte('=')
	}
	b.WriteString(value)
	b.WriteByte('\n')
}

// fieldName makes the name of a field of a key: capital letters, digits and
// underscores.
func fieldName(key string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, key)
}

// priority gives syslog's number of a level.
func priority(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "3"
	case l >= slog.LevelWarn:
		return "4"
	case l >= slog.LevelInfo:
		return "6"
	}
	return "7"
}
