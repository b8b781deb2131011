package redislock

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"example.com/redislock/lua"
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
func (c *Client) ask(ctx context.Context, late func(answer), s *lua.Script, key string, args ...any) answer {
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
	x := c.executorWithin(within, one.keyText())
	if x == nil {
		return answer{err: ctx.Err()}
	}
	var begun time.Time
	for attempt := 1; ; attempt++ {
		if stay {
			x.do(detached(ctx), one)
		} else if !x.ride(ctx, one) {
			return answer{err: during(ctx.Err(), x.why()), unanswered: true}
		}
		err := one.answer.err
		if err == nil {
			return one.answer
		}
		if attempt == 1 {
			begun = one.answer.sent
		}
		if attempt == maxAttempts || !transient(err) || ctx.Err() != nil || time.Since(begun) > resendTime {
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
				one.answer.err = during(err, one.answer.err)
			}
			break
		}
	}
	switch err := one.answer.err; {
	case refused(err):
		one.answer.err = fmt.Errorf("%w: %w (%s uses %s)", ErrPermission, err, one.script.Name, strings.Join(one.script.Commands(), ", "))
	case damaged(err):
		one.answer.err = fmt.Errorf("%w: %w", ErrDamaged, err)
	case c.isOrphaned():
		one.answer.err = errOrphaned
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
