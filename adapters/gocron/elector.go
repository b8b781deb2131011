package gocronlock

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/go-co-op/gocron/v2"

	"example.com/redislock"
)

// Elector is gocron's Elector, for gocron.WithDistributedElector: of all instances with an Elector of the same name one
// leads, and runs the jobs. It stands for election in the background until it is closed.
type Elector struct {
	name  string
	stand context.CancelFunc             // ends it
	over  chan struct{}                  // closed when it has resigned
	err   error                          // why it stands no more, then
	term  atomic.Pointer[redislock.Lock] // the last one
}

var _ gocron.Elector = (*Elector)(nil)

// NewElector stands for election under that name; the options are those of [redislock.Client.Election], such as
// [redislock.WithLease], which says how long the others wait for a leader that died. Close it after the scheduler was
// shut down, or else it stands until the Client is closed.
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

// IsLeader is called by gocron when a job fires: nil if this instance leads. It asks nobody: the leader knows until when
// nobody else can lead, by its own clock. Otherwise the error is a [redislock.ErrNotHeld], or what keeps this instance
// from standing at all, such as an option that cannot work or [redislock.ErrClosed].
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

// Task is a function for gocron.NewTask, without parameters, that runs fn while this instance leads: its context ends
// with gocron's, and when another may lead; [redislock.FromContext] finds the lock, whose fence goes along with what fn
// writes. The error is fn's, with [redislock.ErrLost] if the leadership was lost. If this instance does not lead when it
// is called, fn does not run; the error is that of [Elector.IsLeader].
func (e *Elector) Task(fn func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		lock, err := e.leading()
		if err != nil {
			return err
		}
		ctx, end := context.WithCancel(ctx) // or else what ties it to the lock would stay as long as the leadership
		defer end()
		return withLoss(fn(lock.With(ctx)), lock)
	}
}

// Close resigns, and returns when that is done, or with the error of ctx; then it goes on in the background. What jobs
// still do is not waited for: shut the scheduler down before. A second Close waits likewise.
func (e *Elector) Close(ctx context.Context) error {
	e.stand()
	select {
	case <-e.over:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("redislock: elect %q: close: %w", e.name, ctx.Err())
	}
}
