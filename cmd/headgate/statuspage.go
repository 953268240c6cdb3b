package main

import (
	"fmt"
	"strings"
	"time"
)

// page gives a report as a person reads it.
func (r *statusReport) page() string {
	p := reportPage{now: r.Time}
	p.line("headgate", "%s, gateway %s, up %s", r.Version, r.Gateway, lasting(time.Duration(r.Uptime*1e9)))
	for _, a := range r.Alarms {
		since := ""
		if a.Since != nil {
			since = " for " + p.ago(a.Since)
		}
		p.line("ALARM", "%s%s: %s", a.Name, since, a.Text)
	}
	p.line("clients", "%d connected (%d at most), %d sessions away", r.Clients.Connected, r.Clients.Maximum, r.Clients.Away)
	p.line("messages", "%d in, %d out, %d dropped, %d retained", r.Flow.In, r.Flow.Out, r.Flow.Dropped, r.Flow.Retained)
	p.store(&r.Store)
	for i := range r.Bridges {
		p.bridge(&r.Bridges[i])
	}
	for i := range r.Devices {
		d := &r.Devices[i]
		switch {
		case d.Online:
			p.line("device", "%s on %s: online%s, %s, heard %s ago", d.Name, d.Adapter, forHow(p.ago(d.Since)), counted(d.Points, "point"), p.ago(d.Updated))
		default:
			p.line("device", "%s on %s: offline%s: %s", d.Name, d.Adapter, forHow(p.ago(d.Since)), d.Reason)
		}
	}
	switch {
	case r.Page.Address != "":
		p.line("page", "%s", r.Page.Address)
	case r.Page.Fault != "":
		p.line("page", "nowhere: %s; [web] listen takes another address, or \"off\"", r.Page.Fault)
	}
	return p.b.String()
}

// reportPage is text of lines that begin with what they are about.
type reportPage struct {
	b   strings.Builder
	now time.Time
}

func (p *reportPage) line(about, format string, args ...any) {
	fmt.Fprintf(&p.b, "%-10s%s\n", about, fmt.Sprintf(format, args...))
}

func (p *reportPage) store(s *storeReport) {
	p.line("store", "%d messages wait (%s); %s of %s on disk, %s free", s.Messages, size(s.Bytes), size(s.Used), size(s.Limit), size(s.Free))
	if s.Lost > 0 {
		p.line("", "%d messages were lost to damage", s.Lost)
	}
	if s.CommitP50 > 0 {
		p.line("commits", "half within %s, 99 of 100 within %s", fewDigits(s.CommitP50), fewDigits(s.CommitP99))
	}
	if s.Spared > 0 {
		p.line("spared", "%d messages (%s) were acknowledged by all before they were written, and never were", s.Spared, size(s.SparedBytes))
	}
	w := &s.Today
	written := "unknown"
	if w.Files != nil {
		written = size(*w.Files) + " by headgate"
	}
	if w.Disk != nil {
		written += fmt.Sprintf(", %s by all on %s", size(*w.Disk), w.Device)
	}
	if w.Amplification != nil {
		written += fmt.Sprintf("; %.1f bytes for each of payload (%s)", *w.Amplification, size(w.Payload))
	}
	if w.Budget != nil {
		written += "; budget " + size(*w.Budget)
	}
	p.line("written", "today (UTC) %s", written)
	card := []string{}
	if w.PerDay != nil {
		card = append(card, size(*w.PerDay)+" a day")
	}
	if w.Endurance != nil && w.LifeDays != nil {
		card = append(card, fmt.Sprintf("of %s in all: a new one lasts %s", size(*w.Endurance), years(*w.LifeDays)))
	}
	if w.EMMCUsed != nil {
		card = append(card, fmt.Sprintf("%d %% of the eMMC's life used", *w.EMMCUsed))
	}
	if w.EMMCSpare != "" {
		card = append(card, "its spare blocks: "+w.EMMCSpare)
	}
	if len(card) > 0 {
		p.line("card", "%s", strings.Join(card, ", "))
	}
}

// ago is how long something has been; "" where it has not.
func (p *reportPage) ago(t *time.Time) string {
	if t == nil {
		return ""
	}
	return lasting(p.now.Sub(*t))
}

func forHow(long string) string {
	if long == "" {
		return ""
	}
	return " for " + long
}

// lasting gives a duration in its two largest units.
func lasting(d time.Duration) string {
	d = max(d, 0)
	days, hours, minutes, seconds := int(d/(24*time.Hour)), int(d.Hours())%24, int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case days > 0:
		return fmt.Sprintf("%dd%dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh%dm", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%dm%ds", minutes, seconds)
	}
	return fmt.Sprintf("%ds", seconds)
}

// fewDigits gives seconds with two or three digits that count.
func fewDigits(seconds float64) string {
	d := time.Duration(seconds * 1e9)
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

func years(days int64) string {
	switch {
	case days >= 36500:
		return "100 years or more"
	case days >= 730:
		return fmt.Sprintf("%d years", days/365)
	}
	return fmt.Sprintf("%d days", days)
}

// size gives bytes in the unit that suits them, with three digits.
func size(n int64) string {
	const units = "kMGT"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, u := float64(n)/1000, 0
	for v >= 999.5 && u < len(units)-1 {
		v, u = v/1000, u+1
	}
	return fmt.Sprintf("%.3g %cB", v, units[u])
}

// counted gives a number with what is counted, which has an s for more than one.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// wrapped breaks the lines of a page at spaces, so that they fit so many characters;
// what goes on stands below the text, not below the word that the line begins with.
func wrapped(page string, width int) string {
	const indent = 10
	if width < 2*indent {
		return page
	}
	var b strings.Builder
	for line := range strings.Lines(page) {
		text := []rune(strings.TrimSuffix(line, "\n"))
		for len(text) > width {
			at := width
			for at > indent && text[at] != ' ' {
				at--
			}
			if at == indent {
				break // a word as long as the line
			}
			b.WriteString(string(text[:at]) + "\n")
			text = append([]rune(strings.Repeat(" ", indent)), text[at+1:]...)
		}
		b.WriteString(string(text) + "\n")
	}
	return b.String()
}
