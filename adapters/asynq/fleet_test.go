package asynqlock_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"example.com/redislock"
	asynqlock "example.com/redislock/adapters/asynq"
	"example.com/redislock/internal/servertest"
)

const (
	patience = 30 * time.Second // for events that must come, on a busy machine
	queue    = "default"
)

// fleet is some asynq servers on a real Redis, each with a Client of its own, as the instances of an application have
// them, and the means by which the test watches them.
type fleet struct {
	t     *testing.T
	redis *servertest.Server // asynq's, and the locks' too unless the test says otherwise
	locks *servertest.Server

	asynq     *asynq.Client
	inspector *asynq.Inspector
	outside   *redislock.Client // an instance without workers

	mu     sync.Mutex
	errors []error
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, redis: servertest.Start(t)}
	f.locks = f.redis
	f.asynq = asynq.NewClientFromRedisClient(f.redis.Connect())
	f.inspector = asynq.NewInspectorFromRedisClient(f.redis.Connect())
	f.outside = f.client()
	return f
}

// client is the Client of one more instance.
func (f *fleet) client() *redislock.Client {
	f.t.Helper()
	client, err := redislock.New(f.locks.Connect())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := client.Close(ctx); err != nil {
			f.t.Errorf("a lock was not released: %v", err)
		}
	})
	return client
}

// serve starts one more server with four workers, which run handle behind the middleware.
func (f *fleet) serve(middleware func(*redislock.Client) asynq.MiddlewareFunc, handle asynq.HandlerFunc) *asynq.Server {
	f.t.Helper()
	mux := asynq.NewServeMux()
	mux.Use(middleware(f.client()))
	mux.Handle("work", handle)
	server := asynq.NewServerFromRedisClient(f.redis.Connect(), asynq.Config{
		Concurrency:              4,
		IsFailure:                asynqlock.IsFailure,
		RetryDelayFunc:           asynqlock.RetryDelay(0, func(int, error, *asynq.Task) time.Duration { return 0 }),
		TaskCheckInterval:        10 * time.Millisecond,
		DelayedTaskCheckInterval: 20 * time.Millisecond,
		ShutdownTimeout:          50 * time.Millisecond,
		ErrorHandler: asynq.ErrorHandlerFunc(func(_ context.Context, _ *asynq.Task, err error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.errors = append(f.errors, err)
		}),
		Logger: silent{},
	})
	if err := server.Start(mux); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(server.Shutdown)
	return server
}

// enqueue adds a task with that payload.
func (f *fleet) enqueue(payload string, opts ...asynq.Option) *asynq.TaskInfo {
	f.t.Helper()
	info, err := f.asynq.Enqueue(asynq.NewTask("work", []byte(payload)), opts...)
	if err != nil {
		f.t.Fatal(err)
	}
	return info
}

// told is what asynq was told of tasks that did not succeed.
func (f *fleet) told() []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.errors)
}

// count is how many of these errors were of a kind.
func (f *fleet) count(kind error) (n int) {
	for _, err := range f.told() {
		if errors.Is(err, kind) {
			n++
		}
	}
	return n
}

func (f *fleet) info() *asynq.QueueInfo {
	f.t.Helper()
	info, err := f.inspector.GetQueueInfo(queue)
	if err != nil {
		f.t.Fatal(err)
	}
	return info
}

func (f *fleet) task(id string) *asynq.TaskInfo {
	f.t.Helper()
	info, err := f.inspector.GetTaskInfo(queue, id)
	if err != nil {
		f.t.Fatal(err)
	}
	return info
}

// finished waits until asynq has nothing left to do.
func (f *fleet) finished() {
	f.t.Helper()
	eventually(f.t, "all tasks have ended", func() bool {
		i := f.info()
		return i.Active+i.Pending+i.Retry+i.Scheduled == 0
	})
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// arrives waits for a message.
func arrives[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("not within %v: %s", patience, what)
		panic("unreachable")
	}
}

// counter counts runs, and the most that there were at a time.
type counter struct{ now, most, all atomic.Int64 }

func (c *counter) enter() (run int64) {
	n := c.now.Add(1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	return c.all.Add(1)
}

func (c *counter) leave() { c.now.Add(-1) }

type silent struct{}

func (silent) Debug(...any) {}
func (silent) Info(...any)  {}
func (silent) Warn(...any)  {}
func (silent) Error(...any) {}
func (silent) Fatal(...any) {}

// unique and once are the middlewares as the tests use them: the payload is the key.
func unique(opts ...asynqlock.Option) func(*redislock.Client) asynq.MiddlewareFunc {
	return func(client *redislock.Client) asynq.MiddlewareFunc { return asynqlock.Unique(client, payload, opts...) }
}

func once(window time.Duration, key func(*asynq.Task) string, opts ...asynqlock.Option) func(*redislock.Client) asynq.MiddlewareFunc {
	return func(client *redislock.Client) asynq.MiddlewareFunc {
		return asynqlock.Once(client, window, key, opts...)
	}
}

func payload(t *asynq.Task) string { return string(t.Payload()) }
