package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"example.com/redislock"
)

// askSignal is the flag that names the signal for a command whose lock somebody asks for; 0 for none.
type askSignal syscall.Signal

func (s *askSignal) Type() string { return "signal" }

func (s *askSignal) String() string {
	if *s == 0 {
		return ""
	}
	return strings.TrimPrefix(signalName(syscall.Signal(*s)), "SIG")
}

// Set takes the name of one of the signals that are passed on.
func (s *askSignal) Set(text string) error {
	sig := signalNum("SIG" + strings.TrimPrefix(strings.ToUpper(text), "SIG"))
	if text == "none" {
		*s = 0
		return nil
	}
	if !hasSignals {
		return errors.New("must be none: this system has no signals")
	}
	for _, known := range passedOn {
		if known == sig {
			*s = askSignal(sig)
			return nil
		}
	}
	return fmt.Errorf("must be none or %s", strings.Join(askSignals(), ", "))
}

func askSignals() (names []string) {
	if !hasSignals {
		return nil
	}
	for _, sig := range passedOn {
		names = append(names, strings.TrimPrefix(signalName(sig.(syscall.Signal)), "SIG"))
	}
	slices.Sort(names)
	return names
}

// requests is where the wishes of others for the lock of a body arrive.
func requests(ctx context.Context) <-chan redislock.Request {
	if lock, ok := redislock.FromContext(ctx); ok {
		return lock.Asked()
	}
	return nil
}

// heed prints who asks for the lock, and tells the command if --on-ask is set. It reports whether that was a request
// to end.
func (a *attempt) heed(c *child, request redislock.Request) (told bool) {
	by, who, why := jsonOwner(request.By), readableOwner(request.By), visible(request.Why)
	m := message{Name: a.name, By: &by, Why: request.Why}
	if a.onAsk == 0 {
		a.voice.tell(m, "%s asks for %q: %s", who, a.name, why)
		return false
	}
	sig := syscall.Signal(a.onAsk)
	a.voice.tell(m, "%s asks for %q: %s; the command gets %s", who, a.name, why, signalName(sig))
	c.ask(sig)
	return stops(sig)
}
