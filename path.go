package redislock

import (
	"context"
	"slices"
	"strings"
)

// The modes of a lock on a path. An intent is held on all that is above a path. An intent mode says that something below is read
// or written. It keeps out callers that want to write, or to read, the whole. Two intents stand beside each other.
var (
	pathRead        = NewMode("path-read", CompatibleWith("path-read", "path-read-below"))
	pathWrite       = NewMode("path-write")
	pathReadIntent  = NewMode("path-read-below", CompatibleWith("path-read", "path-read-below", "path-write-below"))
	pathWriteIntent = NewMode("path-write-below", CompatibleWith("path-read-below", "path-write-below"))
)

// AcquirePath locks a path such as "a/b/c", with all that is below it. It takes the locks "a" and "a/b" in an intent mode, and
// "a/b/c" for reading under [WithMode]([Read]), or else for writing, from the top down: all or none, as [Client.AcquireAll] does.
// So a writer of "a/b" excludes all callers that read or write "a/b" or anything below it, and those that read or write "a" as a
// whole. A writer of "a/x" is not excluded.
//
// A path has names with a slash between them. Empty names, as in "a//b", "/a" and "a/", are [ErrInvalid], and so is any mode but
// [Exclusive], [Write] and [Read], and a weight. The other options, the errors, and re-entry under a context are those of
// AcquireAll. [Locks.Fence] of the path is that of its own lock. [Client.Acquire] of "a/b" in [Exclusive] or [Write] waits for all who
// read or write below it.
func (c *Client) AcquirePath(ctx context.Context, path string, opts ...Option) (*Locks, error) {
	all, err := c.acquirePath(ctx, path, opts)
	return all, wrapOp("acquire path", path, err)
}

func (c *Client) acquirePath(ctx context.Context, path string, opts []Option) (*Locks, error) {
	if err := c.called(ctx); err != nil {
		return nil, err
	}
	s, err := c.settings(opts)
	if err != nil {
		return nil, err
	}
	here, above := pathWrite, pathWriteIntent
	switch {
	case s.weight != 1:
		return nil, invalid("WithWeight: a path is locked as a whole")
	case s.mode == Read:
		here, above = pathRead, pathReadIntent
	case s.mode != Exclusive && s.mode != Write:
		return nil, invalid("WithMode: a path is locked in Read or in Write, not in %v", s.mode)
	}
	var names []string
	for i, char := range path + "/" {
		if char != '/' {
			continue
		}
		if name := path[:i]; name == "" || strings.HasSuffix(name, "/") {
			return nil, invalid("the path has an empty name")
		}
		names = append(names, path[:i])
	}
	return c.acquireEach(ctx, "acquire", names, func(i int) []Option {
		mode := above
		if i == len(names)-1 {
			mode = here
		}
		return append(slices.Clip(opts), WithMode(mode))
	})
}
