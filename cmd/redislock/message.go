package main

import (
	"fmt"
	"io"
	"time"
)

// voice has the messages of redislock itself while a command runs: lines for people, or with --output json one JSON object on
// each line.
type voice struct {
	w    io.Writer
	json bool
}

// message is a message, for programs. Message is the sentence that people get.
type message struct {
	Time    time.Time  `json:"time"`
	Message string     `json:"message"`
	Name    string     `json:"name,omitempty"`
	Tick    *time.Time `json:"tick,omitempty"`
	Outcome string     `json:"outcome,omitempty"`
	Fence   int64      `json:"fence,omitempty"`
	By      *ownerJSON `json:"by,omitempty"`
	Why     string     `json:"why,omitempty"`
	Next    *time.Time `json:"next,omitempty"`
	// Trouble is what is wrong with the server, in a message of ls.
	Trouble *troubleJSON `json:"trouble,omitempty"`
	// Status is the exit status, in the last message of a program that does not end well.
	Status int `json:"status,omitempty"`
}

func (v voice) say(format string, args ...any) { v.tell(message{}, format, args...) }

// tell says a sentence, and to programs what it is about.
func (v voice) tell(m message, format string, args ...any) {
	if !v.json {
		say(v.w, format, args...)
		return
	}
	m.Time, m.Message = time.Now().UTC(), fmt.Sprintf(format, args...)
	_ = writeJSON(v.w, m) // there is no other place to complain
}

// say writes one line for people. Texts of others in it, such as the command line of a holder, cannot break the line or steer the
// terminal.
func say(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, "redislock: %s\n", oneLine(fmt.Sprintf(format, args...))) // there is no other place to complain
}
