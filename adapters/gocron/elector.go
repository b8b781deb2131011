package gocronlock

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/go-co-op/gocron/v2"

	"example.com/redislock"
)

// Elector is for gocron.WithDistributedElector. Of all instances that have an Elector of the same name one leads, and
// runs the jobs. An Elector campaigns in the background until it is closed.
type Elector struct {
	name  string
	stand context.CancelFunc             // ends the campaign
	over  chan struct{}                  // closed when the campaign has ended
	err   error                          // why the campaign ended; set before over is closed
	term  atomic.Pointer[redislock.Lock] // the lock of the last term
}

var _ gocron.Elector = (*Elector)(nil)

// NewElector begins to campaign under that name. The options are those of [redislock.Client.Election]. For example,
// [redislock.WithLease] sets how long the others wait after a leader died. Close the Elector after the scheduler was
// shut down; otherwise it campaigns until the Client is closed.
func NewElector(client *redislock.Client, name string, opts ...redislock.Option) *Elector {
	ctx, cancel := context.WithCancel(context.Background())
	e := &Elector{name: name, stand: cancel, over: make(chan struct{})}
	go func() {
		defer close(e.over)
		err := client.Election(name, opts...).Campaign(ctx, e.lead)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			e.err = fmt.Errorf("redislock: elect %q: %w", name, redislock.ErrClosed)
		default:
			e.err = err
		}
	}()
	return e
}

// lead is one term.
func (e *Elector) lead(ctx context.Context) error {
	lock, _ := redislock.FromContext(ctx)
	e.term.Store(lock)
	<-ctx.Done()
	return nil
}

// IsLeader is called by gocron when a job fires. It returns nil if this instance leads. It sends nothing: the leader
// knows by its own clock until when nobody else can lead. Otherwise the error is a [redislock.ErrNotHeld], or the reason
// why this instance does not campaign, such as an option that cannot work or [redislock.ErrClosed].
func (e *Elector) IsLeader(context.Context) error {
	_, err := e.leading()
	return err
}

func (e *Elector) leading() (*redislock.Lock, error) {
	if lock := e.term.Load(); lock != nil && lock.Err() == nil {
		return lock, nil
	}
	select {
	case <-e.over:
		if e.err != nil {
			return nil, e.err
		}
	default:
	}
	return nil, fmt.Errorf("redislock: elect %q: %w: this instance does not lead", e.name, redislock.ErrNotHeld)
}

// Task returns a function for gocron.NewTask that runs fn if this instance leads. The context of fn ends with gocron's,
// and before another can lead. [redislock.FromContext] finds the lock in it; send its fence with each write. The error
// is fn's, joined with [redislock.ErrLost] if the leadership was lost. If this instance does not lead, fn does not run,
// and the error is that of [Elector.IsLeader].
func (e *Elector) Task(fn func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		lock, err := e.leading()
		if err != nil {
			return err
		}
		ctx, end := context.WithCancel(ctx) // otherwise what lock.With sets up would stay until the leadership ends
		defer end()
		return withLoss(fn(lock.With(ctx)), lock)
	}
}

// Close ends the campaign and the leadership, and returns when that is done. If ctx ends first, its error is returned,
// and Close goes on in the background. Close does not wait for jobs that still run: shut the scheduler down before. A
// second Close waits too.
func (e *Elector) Close(ctx context.Context) error {
	e.stand()
	select {
	case <-e.over:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("redislock: elect %q: close: %w", e.name, ctx.Err())
	}
}
