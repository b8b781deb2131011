package redislock

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/backend"
)

// All commands leave by process and pipelined, whichever goroutine sends them. A panic of the user's client, or of a hook
// of it, is an error of the commands: a goroutine of the library must not end the process, since nobody can recover there.

// processor is a client, or one connection of it.
type processor interface {
	Process(ctx context.Context, cmd redis.Cmder) error
	Pipeline() redis.Pipeliner
}

// process sends one command. What came of it is in the command.
func process(ctx context.Context, by processor, cmd command) {
	if err := processed(ctx, by, cmd); err != nil {
		cmd.SetErr(err)
	}
}

func processed(ctx context.Context, by processor, cmd command) (err error) {
	defer backend.Recover(&err)
	return by.Process(ctx, cmd)
}

// pipelined sends commands in one pipeline. What came of each is in the command; the error is that of the first that failed.
func pipelined(ctx context.Context, by processor, cmds []command) error {
	err := executed(ctx, by, cmds)
	if errors.Is(err, backend.ErrPanic) { // which of them were sent, and what the server said, is not known
		for _, cmd := range cmds {
			cmd.SetErr(err)
		}
	}
	return err
}

func executed(ctx context.Context, by processor, cmds []command) (err error) {
	defer backend.Recover(&err)
	pipe := by.Pipeline()
	for _, cmd := range cmds {
		_ = pipe.Process(ctx, cmd) // it is only put into the pipeline
	}
	_, err = pipe.Exec(ctx)
	return err
}

// masterOf is the master that serves a key.
func masterOf(ctx context.Context, cluster *redis.ClusterClient, key string) (master *redis.Client, err error) {
	defer backend.Recover(&err) // the user's own ClusterSlots, for instance
	return cluster.MasterForKey(ctx, key)
}
