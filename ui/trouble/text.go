package trouble

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Text is what is said of a trouble. Times in it are marked, so that a page can show them in the zone of its reader, and go on
// counting: [Text.Say] writes them out. What others wrote is escaped in it, and has no marks.
type Text string

// The marks: of a moment, and of the time that has passed since one. Between two of them are milliseconds since 1970.
const (
	momentMark = "\x02"
	ageMark    = "\x03"
)

// moment is a time in a text.
func moment(t time.Time) string { return fmt.Sprintf("%s%d%[1]s", momentMark, t.UnixMilli()) }

// age is how long ago a time is, in a text.
func age(t time.Time) string { return fmt.Sprintf("%s%d%[1]s", ageMark, t.UnixMilli()) }

// says is fmt.Sprintf for a Text.
func says(format string, args ...any) Text { return Text(fmt.Sprintf(format, args...)) }

// Say is the text as it is at this time, by the clock of Redis, with times in the zone of this machine.
func (t Text) Say(now time.Time) string {
	return written(written(string(t), momentMark, func(at time.Time) string {
		at = at.Local()
		if at.Format(time.DateOnly) == now.Local().Format(time.DateOnly) {
			return at.Format(time.TimeOnly)
		}
		return at.Format("2006-01-02 15:04:05")
	}), ageMark, func(at time.Time) string { return Length(now.Sub(at)) })
}

// String is the text as it is now.
func (t Text) String() string { return t.Say(time.Now()) }

// MarshalJSON keeps the marks: U+0002 around a moment, U+0003 around a time since which time passes.
func (t Text) MarshalJSON() ([]byte, error) { return json.Marshal(string(t)) }

func written(text, mark string, say func(time.Time) string) string {
	parts := strings.Split(text, mark)
	for i := 1; i+1 < len(parts); i += 2 {
		if ms, err := strconv.ParseInt(parts[i], 10, 64); err == nil {
			parts[i] = say(time.UnixMilli(ms))
		}
	}
	return strings.Join(parts, "")
}
