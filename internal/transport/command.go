package transport

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// Command is a Redis command that go-redis must not send twice: we resend, and so know of every attempt that had no
// answer (I8).
type Command struct {
	*redis.Cmd
}

// NoRetry has go-redis send the command once.
func (Command) NoRetry() bool { return true }

// NewCommand is a command whose key is the argument at keyPos, 0 for none.
func NewCommand(ctx context.Context, keyPos int8, args ...any) Command {
	cmd := redis.NewCmd(ctx, args...)
	cmd.SetFirstKeyPos(keyPos)
	return Command{cmd}
}
