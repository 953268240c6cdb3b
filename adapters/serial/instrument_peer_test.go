package serial

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"headgate/gateway/point"
)

// answerer is an instrument: it answers what it is asked, and takes its limit.
const answerer = `
import serial, sys
limit = b"1.5"
with serial.Serial(sys.argv[1], 9600) as port:
    while True:
        line = port.read_until(b"\n")
        if line == b"VOLT?\n":
            port.write(limit + b"\r\n")
        elif line == b"AMP?\n":
            port.write(b"0.25\r\n")
        elif line.startswith(b"LIMIT "):
            limit = line[6:].strip()
            port.write(b"OK\r\n")
`

func TestAPythonInstrumentIsAskedAndSetOverSocat(t *testing.T) {
	needs(t)
	t.Parallel()
	dir := t.TempDir()
	ours, theirs := filepath.Join(dir, "ttyS0"), filepath.Join(dir, "ttyS1")
	startPeer(t, "socat", "pty,raw,echo=0,link="+ours, "pty,raw,echo=0,link="+theirs)
	limit := ask("LIMIT {value:.1f}\n")
	limit.Expect, limit.Timeout = "^OK$", hangs
	r := run(t, ours, func(c *Config) {
		polled(c)
		for i := range c.Request {
			c.Request[i].Timeout = time.Second // it may be slow to start
		}
		c.Points = append(c.Points, Point{Name: "limit", Set: &limit})
	})
	r.until("for the port", func() bool { _, err := os.Stat(theirs); return err == nil })
	startPeer(t, "/usr/bin/python3", "-c", answerer, theirs)
	r.hear("volt=1.5V")
	r.hear("amp=0.25A")
	if _, err := r.Adapter.Write(t.Context(), point.Command{Device: "scale", Point: "limit", Value: point.OfFloat(7.25)}); err != nil {
		t.Fatal(err)
	}
	r.hear("volt=7.2V")
	r.hear("amp=0.25A")
	r.stop()
	for _, s := range r.samples {
		if v, _ := s.Value.Float(); s.Point == "amp" && s.Quality == point.Good && v != 0.25 {
			t.Errorf("amp is %v", s.Value)
		}
	}
}
