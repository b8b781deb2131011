package transport

import (
	"context"
	"fmt"
	"strings"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/random"
	"example.com/redislock/lua"
)

const (
	// MaxAttempts is how often a request is sent before the caller is told that Redis cannot be reached, and ResendTime
	// after how long it is not sent again.
	MaxAttempts = 4
	ResendTime  = 5 * time.Second
	// GiveUpTime is how long a request without a waiting caller is tried: the life of a tombstone.
	GiveUpTime = time.Minute
)

// Ask sends a script until it is answered, at most MaxAttempts times, and not again after ctx has ended. Its caller does not
// wait longer than ctx, although go-redis does not interrupt a read: when it ends first, the answer has its error, the request
// counts as unanswered, and late is called with the answer, if one comes.
func (t *Transport) Ask(ctx context.Context, late func(Answer), s *lua.Script, key string, args ...any) Answer {
	one := NewCall(s, key, args...)
	one.Late = late
	return t.Attempt(ctx, one, ctx.Done() == nil)
}

// Attempt is Ask of a call. A caller that stays waits for the end of an attempt, and sends the call itself where nothing else is
// under way.
func (t *Transport) Attempt(ctx context.Context, one *Call, stay bool) Answer {
	within := ctx
	if stay {
		within = context.Background()
	}
	x := t.executorWithin(within, one.KeyText())
	if x == nil {
		return Answer{Err: ctx.Err()}
	}
	var begun time.Time
	for attempt := 1; ; attempt++ {
		if stay {
			x.do(detached(ctx), one)
		} else if !x.doWithin(ctx, one) {
			return Answer{Err: During(ctx.Err(), x.why()), Unanswered: true}
		}
		err := one.Answer.Err
		if err == nil {
			return one.Answer
		}
		if attempt == 1 {
			begun = one.Answer.Sent
		}
		if attempt == MaxAttempts || !Transient(err) || ctx.Err() != nil || time.Since(begun) > ResendTime {
			break
		}
		pause := time.NewTimer(Backoff(attempt))
		select {
		case <-pause.C:
		case <-ctx.Done():
		case <-t.closing:
		}
		pause.Stop()
		if err := ctx.Err(); err != nil {
			if !stay {
				one.Answer.Err = During(err, one.Answer.Err)
			}
			break
		}
	}
	switch err := one.Answer.Err; {
	case Refused(err):
		one.Answer.Err = fmt.Errorf("%w: %w (%s uses %s)", ErrPermission, err, one.Script.Name, strings.Join(one.Script.Commands(), ", "))
	case WithoutEngine(err):
		one.Answer.Err = fmt.Errorf("%w: %w (%s)", ErrServer, err, EngineHint)
	case Damaged(err):
		one.Answer.Err = fmt.Errorf("%w: %w", protocol.ErrDamaged, err)
	case t.IsOrphaned():
		one.Answer.Err = ErrOrphaned
	}
	return one.Answer
}

// detached is ctx without its end.
func detached(ctx context.Context) context.Context {
	if ctx.Done() == nil {
		return ctx
	}
	return context.WithoutCancel(ctx)
}

// Backoff before the next attempt: 8, 16, 32 ms … with jitter.
func Backoff(attempt int) time.Duration {
	d := 8 * time.Millisecond << min(attempt-1, 7)
	return d/2 + random.Below(d)
}

// Promptly sends a request that does not end with ctx, and returns within the time for resends.
func (t *Transport) Promptly(ctx context.Context, one *Call) Answer {
	ctx = detached(ctx)
	if t.prompt && !t.relaxed(one.KeyText()) { // it cannot take long, so it costs no other goroutine
		return t.Attempt(ctx, one, true)
	}
	bounded, cancel := context.WithTimeout(ctx, ResendTime)
	defer cancel()
	return t.Attempt(bounded, one, false)
}
