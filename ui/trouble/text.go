package trouble

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Text is a sentence about a trouble. Times in it are marked, so that a page can show them in the time zone of its reader and
// keep them up to date. [Text.Say] writes them out. Texts of others are escaped in it, and have no marks.
type Text string

// The marks: of a moment, and of the time that has passed since one. Between two of them are milliseconds since 1970.
const (
	momentMark = "\x02"
	ageMark    = "\x03"
)

// moment writes a time into a text.
func moment(t time.Time) string { return fmt.Sprintf("%s%d%[1]s", momentMark, t.UnixMilli()) }

// age writes into a text how long ago a time is.
func age(t time.Time) string { return fmt.Sprintf("%s%d%[1]s", ageMark, t.UnixMilli()) }

// says is fmt.Sprintf for a Text.
func says(format string, args ...any) Text { return Text(fmt.Sprintf(format, args...)) }

// Say returns the text as of this time, by the clock of Redis, with times in the time zone of this machine.
func (t Text) Say(now time.Time) string {
	return written(written(string(t), momentMark, func(at time.Time) string {
		at = at.Local()
		if at.Format(time.DateOnly) == now.Local().Format(time.DateOnly) {
			return at.Format(time.TimeOnly)
		}
		return at.Format("2006-01-02 15:04:05")
	}), ageMark, func(at time.Time) string { return Length(now.Sub(at)) })
}

// String returns the text as of now.
func (t Text) String() string { return t.Say(time.Now()) }

// MarshalJSON keeps the marks: U+0002 around a moment, U+0003 around a time that is shown by its age.
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
