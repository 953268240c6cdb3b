package main

import (
	"cmp"
	"fmt"
	"strings"
)

// The least terminal that the demo's screen fits into.
const (
	leastWidth  = 40
	leastHeight = 10
)

const (
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

// layout gives the lines of the demo's screen for a terminal of that size: none
// is wider, and there are not more than fit.
func layout(v demoView, event string, width, height int) []string {
	if width < leastWidth || height < leastHeight {
		p := page{width: width}
		p.line(bold, "lost %d, backlog %d", v.lost, v.backlog)
		p.line("", "make the terminal %dx%d", leastWidth, leastHeight)
		p.line("", "q ends")
		return p.lines[:min(len(p.lines), max(height, 1))]
	}
	rows := table(v, width)
	foot := footer(v, event, width, true)
	const airy = 5 // title, what it is, two blank lines, the table's head
	if airy+len(rows)+len(foot) > height {
		return short(v, rows, footer(v, event, width, false), width, height)
	}
	p := page{width: width}
	p.line(bold, "headgate demo   %.0f s", v.elapsed.Seconds())
	p.line(dim, "field devices -> gateway -> disk -> uplink -> cloud, all in this process")
	p.blank()
	p.head()
	p.lines = append(p.lines, rows...)
	p.blank()
	return append(p.lines, foot...)
}

// short is the layout without blank lines; of the rows only those that fit.
func short(v demoView, rows, foot []string, width, height int) []string {
	p := page{width: width}
	p.line(bold, "headgate demo   %.0f s", v.elapsed.Seconds())
	p.head()
	if room := height - len(p.lines) - len(foot); len(rows) > room {
		hidden := len(rows) - (room - 1)
		p.lines = append(p.lines, rows[:room-1]...)
		p.line(dim, "... %d more: make the terminal taller", hidden)
	} else {
		p.lines = append(p.lines, rows...)
	}
	return append(p.lines, foot...)
}

// page collects lines, each cut to the width.
type page struct {
	width int
	lines []string
}

func (p *page) blank() { p.lines = append(p.lines, "") }

// line adds one, all of it in a style; "" for none.
func (p *page) line(style, format string, args ...any) {
	p.lines = append(p.lines, styled(style, clip(fmt.Sprintf(format, args...), p.width)))
}

// labelled adds one of which only the value has the style, and what follows is dim.
func (p *page) labelled(label, style, value, rest string) {
	label = clip(fmt.Sprintf("%-11s", label), p.width)
	left := p.width - len(label)
	value = clip(value, left)
	rest = clip(rest, left-len([]rune(value)))
	p.lines = append(p.lines, label+styled(style, value)+styled(dim, rest))
}

func (p *page) head() {
	p.line(bold, columns(p.width), "DEVICE", "POINT", "HERE", "IN THE CLOUD", "AGE")
}

// columns is the format of a row of the table.
func columns(width int) string {
	switch {
	case width >= 72:
		return "%-10s %-14s %-16s %-18s %s"
	case width >= 56:
		return "%-9s %-12s %-13s %-13s %s"
	}
	return "%-8s %-11s %-12.12s %-0.0s%s" // what is here, and not what is in the cloud
}

func table(v demoView, width int) []string {
	p := page{width: width}
	for _, d := range v.devices {
		name := d.name
		if !d.online {
			p.labelled(name, red, cmp.Or(d.reason, "starting"), "")
			continue
		}
		for _, pt := range d.points {
			p.line("", columns(width), name, pt.name, pt.value, pt.cloud, pt.age)
			name = ""
		}
	}
	return p.lines
}

// footer is what stands below the table, with or without room to spare.
func footer(v demoView, event string, width int, airy bool) []string {
	p := page{width: width}
	color := green
	if v.uplink != "connected" {
		color = red
	}
	uplinkError := v.uplinkError
	if uplinkError != "" {
		uplinkError = "   " + uplinkError
	}
	p.labelled("uplink", color, v.uplink, uplinkError)
	color = ""
	if v.backlog > 20 {
		color = yellow
	}
	p.labelled("backlog", color, fmt.Sprintf("%d messages  %s", v.backlog, bar(v.backlog)), "")
	lost := green
	if v.lost > 0 {
		lost = red
	}
	if airy {
		p.labelled("published", "", fmt.Sprint(v.sent), "")
		p.labelled("in cloud", "", fmt.Sprint(v.arrived), "")
		p.labelled("lost", lost, fmt.Sprint(v.lost), "")
		p.blank()
	} else {
		p.labelled("lost", lost, fmt.Sprint(v.lost), fmt.Sprintf("   of %d published, %d in cloud", v.sent, v.arrived))
	}
	p.line("", "%s", event)
	p.line("", "c cuts the uplink and mends it   q ends")
	return p.lines
}

// bar draws the backlog, ten messages a cell, 40 cells at most.
func bar(backlog int64) string { return strings.Repeat("█", int(min(40, (backlog+9)/10))) }

func styled(style, text string) string {
	if style == "" || text == "" {
		return text
	}
	return style + text + plain
}

// clip cuts a text to so many characters; an ellipsis says so.
func clip(text string, width int) string {
	runes := []rune(text)
	switch {
	case len(runes) <= width:
		return text
	case width <= 0:
		return ""
	}
	return string(runes[:width-1]) + "…"
}
