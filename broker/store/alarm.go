package store

import (
	"fmt"
	"time"
)

// Alarm is something that somebody should act on, as long as it lasts.
type Alarm struct {
	Name  string    // "disk", "full", "write_budget" or "card"
	Text  string    // what it is, and what to do
	Since time.Time // zero: not known
}

// cardUsedAlarm is from how much of an eMMC's life there is an alarm, in percent.
const cardUsedAlarm = 90

// Alarms gives those that these figures are reason for; none is none.
func (st *Stats) Alarms() (list []Alarm) {
	if !st.FailingSince.IsZero() {
		list = append(list, Alarm{"disk", "the disk does not take what is written, and nothing that needs it is acknowledged: " + st.LastError, st.FailingSince})
	}
	if !st.Refusing.IsZero() {
		list = append(list, Alarm{"full", "messages are refused: " + st.RefusedFor, st.Refusing})
	}
	w := &st.Wear
	if w.BudgetPassed {
		list = append(list, Alarm{"write_budget", "more is written on this day than daily_write_budget allows: look who writes, or raise it", time.Time{}})
	}
	if w.EMMCUsed >= cardUsedAlarm || w.EMMCSpare == "warning" || w.EMMCSpare == "urgent" {
		text := "the memory of " + w.Device + " nears its end: replace it"
		if w.EMMCUsed >= 0 {
			text += fmt.Sprintf(" (%d %% of its life used)", w.EMMCUsed)
		}
		list = append(list, Alarm{"card", text, time.Time{}})
	}
	return list
}
