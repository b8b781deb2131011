package main

import (
	"cmp"
	"context"
	"os"
	"os/user"
	"time"

	"example.com/redislock"
	"example.com/redislock/ui/history"
)

// tellTime bounds how long the program stays to tell the history who did what.
const tellTime = time.Second

// tell writes into the history of the prefix, if one is kept, what a person has done here. It changes nothing that it cannot.
func (l *link) tell(kind, name, why string, holds ...redislock.Hold) {
	ctx, cancel := context.WithTimeout(context.Background(), tellTime)
	defer cancel()
	var entries []history.Entry
	for _, h := range holds {
		entries = append(entries, history.Entry{Kind: kind, Name: name, Fence: h.Fence, Owner: history.OwnerOf(h.Owner), By: person(), Why: why, Told: true})
	}
	if len(holds) == 0 {
		entries = append(entries, history.Entry{Kind: kind, Name: name, By: person(), Why: why, Told: true})
	}
	_ = history.Open(l.rdb, l.prefix).AddIfThere(ctx, entries...)
}

// person is the user of this program, as far as the machine knows.
func person() string {
	host, _ := os.Hostname()
	name := os.Getenv("SUDO_USER")
	if u, err := user.Current(); err == nil && name == "" {
		name = u.Username
	}
	return cmp.Or(name, "somebody") + " on " + host
}
