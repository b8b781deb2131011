package model

import (
	"fmt"
	"strings"
)

// Difference is a call that the model answers otherwise.
type Difference struct {
	Call    Call
	Before  []Lock   // the states that the lock may have been in
	Answers []string // for each of them and each choice, both answers
}

// Error is the call, the states before, and both answers.
func (d *Difference) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the model differs at %d: %s %q %q\n", d.Call.Now, d.Call.Script, d.Call.Keys, d.Call.Args)
	if d.Call.Receivers != nil {
		fmt.Fprintf(&b, "receivers %v\n", d.Call.Receivers)
	}
	for i := range d.Before {
		fmt.Fprintf(&b, "the lock was\n%s", &d.Before[i])
	}
	said := map[string]bool{}
	for _, answer := range d.Answers {
		if !said[answer] {
			b.WriteString(answer + "\n")
		}
		said[answer] = true
	}
	return b.String()
}

func unreadable(c Call, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("the model cannot read %s %q %q, answered %q: %w", c.Script, c.Keys, c.Args, fmt.Sprint(c.Reply), err)
}
