package main

import (
	"fmt"
	"strconv"
	"time"
)

// timeLayouts are the letters after @ that Go's own layouts say. The words are
// those of the C locale.
var timeLayouts = map[byte]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'h': "Jan",
	'c': "Mon Jan _2 15:04:05 2006", 'd': "02", 'D': "01/02/06", 'e': "_2", 'F': "2006-01-02",
	'H': "15", 'I': "03", 'j': "002", 'm': "01", 'M': "04", 'p': "PM", 'P': "pm",
	'r': "03:04:05 PM", 'R': "15:04", 'S': "05", 'T': "15:04:05",
	'x': "01/02/06", 'X': "15:04:05", 'y': "06", 'z': "-0700", 'Z': "MST",
}

// appendTime appends what strftime makes of the letter, and for N the
// nanoseconds of the second. A letter that nobody knows stays, as in glibc.
func appendTime(dst []byte, letter byte, t time.Time) []byte {
	if layout, ok := timeLayouts[letter]; ok {
		return t.AppendFormat(dst, layout)
	}
	weekday, yearDay := int(t.Weekday()), t.YearDay()-1
	isoYear, isoWeek := t.ISOWeek()
	switch letter {
	case '@':
		return append(dst, '@')
	case 'N':
		return fmt.Appendf(dst, "%09d", t.Nanosecond())
	case 's':
		return strconv.AppendInt(dst, t.Unix(), 10)
	case 'n':
		return append(dst, '\n')
	case 't':
		return append(dst, '\t')
	case '%':
		return append(dst, '%')
	case 'Y':
		return strconv.AppendInt(dst, int64(t.Year()), 10)
	case 'C':
		return fmt.Appendf(dst, "%02d", t.Year()/100)
	case 'G':
		return strconv.AppendInt(dst, int64(isoYear), 10)
	case 'g':
		return fmt.Appendf(dst, "%02d", isoYear%100)
	case 'V':
		return fmt.Appendf(dst, "%02d", isoWeek)
	case 'U': // weeks begin on Sunday
		return fmt.Appendf(dst, "%02d", (yearDay+7-weekday)/7)
	case 'W': // on Monday
		return fmt.Appendf(dst, "%02d", (yearDay+7-(weekday+6)%7)/7)
	case 'u':
		return strconv.AppendInt(dst, int64((weekday+6)%7+1), 10)
	case 'w':
		return strconv.AppendInt(dst, int64(weekday), 10)
	case 'k':
		return fmt.Appendf(dst, "%2d", t.Hour())
	case 'l':
		return fmt.Appendf(dst, "%2d", (t.Hour()+11)%12+1)
	}
	return append(dst, '%', letter)
}
