package redislock

import (
	"context"

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
