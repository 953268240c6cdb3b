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
			s := &fullScreen{out: out, old: old, pressed: pressedKeys()}
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
	out           *os.File
	old           *term.State
	pressed       <-chan byte
	event         string
	width, height int // of the last draw
}

const (
	// The alternate screen, no cursor; and nothing goes on in the next line when
	// the terminal has just become narrower.
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	leaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	clearScreen = "\x1b[2J"
	home        = "\x1b[H"
	endLine     = "\x1b[K"
	endScreen   = "\x1b[J"
)

// pressedKeys gives the keys as a person presses them on the terminal, which is
// raw.
func pressedKeys() <-chan byte {
	pressed := make(chan byte)
	go func() { // ends with the process: a read of a terminal cannot be called off
		var b [1]byte
		for {
			if n, err := os.Stdin.Read(b[:]); n != 1 || err != nil {
				return
			}
			pressed <- b[0]
		}
	}()
	return pressed
}

func (s *fullScreen) keys() <-chan byte { return s.pressed }
func (s *fullScreen) say(text string)   { s.event = text }

func (s *fullScreen) close() {
	fmt.Fprint(s.out, leaveScreen)
	term.Restore(int(os.Stdin.Fd()), s.old)
}

// draw asks for the size each time: so a terminal that was resized is drawn
// right a moment later.
func (s *fullScreen) draw(v demoView) {
	width, height, err := term.GetSize(int(s.out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	var b strings.Builder
	if width != s.width || height != s.height {
		b.WriteString(clearScreen)
		s.width, s.height = width, height
	}
	b.WriteString(home)
	for i, line := range layout(v, s.event, width, height) {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(line)
		// In the last column it would take the character that was just written.
		if visible(line) < width {
			b.WriteString(endLine)
		}
	}
	b.WriteString(endScreen)
	io.WriteString(s.out, b.String())
}

// visible counts the characters of a line that take room: not those of styles.
func visible(line string) (n int) {
	inStyle := false
	for _, r := range line {
		switch {
		case r == '\x1b':
			inStyle = true
		case inStyle:
			inStyle = r != 'm'
		default:
			n++
		}
	}
	return n
}
