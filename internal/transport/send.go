package transport

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/backend"
	"example.com/redislock/internal/protocol"
)

// All commands leave by process and pipelined, whichever goroutine sends them. A panic of the user's client, or of one of its
// hooks, is an error of the commands: a goroutine of the library must not end the process, because the user cannot recover there.

// processor is a client, or one connection of it.
type processor interface {
	Process(ctx context.Context, cmd redis.Cmder) error
	Pipeline() redis.Pipeliner
}

// Process sends one command. The command then has its result: a value or an error.
func Process(ctx context.Context, by processor, cmd Command) {
	err := processed(ctx, by, cmd)
	if err != nil {
		cmd.SetErr(err)
	}
	cmd.settle(err)
}

func processed(ctx context.Context, by processor, cmd Command) (err error) {
	defer backend.Recover(&err)
	return by.Process(ctx, cmd)
}

// Pipelined sends commands in one pipeline. Each command then has its result: a value or an error. The result is the error of the
// first that failed, or of what kept all of them from being sent.
func Pipelined(ctx context.Context, by processor, cmds []Command) error {
	err := executed(ctx, by, cmds)
	if errors.Is(err, backend.ErrPanic) { // which of them were sent, and what the server said, is not known
		for _, cmd := range cmds {
			cmd.SetErr(err)
		}
	}
	batch := err
	for _, cmd := range cmds {
		if err != nil && cmd.Err() != nil && errors.Is(cmd.Err(), err) { // it is that command's own, and says nothing about the others
			batch = fmt.Errorf("%w: its batch ended with %v", ErrNoAnswer, err)
			break
		}
	}
	for _, cmd := range cmds {
		cmd.settle(batch)
	}
	return err
}

// settle gives a command that came back with neither a value nor an error the error of its batch (I11): go-redis does so only
// where the connection broke, not where Redis refused it, and not where a hook of its user's returned an error in its place.
func (c Command) settle(batch error) {
	if c.Val() != nil || c.Err() != nil {
		return
	}
	if batch == nil {
		batch = ErrNoAnswer
	}
	c.SetErr(batch)
}

// ErrNoAnswer is the error of a request that came back without a result.
var ErrNoAnswer = errors.New("the Redis client came back with neither a value nor an error")

// Done is the error of a command that answers "OK".
func (c Command) Done() error {
	text, err := c.Text()
	if err == nil && text != "OK" {
		err = protocol.Unexpected(c.Val())
	}
	return err
}

func executed(ctx context.Context, by processor, cmds []Command) (err error) {
	defer backend.Recover(&err)
	pipe := by.Pipeline()
	for _, cmd := range cmds {
		_ = pipe.Process(ctx, cmd) // it is only put into the pipeline
	}
	_, err = pipe.Exec(ctx)
	return err
}

// MasterOf is the master that serves a key.
func MasterOf(ctx context.Context, cluster *redis.ClusterClient, key string) (master *redis.Client, err error) {
	defer backend.Recover(&err) // the user's own ClusterSlots, for instance
	return cluster.MasterForKey(ctx, key)
}
