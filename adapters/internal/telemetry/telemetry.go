// Package telemetry has what the adapters for metrics, traces and logs have in common: few and fixed words for causes and
// for kinds of locks, and the buckets of their histograms.
package telemetry

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
)

// Reasons are all values of [Reason] but "".
var Reasons = []string{
	"held", "deadline", "canceled", "unanswered", "network", "server", "permission", "closed", "stolen", "lost", "not_held",
	"deadlock", "conflict", "mode", "not_replicated", "unknown", "invalid", "damaged", "other",
}

// sentinels are the errors of the library. One that wraps another stands before it.
var sentinels = []struct {
	err    error
	reason string
}{
	{redislock.ErrClosed, "closed"},
	{redislock.ErrPermission, "permission"},
	{redislock.ErrStolen, "stolen"},
	{redislock.ErrLost, "lost"},
	{redislock.ErrNotHeld, "not_held"},
	{redislock.ErrNotReplicated, "not_replicated"},
	{redislock.ErrUnknown, "unknown"},
	{redislock.ErrDeadlock, "deadlock"},
	{redislock.ErrConflict, "conflict"},
	{redislock.ErrMode, "mode"},
	{redislock.ErrInvalid, "invalid"},
	{redislock.ErrDamaged, "damaged"},
}

// Reason is the word of [Reasons] for an error, for use as a label. It depends on the type of the error, never on its
// text. For nil it is "".
//
// Where somebody else had the lock, "deadline" and "canceled" say that the caller's context ended the wait, and "held" that
// the caller did not want to wait longer. A deadline before any answer of Redis is "unanswered". A failed connection is
// "network", and a refusal by Redis is "server".
func Reason(err error) string {
	if err == nil {
		return ""
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return s.reason
		}
	}
	held := errors.Is(err, redislock.ErrHeld)
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded) && held:
		return "deadline"
	case held:
		return "held"
	case errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted), errors.Is(err, redis.ErrClosed):
		return "network" // before redis.Error, as go-redis gives some of these that type too
	}
	if _, ok := errors.AsType[redis.Error](err); ok {
		return "server"
	}
	// The order matters: a dial that took too long is a deadline too, and the error of a context is a net.Error too.
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return "network"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "unanswered"
	}
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "network"
	}
	return "other"
}

// Kinds are all values of [Kind].
var Kinds = []string{"lock", "cron", "tick", "election", "once", "share"}

// Kind says what a lock is for, by the beginning of its name: one of the library's own kinds, or "lock". Elections have a
// kind of their own because a candidate waits for as long as there is a leader: its figures would spoil those of locks.
func Kind(name string) string {
	before, _, found := strings.Cut(name, ":")
	switch {
	case !found:
		return "lock"
	case before == "elect":
		return "election"
	case before == "cron", before == "tick", before == "once", before == "share":
		return before
	}
	return "lock"
}

// Upgraded reports whether an event ended the wait of an upgrade with success, which is a grant to a hold that exists
// already. A downgrade is an EventChanged too, but it has no wait, and no EventAsked came before it.
func Upgraded(e redislock.Event) bool {
	return e.Kind == redislock.EventChanged && e.Mode == redislock.Write
}

// Buckets are the upper bounds of histograms of waits and holds, in seconds: from 1 ms, which is an uncontended acquire, to
// 4 hours. They are dense up to a minute, where waits are looked at closely.
func Buckets() []float64 {
	return []float64{
		0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400,
	}
}

// Text is s with all bytes that are not UTF-8 replaced, as neither labels nor attributes can have them.
func Text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
