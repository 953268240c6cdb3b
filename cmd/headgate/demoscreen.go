package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// screen shows the demo to a person.
type screen interface {
	draw(v demoView)
	say(text string) // an event
	keys() <-chan byte
	close()
}

// newScreen gives a full screen where there is a terminal, plain lines where
// there is none.
func newScreen(w io.Writer) screen {
	out, ok := w.(*os.File)
	if ok && term.IsTerminal(int(out.Fd())) && term.IsTerminal(int(os.Stdin.Fd())) {
		if old, err := term.MakeRaw(int(os.Stdin.Fd())); err == nil {
			s := &fullScreen{out: out, old: old, pressed: make(chan byte)}
			go s.read() // ends with the process: a read of a terminal cannot be called off
			fmt.Fprint(out, enterScreen)
			return s
		}
	}
	return &plainLines{out: w}
}

// plainLines prints a line every few seconds.
type plainLines struct {
	out  io.Writer
	last time.Time
}

const lineEvery = 2 * time.Second

func (p *plainLines) draw(v demoView) {
	if time.Since(p.last) < lineEvery {
		return
	}
	p.last = time.Now()
	var points []string
	for _, d := range v.devices {
		if !d.online {
			points = append(points, d.name+" "+cmp.Or(d.reason, "starting"))
			continue
		}
		for _, pt := range d.points {
			points = append(points, d.name+"/"+pt.name+"="+pt.value)
		}
	}
	fmt.Fprintf(p.out, "%5.1fs  %s | uplink %s | published %d, in the cloud %d, backlog %d, lost %d\n",
		v.elapsed.Seconds(), strings.Join(points, " "), v.uplink, v.sent, v.arrived, v.backlog, v.lost)
}

func (p *plainLines) say(text string)   { fmt.Fprintln(p.out, text) }
func (p *plainLines) keys() <-chan byte { return nil }
func (p *plainLines) close()            {}

// fullScreen draws in place.
type fullScreen struct {
	out     *os.File
	old     *term.State
	pressed chan byte
	event   string
}

const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the alternate screen, no cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	endLine     = "\x1b[K\r\n"
	endScreen   = "\x1b[J"
	bold        = "\x1b[1m"
	dim         = "\x1b[2m"
	red         = "\x1b[31m"
	green       = "\x1b[32m"
	yellow      = "\x1b[33m"
	plain       = "\x1b[0m"
)

func (s *fullScreen) read() {
	var b [1]byte
	for {
		if n, err := os.Stdin.Read(b[:]); n != 1 || err != nil {
			return
		}
		s.pressed <- b[0]
	}
}

func (s *fullScreen) keys() <-chan byte { return s.pressed }
func (s *fullScreen) say(text string)   { s.event = text }

func (s *fullScreen) close() {
	fmt.Fprint(s.out, leaveScreen)
	term.Restore(int(s.out.Fd()), s.old)
}

func (s *fullScreen) draw(v demoView) {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format, args...); b.WriteString(endLine) }
	b.WriteString(home)
	line("%sheadgate demo%s   %s%.0f s; field devices -> gateway -> disk -> uplink -> cloud, all in this process%s", bold, plain, dim, v.elapsed.Seconds(), plain)
	line("")
	line("%s%-10s %-14s %-16s %-18s %s%s", bold, "DEVICE", "POINT", "HERE", "IN THE CLOUD", "CLOUD'S AGE", plain)
	for _, d := range v.devices {
		name := d.name
		if !d.online {
			line("%-10s %s%s%s", name, red, cmp.Or(d.reason, "starting"), plain)
			continue
		}
		for _, p := range d.points {
			line("%-10s %-14s %-16s %-18s %s", name, p.name, p.value, p.cloud, p.age)
			name = ""
		}
	}
	line("")
	color := green
	if v.uplink != "connected" {
		color = red
	}
	line("uplink     %s%s%s   %s%s%s", color, v.uplink, plain, dim, v.uplinkError, plain)
	color = plain
	if v.backlog > 20 {
		color = yellow
	}
	line("backlog    %s%d messages%s  %s", color, v.backlog, plain, bar(v.backlog))
	line("published  %d", v.sent)
	line("in cloud   %d", v.arrived)
	color = green
	if v.lost > 0 {
		color = red
	}
	line("lost       %s%d%s", color, v.lost, plain)
	line("")
	line("%s", s.event)
	line("%sc%s cuts the uplink and mends it   %sq%s ends", bold, plain, bold, plain)
	b.WriteString(endScreen)
	io.WriteString(s.out, b.String())
}

// bar draws the backlog, ten messages a cell, 40 cells at most.
func bar(backlog int64) string { return strings.Repeat("█", int(min(40, (backlog+9)/10))) }
