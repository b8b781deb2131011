package transport

import (
	"context"
	"sync/atomic"
	"time"

	"example.com/redislock/lua"
)

// Call is one script call on its way, and its result.
type Call struct {
	Script  *lua.Script
	key     any   // a string: another call may have it in this form already
	Args    []any // what follows the key, as it is meant: no attempt is given this slice itself
	kept    [2]any
	sent    [6]any // what the first attempt is given, with the command in front
	Form    form
	tried   bool
	counted bool // it is counted as under way
	state   atomic.Int32
	Cmd     Command
	Answer  Answer

	// Of a call that somebody waits for while another goroutine sends it.
	woken chan struct{}
	Late  func(Answer) // takes the answer if nobody waits any more; or nil
}

// form is how a call is sent.
type form uint8

const (
	byDigest form = iota
	whole         // the server does not know the script
	Head          // by the command that the script begins with, in its place
)

// The states of a call that somebody waits for: under way, and then settled or, if nobody waits any more, abandoned.
const underWay, settled, abandoned = 0, 1, 2

// NewCall is the call of a script on a key.
func NewCall(s *lua.Script, key string, args ...any) *Call {
	c := &Call{}
	c.Init(s, key)
	c.Args = append(c.Args, args...)
	return c
}

// Init makes c the call of a script on a key. The arguments are appended to args, which has room for two.
func (c *Call) Init(s *lua.Script, key any) {
	c.Script, c.key, c.Args = s, key, c.kept[:0]
}

// KeyText is the key.
func (c *Call) KeyText() string { return c.key.(string) }

// Answer is the result of a call.
type Answer struct {
	Value any
	Err   error
	// Sent is when the answered attempt left, before its first byte.
	Sent time.Time
	// Unanswered says that an attempt had no answer, so that a copy of the request may be executed late.
	Unanswered bool
}

// Prepare makes the command of the next attempt. Its arguments are its own: a hook of the Redis client may change them in place, to
// put the name of a tenant before each key, or keep them; the next attempt is made of what was meant.
func (c *Call) Prepare(ctx context.Context, now time.Time) {
	argv := c.sent[:0]
	if c.tried {
		argv = make([]any, 0, 4+len(c.Args))
	}
	keyPos := int8(3)
	switch s := c.Script; c.Form {
	case Head:
		argv, keyPos = append(argv, s.Head, c.key), 1
	case whole:
		argv = append(argv, "eval", s.Text, s.Keys, c.key)
	default:
		argv = append(argv, "evalsha", s.Boxed, s.Keys, c.key)
	}
	c.Cmd = NewCommand(ctx, keyPos, append(argv, c.Args...)...)
	c.tried = true
	c.Answer.Sent = now
}

// Settle takes the answer from the command. It reports whether the call should be sent once more at once, whole.
func (c *Call) Settle() bool {
	c.Answer.Value, c.Answer.Err = c.Cmd.Result()
	err := c.Answer.Err
	if err == nil {
		return false
	}
	if c.Form == byDigest && hasCode(err, "NOSCRIPT") {
		c.Form = whole
		return true
	}
	if !Answered(err) && !Unsent(err) {
		c.Answer.Unanswered = true
	}
	return false
}

// abandon notes that no caller waits for the call any more: late takes the answer.
func (c *Call) abandon(late func(Answer)) {
	c.woken, c.Late = make(chan struct{}, 1), late
	c.state.Store(abandoned)
}

// await makes the call ready to be waited for.
func (c *Call) await() {
	if c.woken == nil {
		c.woken = make(chan struct{}, 1)
	}
	c.state.Store(underWay)
}
