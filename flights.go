package redislock

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/singleflight"
)

// A key may be fetched and refreshed in the same group.
const fetchFlight, refreshFlight = "fetch ", "refresh "

// flights are the lookups and fetches under way in this process, one for each key.
type flights struct {
	group singleflight.Group

	mu  sync.Mutex
	all map[string]*flight
}

// flight is who waits for one of them.
type flight struct {
	callers int
	ctx     context.Context
	cancel  context.CancelFunc
}

// join has fn run for all who ask for the key at the same time. Its context has the values of who began it, and ends when
// all of them have gone.
func (f *flights) join(ctx context.Context, key string, fn func(context.Context) (string, error)) (string, error) {
	f.mu.Lock()
	here := f.all[key]
	if here == nil {
		here = &flight{}
		here.ctx, here.cancel = context.WithCancel(context.WithoutCancel(ctx))
		if f.all == nil {
			f.all = map[string]*flight{}
		}
		f.all[key] = here
	}
	here.callers++
	result := f.group.DoChan(fetchFlight+key, func() (any, error) {
		defer f.end(key, here)
		return fn(here.ctx)
	})
	f.mu.Unlock()
	defer f.leave(key, here)

	select {
	case r := <-result:
		text, _ := r.Val.(string)
		return text, r.Err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// alone is join without anybody else.
func alone(ctx context.Context, _ string, fn func(context.Context) (string, error)) (string, error) {
	return fn(ctx)
}

// leave ends a flight that nobody waits for any more.
func (f *flights) leave(key string, here *flight) {
	f.mu.Lock()
	here.callers--
	last := here.callers == 0
	f.mu.Unlock()
	if last {
		here.cancel()
		f.end(key, here)
	}
}

// end takes a flight off the board: who comes from now on begins another.
func (f *flights) end(key string, here *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all[key] == here {
		delete(f.all, key)
		f.group.Forget(fetchFlight + key)
	}
}

// forget ends whatever flight there is, for those who come from now on.
func (f *flights) forget(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, key)
	f.group.Forget(fetchFlight + key)
}

// guarded runs fn so that a panic, or the end of its goroutine, is an error: others wait for what comes of it.
func guarded(ctx context.Context, fn func(context.Context) (string, error)) (text string, err error) {
	err = errors.New("the fetch ended its goroutine")
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				err = &panicked{p}
			}
		}()
		text, err = fn(ctx)
	}()
	<-done
	return text, err
}

// panicked is a panic of a fetch, on its way to those who wait for it.
type panicked struct{ value any }

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }
