// Package doctor examines the Redis of the locks. It says what is wrong, why that matters for locks, and what repairs it.
package doctor

import (
	"fmt"
	"slices"
	"time"
)

// Level is how bad a finding is.
type Level uint8

// The levels, from good to bad. Unknown means that the check was not possible: the user may not ask, or the server does not
// say.
const (
	OK Level = iota
	Unknown
	Warning
	Danger
)

var levelNames = [...]string{"ok", "unknown", "warning", "danger"}

// String is the level as one word.
func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return fmt.Sprintf("Level(%d)", uint8(l))
}

// MarshalText is String, for JSON.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Finding is the result of one check on one server.
type Finding struct {
	// Check names the check, such as "eviction policy".
	Check string `json:"check"`
	// Node is the address of the server if there are several; otherwise empty.
	Node  string `json:"node,omitempty"`
	Level Level  `json:"level"`
	// Found is what the server has, in a sentence.
	Found string `json:"found"`
	// Why says why that matters for locks, and Fix names the command or the setting that mends it. Both are empty if all
	// is well.
	Why string `json:"why,omitempty"`
	Fix string `json:"fix,omitempty"`
	// Command is the shell command for Fix, with the address of the server. Cost says what that command costs, to be read before. Look is
	// a shell command that shows more. Each is empty if there is none.
	Command string `json:"command,omitempty"`
	Cost    string `json:"cost,omitempty"`
	Look    string `json:"look,omitempty"`
	// Since is when it began, if that is known; an examination alone does not know it. By the clock of Redis.
	Since time.Time `json:"since,omitzero"`
	// Stops says why acquires are refused. It is empty if they are not.
	Stops Stops `json:"stops,omitempty"`
}

// Stops is why acquires are refused.
type Stops string

// The reasons.
const (
	NoMemory Stops = "memory" // the server is full: most are refused
	NoAnswer Stops = "answer" // the server does not answer: no lock can be taken
)

// Report is the result of an examination.
type Report struct {
	// Address is the address that was given, and Prefix the beginning of the keys of the locks.
	Address  string    `json:"address"`
	Prefix   string    `json:"prefix"`
	Findings []Finding `json:"findings"`
}

// Full reports whether a server has no memory left.
func (r Report) Full() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Stops == NoMemory })
}

// Worst is the worst level of all findings.
func (r Report) Worst() (worst Level) {
	for _, f := range r.Findings {
		worst = max(worst, f.Level)
	}
	return worst
}
