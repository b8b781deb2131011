package redislock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxAttempts is how often a request is sent before the caller is told that Redis cannot be reached, and resendTime
	// after how long it is not sent again.
	maxAttempts = 4
	resendTime  = 5 * time.Second
)

// ask sends a script until it is answered, at most maxAttempts times, and not again after ctx has ended. Its caller does not
// wait longer than ctx, although go-redis does not interrupt a read: when it ends first, the answer has its error, the request
// counts as unanswered, and late is called with what came of it.
func (c *Client) ask(ctx context.Context, late func(answer), s *script, key string, args ...any) answer {
	one := newCall(s, key, args...)
	one.late = late
	return c.attempt(ctx, one, ctx.Done() == nil)
}

// attempt is ask of a call; one who stays waits for the end of an attempt, and sends it himself where nothing else is under way.
func (c *Client) attempt(ctx context.Context, one *call, stay bool) answer {
	within := ctx
	if stay {
		within = context.Background()
	}
	x := c.executorWithin(within, one.key)
	if x == nil {
		return answer{err: ctx.Err()}
	}
	var begun time.Time
	for attempt := 1; ; attempt++ {
		if stay {
			x.do(detached(ctx), one)
		} else if !x.ride(ctx, one) {
			return answer{err: ctx.Err(), unanswered: true}
		}
		err := one.answer.err
		if err == nil {
			return one.answer
		}
		if attempt == 1 {
			begun = one.answer.sent
		}
		if attempt == maxAttempts || !resendable(err) || ctx.Err() != nil || time.Since(begun) > resendTime {
			break
		}
		pause := time.NewTimer(backoff(attempt))
		select {
		case <-pause.C:
		case <-ctx.Done():
		case <-c.closing:
		}
		pause.Stop()
		if err := ctx.Err(); err != nil {
			if !stay {
				one.answer.err = err
			}
			break
		}
	}
	switch err := one.answer.err; {
	case refused(err):
		one.answer.err = fmt.Errorf("%w: %w (%s uses %s)", ErrPermission, err, one.script.name, strings.Join(one.script.commands(), ", "))
	case damaged(err):
		one.answer.err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return one.answer
}

// detached is ctx without its end.
func detached(ctx context.Context) context.Context {
	if ctx.Done() == nil {
		return ctx
	}
	return context.WithoutCancel(ctx)
}

// backoff before the next attempt: 8, 16, 32 ms … with jitter.
func backoff(attempt int) time.Duration {
	d := 8 * time.Millisecond << min(attempt-1, 7)
	return d/2 + rand.N(d)
}

// answered reports whether an error is the server's answer.
func answered(err error) bool {
	var fromServer redis.Error
	return errors.As(err, &fromServer)
}

// unsent reports whether a request that failed cannot have reached the server.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrClosed)
}

// refused reports whether an error is the ACL's: of the command itself, or from Redis 7 on of one inside a script.
func refused(err error) bool {
	return redis.HasErrorPrefix(err, "NOPERM") || answered(err) && strings.Contains(err.Error(), "user executing the script")
}

// damages are signs that a script found in a key what it could not work with: another type, or a text where a number should be,
// which Lua calls an error in a line of "user_script". The last is what miniredis says instead.
var damages = []string{"WRONGTYPE Operation", "ERR user_script:", " user_script:", "ERR Error compiling script"}

// damaged reports whether an error is that of a key that this library has not written.
func damaged(err error) bool {
	if !answered(err) || strings.Contains(err.Error(), "Script killed") {
		return false
	}
	return slices.ContainsFunc(damages, func(sign string) bool { return strings.Contains(err.Error(), sign) })
}

// unknownCommand reports whether the server does not know a command, because it is older.
func unknownCommand(err error) bool { return redis.HasErrorPrefix(err, "unknown command") }

// refusals are answers of a server that did not execute the request and may do so later.
var refusals = []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "BUSY", "max number of clients"}

// resendable reports whether the same request may succeed if it is sent again.
func resendable(err error) bool {
	if errors.Is(err, redis.ErrClosed) {
		return false
	}
	if !answered(err) {
		return true
	}
	for _, prefix := range refusals {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}
