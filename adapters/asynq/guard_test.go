package asynqlock_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"example.com/redislock"
	asynqlock "example.com/redislock/adapters/asynq"
	"example.com/redislock/redislocktest"
)

func TestWithoutTheLockNoHandlerRuns(t *testing.T) {
	t.Parallel()
	server := redislocktest.New(t)
	down := redislocktest.New(t)
	down.Miniredis.SetError("LOADING the data is not there yet")
	key := func(name string) func(*asynq.Task) string { return func(*asynq.Task) string { return name } }

	for name, test := range map[string]struct {
		client *redislock.Client
		key    func(*asynq.Task) string
		opts   []asynqlock.Option
		err    error // nil: the network's own
	}{
		"a nil Client":              {nil, key("k"), nil, redislock.ErrInvalid},
		"a nil Option":              {server.Client, key("k"), []asynqlock.Option{nil}, redislock.ErrInvalid},
		"a negative wait":           {server.Client, key("k"), []asynqlock.Option{asynqlock.WithWait(-1)}, redislock.ErrInvalid},
		"an empty key":              {server.Client, key(""), nil, redislock.ErrInvalid},
		"a key that is too long":    {server.Client, key(strings.Repeat("k", redislock.MaxName+1)), nil, redislock.ErrInvalid},
		"a nil option of the lock":  {server.Client, key("k"), []asynqlock.Option{asynqlock.WithLock(nil)}, redislock.ErrInvalid},
		"a wrong one":               {server.Client, key("k"), []asynqlock.Option{asynqlock.WithLock(redislock.WithLease(0))}, redislock.ErrInvalid},
		"one that weakens the lock": {server.Client, key("k"), []asynqlock.Option{asynqlock.WithLock(redislock.WithFailOpen())}, redislock.ErrInvalid},
		"a Redis that refuses":      {down.Client, key("k"), []asynqlock.Option{asynqlock.WithDrop()}, nil},
	} {
		for form, middleware := range map[string]asynq.MiddlewareFunc{
			"Unique": asynqlock.Unique(test.client, test.key, test.opts...),
			"Once":   asynqlock.Once(test.client, time.Hour, test.key, test.opts...),
		} {
			t.Run(form+" with "+name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := middleware(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
					t.Error("it ran")
					return nil
				})).ProcessTask(ctx, asynq.NewTask("work", nil))
				if err == nil || !asynqlock.IsFailure(err) || test.err != nil && !errors.Is(err, test.err) {
					t.Errorf("error %v", err)
				}
			})
		}
	}
	if err := asynqlock.Once(server.Client, 0, key("k"))(asynq.NotFoundHandler()).ProcessTask(t.Context(), asynq.NewTask("work", nil)); !errors.Is(err, redislock.ErrInvalid) {
		t.Errorf("no window: %v", err)
	}
}

func TestATaskThatIsCancelledWhileItWaitsIsNotDropped(t *testing.T) {
	t.Parallel()
	server := redislocktest.New(t)
	lock, err := server.Client.Acquire(t.Context(), "cache")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release(context.Background())

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answer := make(chan error, 1)
	wait := unique(asynqlock.WithDrop(), asynqlock.WithWait(time.Hour))(server.NewClient())
	go func() {
		answer <- wait(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })).
			ProcessTask(ctx, asynq.NewTask("work", []byte("cache")))
	}()
	eventually(t, "it waits", func() bool {
		info, err := server.Client.Inspect(t.Context(), "cache")
		return err == nil && info.Waiting == 1
	})
	cancel()
	if err := arrives(t, "it gives up", answer); !errors.Is(err, context.Canceled) || errors.Is(err, asynqlock.ErrBusy) {
		t.Errorf("error %v", err)
	}
}

// If the handler cannot get another lock, that is an error of the handler, and no ErrBusy.
func TestWhatTheHandlerCouldNotGetIsAFailure(t *testing.T) {
	t.Parallel()
	server := redislocktest.New(t)
	other := server.NewClient()
	lock, err := other.Acquire(t.Context(), "account")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release(context.Background())

	handle := asynq.HandlerFunc(func(ctx context.Context, _ *asynq.Task) error {
		return server.Client.Do(ctx, "account", func(context.Context) error { return nil }, redislock.WithWait(0))
	})
	err = unique(asynqlock.WithDrop())(server.Client)(handle).ProcessTask(t.Context(), asynq.NewTask("work", []byte("invoice/42")))
	if !errors.Is(err, redislock.ErrHeld) || !asynqlock.IsFailure(err) {
		t.Errorf("error %v", err)
	}
}

func TestABusyTaskComesBackAfterItsOwnDelay(t *testing.T) {
	t.Parallel()
	delay := asynqlock.RetryDelay(4*time.Second, func(n int, _ error, _ *asynq.Task) time.Duration { return time.Duration(n) * time.Hour })
	seen := map[bool]bool{}
	for range 1000 {
		d := delay(2, asynqlock.ErrBusy, nil)
		if d < 4*time.Second || d > 6*time.Second {
			t.Fatalf("busy: %v", d)
		}
		seen[d > 5*time.Second] = true
	}
	if len(seen) != 2 {
		t.Error("it is not spread")
	}
	if d := delay(2, errors.New("failed"), nil); d != 2*time.Hour {
		t.Errorf("failed: %v", d)
	}
	if d := asynqlock.RetryDelay(0, nil)(0, errors.New("failed"), nil); d < 15*time.Second {
		t.Errorf("asynq's own: %v", d)
	}
	if asynqlock.IsFailure(nil) {
		t.Error("no error is a failure")
	}
}

func TestThePayloadIsTheKeyUnlessAnotherIsGiven(t *testing.T) {
	t.Parallel()
	server := redislocktest.New(t)
	keys := map[string]bool{}
	for _, task := range []*asynq.Task{
		asynq.NewTask("mail", []byte("1")),
		asynq.NewTask("mail", []byte("1")),
		asynq.NewTask("mail", []byte("2")),
		asynq.NewTask("invoice", []byte("1")),
		asynq.NewTask("invoice", nil),
	} {
		err := asynqlock.Unique(server.Client, nil)(asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
			lock, ok := redislock.FromContext(ctx)
			if !ok || lock.Name() != asynqlock.ByPayload(task) {
				return errors.New("the lock is not " + asynqlock.ByPayload(task))
			}
			keys[lock.Name()] = true
			return nil
		})).ProcessTask(t.Context(), task)
		if err != nil {
			t.Error(err)
		}
	}
	if len(keys) != 4 {
		t.Errorf("4 kinds of work, keys %v", keys)
	}
}
