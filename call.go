package redislock

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// command is a Redis command that go-redis must not send twice: we resend, and so know of every attempt that had no
// answer (I8).
type command struct {
	*redis.Cmd
}

func (command) NoRetry() bool { return true }

func newCommand(ctx context.Context, keyPos int8, args ...any) command {
	cmd := redis.NewCmd(ctx, args...)
	cmd.SetFirstKeyPos(keyPos)
	return command{cmd}
}

// call is one script call on its way, and what became of it.
type call struct {
	script *script
	key    string
	argv   []any // as it is sent: command, script, number of keys, key, arguments
	store  [6]any
	keyPos int8
	rides  bool // the Client counts it as under way
	cmd    command
	answer answer

	// Of a call that somebody waits for while another goroutine sends it.
	state atomic.Int32
	woken chan struct{}
	late  func(answer) // takes the answer if nobody waits any more; or nil
}

// The states of a call.
const underWay, settled, left = 0, 1, 2

func newCall(s *script, key string, args ...any) *call {
	c := &call{}
	c.init(s, key, key)
	c.argv = append(c.argv, args...)
	return c
}

// init makes c the call of a script on a key. boxed is the key too: another call may have it in this form already. The
// arguments are appended to argv, which has room for two.
func (c *call) init(s *script, key string, boxed any) {
	c.script, c.key, c.keyPos = s, key, 3
	c.argv = append(c.store[:0], "evalsha", s.boxed, s.keys, boxed)
}

// plain makes c the call of a command in the place of a script which begins with it.
func (c *call) plain(s *script, command, key string, boxed any) {
	c.script, c.key, c.keyPos = s, key, 1
	c.argv = append(c.store[:0], command, boxed)
}

// forget drops what came back, so that it is not kept as long as the call. The arguments stay as they are: a hook of the
// Redis client may have kept them.
func (c *call) forget() {
	c.argv, c.cmd, c.answer, c.late = nil, command{}, answer{}, nil
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

func (c *call) prepare(ctx context.Context, now time.Time) {
	c.cmd = newCommand(ctx, c.keyPos, c.argv...)
	c.answer.sent = now
}

// settle takes the answer from the command. It reports whether the call should be sent once more at once, whole.
func (c *call) settle() bool {
	c.answer.value, c.answer.err = c.cmd.Result()
	err := c.answer.err
	if err == nil {
		return false
	}
	if c.argv[0] == "evalsha" && redis.HasErrorPrefix(err, "NOSCRIPT") {
		c.argv = slices.Clone(c.argv) // somebody's hook may have kept the command
		c.argv[0], c.argv[1] = "eval", c.script.text
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
