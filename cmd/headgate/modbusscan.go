package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"headgate/adapters/modbus"
	"headgate/gateway/point"
)

// modbusScanCmd finds units.
type modbusScanCmd struct {
	modbusLink
	Units    string   `default:"1-247" placeholder:"UNITS" help:"Which unit ids: 1-247 if left out, like 1-16,30."`
	Register string   `default:"holding:0" placeholder:"REGISTER" help:"What each is asked for. A unit that refuses is there all the same."`
	Bauds    []int    `placeholder:"BAUD" help:"Try these baud rates one after the other; where no gateway has the line."`
	Parities []string `placeholder:"PARITY" help:"Try these parities: N, E, O; where no gateway has the line."`
}

// scanTimeout is how long a unit may take to be found: most need a tenth of it.
const scanTimeout = 300 * time.Millisecond

// Run asks each unit, and prints those that answer.
func (c *modbusScanCmd) Run(k *kong.Kong) error {
	units, err := parseUnits(c.Units)
	if err != nil {
		return err
	}
	ctx, stop := untilStopped()
	defer stop()
	if c.Timeout == 0 {
		c.Timeout = scanTimeout
	}
	f, _, err := c.find("")
	if err != nil {
		return err
	}
	settings, err := c.settings(f.config.URL)
	if err != nil {
		return err
	}
	bar := newProgress(k.Stderr, len(units)*len(settings))
	defer bar.clear()
	began, count := time.Now(), 0
	for _, s := range settings {
		f.config.URL = s.url
		n, err := c.scan(ctx, f, units, s, k.Stdout, bar)
		count += n
		if err != nil {
			return err
		}
	}
	bar.clear()
	fmt.Fprintf(k.Stdout, "%d found in %v\n", count, time.Since(began).Round(100*time.Millisecond))
	if count == 0 {
		return &ended{status: exitFailed}
	}
	return nil
}

// scan asks each unit at one setting of the line.
func (c *modbusScanCmd) scan(ctx context.Context, f found, units []uint8, s setting, out io.Writer, bar *progress) (count int, err error) {
	a, err := f.open(ctx)
	if err != nil {
		return 0, err
	}
	defer a.Close()
	if _, through := a.(*throughGateway); through && s.name != "" {
		return 0, errors.New("a gateway that runs has the line, at its own setting: stop it to try others")
	}
	for _, u := range units {
		bar.step(fmt.Sprintf("%sunit %d", s.name, u), count)
		answer, err := a.Do(ctx, modbus.Request{Unit: u, Register: c.Register, Count: 1, Timeout: c.Timeout})
		text := ""
		switch {
		case ctx.Err() != nil:
			return count, ctx.Err()
		case err == nil:
			text = fmt.Sprintf("%s is %s, in %v", c.Register, hexOf(answer.Data), answer.Took.Round(100*time.Microsecond))
		case errors.Is(err, point.ErrException):
			text = "answers: " + err.Error()
		case errors.Is(err, point.ErrTimeout):
			continue
		default:
			return count, err
		}
		count++
		bar.clear()
		fmt.Fprintf(out, "%sunit %d: %s\n", s.name, u, text)
	}
	return count, nil
}

func hexOf(data []byte) string {
	if len(data) == 1 {
		return fmt.Sprint(data[0] & 1)
	}
	return fmt.Sprintf("0x%x", data)
}

// setting is one way to speak on a line.
type setting struct {
	url  string
	name string // "" for that of the URL
}

// settings gives those to try.
func (c *modbusScanCmd) settings(link string) ([]setting, error) {
	if len(c.Bauds) == 0 && len(c.Parities) == 0 {
		return []setting{{url: link}}, nil
	}
	u, err := url.Parse(link)
	if err != nil || u.Host != "" {
		return nil, fmt.Errorf("%s is no serial line: it has no baud rate and no parity", link)
	}
	bauds, parities := c.Bauds, c.Parities
	query := u.Query()
	if len(bauds) == 0 {
		bauds = []int{0}
	}
	if len(parities) == 0 {
		parities = []string{""}
	}
	var all []setting
	for _, baud := range bauds {
		for _, parity := range parities {
			if baud != 0 {
				query.Set("baud", strconv.Itoa(baud))
			}
			if parity != "" {
				query.Set("parity", parity)
			}
			u.RawQuery = query.Encode()
			all = append(all, setting{u.String(), strings.TrimSpace(query.Get("baud")+" "+query.Get("parity")) + ": "})
		}
	}
	return all, nil
}

// parseUnits reads "1-16,30".
func parseUnits(s string) ([]uint8, error) {
	var units []uint8
	for part := range strings.SplitSeq(s, ",") {
		from, to, ranged := strings.Cut(strings.TrimSpace(part), "-")
		if !ranged {
			to = from
		}
		first, err := strconv.ParseUint(from, 10, 8)
		last, err2 := strconv.ParseUint(to, 10, 8)
		if err != nil || err2 != nil || first > last {
			return nil, fmt.Errorf("--units %q: want unit ids and ranges of them, like 1-16,30", s)
		}
		for u := first; u <= last; u++ {
			units = append(units, uint8(u))
		}
	}
	return units, nil
}

// progress is a bar on a terminal; nothing anywhere else.
type progress struct {
	out   io.Writer // nil: no terminal
	steps int
	done  int
	began time.Time
}

func newProgress(w io.Writer, steps int) *progress {
	p := &progress{steps: steps, began: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.out = w
	}
	return p
}

const barWidth = 30

// step draws the bar before the next step.
func (p *progress) step(what string, found int) {
	left := ""
	if p.done > 0 {
		left = fmt.Sprintf(", %v left", (time.Since(p.began) / time.Duration(p.done) * time.Duration(p.steps-p.done)).Round(time.Second))
	}
	p.draw(p.done, fmt.Sprintf("%s, %d found%s", what, found, left))
	p.done++
}

// draw draws the bar when so many steps are done.
func (p *progress) draw(done int, text string) {
	if p.out != nil {
		full := barWidth * max(done, 0) / p.steps
		line := fmt.Sprintf("[%s%s] %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), text)
		io.WriteString(p.out, "\r\x1b[K"+fitted(line, widthOf(p.out)))
	}
}

// widthOf is how wide a terminal is; 80 where that is not known.
func widthOf(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}

// fitted cuts what would not fit into a line of so many characters: of a line that is
// wrapped only the last part is written over by the next one.
func fitted(line string, width int) string {
	if r := []rune(line); len(r) >= width {
		return string(r[:max(width-4, 0)]) + "..."
	}
	return line
}

// clear takes the bar off the screen.
func (p *progress) clear() {
	if p.out != nil {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
