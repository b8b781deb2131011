package ui

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"example.com/redislock/internal/safetext"
)

// maxForwarded bounds the length of X-Forwarded-For in the audit, as anybody can write that header.
const maxForwarded = 200

// audit writes who did what, as a line of words and of name=value. The line is safe to show.
func (u *UI) audit(r *http.Request, one *session, what string, values ...any) {
	if u.config.Audit == nil {
		return
	}
	var line strings.Builder
	line.WriteString(what)
	add := func(name, value string) { fmt.Fprintf(&line, " %s=%s", name, word(value)) }
	for i := 0; i+1 < len(values); i += 2 {
		add(fmt.Sprint(values[i]), fmt.Sprint(values[i+1]))
	}
	add("from", r.RemoteAddr)
	if by := r.Header.Get("X-Forwarded-For"); by != "" { // set by a proxy, or by anybody else
		add("forwarded", by[:min(len(by), maxForwarded)])
	}
	if one != nil {
		add("session", one.name)
	}
	u.config.Audit(line.String())
}

// word is a value that is one word, in quotes if it must be.
func word(value string) string {
	shown := safetext.Text(value)
	if shown == "" || shown == value && strings.ContainsAny(value, ` "=\`) {
		return strconv.Quote(value)
	}
	return shown
}
