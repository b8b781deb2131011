package torture

import (
	"context"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// tap reads the answers to renewals, so that it is known until when the server keeps the hold of a process that dies.
type tap struct {
	renew string // the script's digest
	say   func(Event)
}

// DialHook changes nothing.
func (h *tap) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook reads single commands.
func (h *tap) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		h.hear(cmd)
		return err
	}
}

// ProcessPipelineHook reads pipelines.
func (h *tap) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			h.hear(cmd)
		}
		return err
	}
}

// hear reads a command: EVALSHA digest 1 key token fence …; the answer to a renewal is the server's time.
func (h *tap) hear(cmd redis.Cmder) {
	args := cmd.Args()
	c, ok := cmd.(interface{ Text() (string, error) }) // the library's own commands wrap *redis.Cmd
	if !ok || len(args) < 6 || args[1] != h.renew {
		return
	}
	answer, err := c.Text()
	if err != nil {
		return
	}
	key, _ := args[3].(string)
	fence, ok := args[5].(string)
	at, err := strconv.ParseInt(answer, 10, 64)
	if of, wrong := strconv.ParseInt(fence, 10, 64); ok && err == nil && wrong == nil && strings.HasSuffix(key, "}") {
		h.say(Event{Kind: Renewed, At: at, Fence: of, Name: key[strings.IndexByte(key, '{')+1 : len(key)-1]})
	}
}
