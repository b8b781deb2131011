package redislock

import (
	"context"
	"time"
)

const (
	// giveUpPatience is how long an acquire that failed waits for its own traces to be gone before it returns; they
	// go in the background otherwise.
	giveUpPatience = 250 * time.Millisecond
	// giveUpTime is how long that is tried: the life of a tombstone.
	giveUpTime = time.Minute
)

// vacate gives up the hold of a token, with one request and its resends, and reports whether there was one.
func (c *Client) vacate(ctx context.Context, key, token string, bury bool) (bool, error) {
	a := c.ask(ctx, nil, scriptRelease, key, releaseArgs(token, bury)...)
	if a.err != nil {
		return false, a.err
	}
	what, more, err := parseRelease(a.value)
	if more {
		c.giveUp(key, token, false)
	}
	// An attempt that had no answer may have been the one that found the hold; it was sent within the bound.
	return what == "hold" || what == "none" && a.unanswered, err
}

// giveBack is a release in the background: of a wait that was cancelled, a hold that was lost, or a late grant.
type giveBack struct {
	client  *Client
	key     string
	token   string
	bury    bool
	until   time.Time
	attempt int
	task    task
	done    chan struct{}
}

// giveUp gives up whatever a token has on the server, until it is answered, for a minute at the most. With bury it
// leaves a tombstone against late copies. It returns at once; the channel closes when it is through.
func (c *Client) giveUp(key, token string, bury bool) <-chan struct{} {
	g := &giveBack{client: c, key: key, token: token, bury: bury, until: time.Now().Add(giveUpTime), done: make(chan struct{})}
	g.task = task{index: -1, run: func() { go g.try() }}
	c.background.add()
	go g.try()
	return g.done
}

func (g *giveBack) try() {
	c := g.client
	for {
		one := &call{script: scriptRelease, key: g.key, args: releaseArgs(g.token, g.bury)}
		c.executor(g.key).do(context.Background(), one)
		if err := one.answer.err; err != nil {
			g.attempt++
			if resendable(err) && time.Now().Before(g.until) && !c.isStopped() {
				g.bury = g.bury || one.answer.unanswered
				c.agenda.set(&g.task, time.Now().Add(backoff(g.attempt)))
				return
			}
			break
		}
		if _, more, _ := parseRelease(one.answer.value); !more {
			break
		}
		g.bury = false // it is laid, or not needed
	}
	close(g.done)
	c.background.done()
}

func releaseArgs(token string, bury bool) []any {
	if bury {
		return []any{token, "bury"}
	}
	return []any{token}
}

// parseRelease reads what was given up, and whether places remain to be looked through.
func parseRelease(value any) (what string, more bool, err error) {
	if n, ok := value.(int64); ok && n == 1 {
		return "hold", false, nil
	}
	f, err := fieldsOf(value)
	if err != nil {
		return "", false, err
	}
	what, more = f.text(0), f.int(1) > 0
	return what, more, f.err
}

func (c *Client) isStopped() bool {
	select {
	case <-c.stopped:
		return true
	default:
		return false
	}
}

// outgoing is a call of the renewal lane, and who takes its answer.
type outgoing struct {
	call *call
	then func(answer)
}

// send puts a call into the next pipeline of the renewal lane; only tasks of the agenda use it.
func (c *Client) send(one *call, then func(answer)) {
	c.outbox = append(c.outbox, outgoing{one, then})
}

// flush sends what the tasks that were due together collected. Each pipeline has a goroutine of its own while it is
// under way, so that a stuck connection delays none after it.
func (c *Client) flush() {
	for len(c.outbox) > 0 {
		n := min(len(c.outbox), maxBatch)
		batch := c.outbox[:n:n]
		c.outbox = c.outbox[n:]
		c.background.add()
		go func() {
			defer c.background.done()
			calls := make([]*call, len(batch))
			for i, o := range batch {
				calls[i] = o.call
			}
			c.single.send(calls)
			for _, o := range batch {
				o.then(o.call.answer)
			}
		}()
	}
	c.outbox = nil
}
