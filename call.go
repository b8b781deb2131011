package redislock

import (
	"context"
	"sync/atomic"
	"time"

	"example.com/redislock/lua"
)

// call is one script call on its way, and what became of it.
type call struct {
	script *lua.Script
	key    any   // a string: another call may have it in this form already
	args   []any // what follows the key, as it is meant: no attempt is given this slice itself
	kept   [2]any
	sent   [6]any // what the first attempt is given, with the command in front
	form   form
	tried  bool
	rides  bool // the Client counts it as under way
	state  atomic.Int32
	cmd    command
	answer answer

	// Of a call that somebody waits for while another goroutine sends it.
	woken chan struct{}
	late  func(answer) // takes the answer if nobody waits any more; or nil
}

// form is how a call is sent.
type form uint8

const (
	byDigest form = iota
	whole         // the server does not know the script
	head          // by the command that the script begins with, in its place
)

// The states of a call.
const underWay, settled, left = 0, 1, 2

func newCall(s *lua.Script, key string, args ...any) *call {
	c := &call{}
	c.init(s, key)
	c.args = append(c.args, args...)
	return c
}

// init makes c the call of a script on a key. The arguments are appended to args, which has room for two.
func (c *call) init(s *lua.Script, key any) {
	c.script, c.key, c.args = s, key, c.kept[:0]
}

// keyText is the key.
func (c *call) keyText() string { return c.key.(string) }

// forget drops what came back, so that it is not kept as long as the call.
func (c *call) forget() {
	c.args, c.kept, c.cmd, c.answer, c.late = nil, [2]any{}, command{}, answer{}, nil
}

// answer is what a call came to.
type answer struct {
	value any
	err   error
	// sent is when the answered attempt left, before its first byte.
	sent time.Time
	// unanswered says that an attempt had no answer, so that a copy of the request may be executed late.
	unanswered bool
}

// prepare makes the command of the next attempt. Its arguments are its own: a hook of the Redis client may change them in place, to
// put the name of a tenant before each key, or keep them; the next attempt is made of what was meant.
func (c *call) prepare(ctx context.Context, now time.Time) {
	argv := c.sent[:0]
	if c.tried {
		argv = make([]any, 0, 4+len(c.args))
	}
	keyPos := int8(3)
	switch s := c.script; c.form {
	case head:
		argv, keyPos = append(argv, s.Head, c.key), 1
	case whole:
		argv = append(argv, "eval", s.Text, s.Keys, c.key)
	default:
		argv = append(argv, "evalsha", s.Boxed, s.Keys, c.key)
	}
	c.cmd = newCommand(ctx, keyPos, append(argv, c.args...)...)
	c.tried = true
	c.answer.sent = now
}

// settle takes the answer from the command. It reports whether the call should be sent once more at once, whole.
func (c *call) settle() bool {
	c.answer.value, c.answer.err = c.cmd.Result()
	err := c.answer.err
	if err == nil {
		return false
	}
	if c.form == byDigest && hasCode(err, "NOSCRIPT") {
		c.form = whole
		return true
	}
	if !answered(err) && !unsent(err) {
		c.answer.unanswered = true
	}
	return false
}

// await makes the call ready to be waited for.
func (c *call) await() {
	if c.woken == nil {
		c.woken = make(chan struct{}, 1)
	}
	c.state.Store(underWay)
}
