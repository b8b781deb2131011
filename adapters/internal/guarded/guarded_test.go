package guarded_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/adapters/internal/guarded"
	"example.com/redislock/redislocktest"
)

var (
	errNetwork = errors.New("connection refused")
	errWork    = errors.New("the work failed")
)

// says makes a Run that takes no lock. It calls the function if has is true, and returns the given error as that of
// the lock.
func says(has bool, lock error) guarded.Run {
	return func(ctx context.Context, _ string, fn func(context.Context) error, _ ...redislock.Option) error {
		if !has {
			return lock
		}
		return errors.Join(fn(ctx), lock)
	}
}

func TestOnlyALossSpoilsWorkThatSucceeded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		work, lock error
		want       []error
	}{
		"all is well":                        {nil, nil, nil},
		"no answer to the release":           {nil, errNetwork, nil},
		"lost":                               {nil, fmt.Errorf("%w: %w", redislock.ErrNotHeld, redislock.ErrLost), []error{redislock.ErrLost}},
		"not held when released":             {nil, redislock.ErrNotHeld, []error{redislock.ErrNotHeld}},
		"a nested handle was left":           {nil, redislock.ErrOrder, []error{redislock.ErrOrder}},
		"failed":                             {errWork, nil, []error{errWork}},
		"failed, and no answer":              {errWork, errNetwork, []error{errWork, errNetwork}},
		"another lock is held by somebody":   {&redislock.HeldError{}, nil, []error{redislock.ErrHeld}},
		"succeeded as the Client was closed": {nil, redislock.ErrClosed, nil},
	} {
		t.Run(name, func(t *testing.T) {
			task := guarded.New(says(true, test.lock), "key", "task 1", nil, func(context.Context) error { return test.work })
			task.Try(t.Context(), 0)
			if task.Held() || task.HeldByAnother() {
				t.Error("held, though it ran")
			}
			if len(test.want) == 0 && task.Err() != nil {
				t.Errorf("error %v", task.Err())
			}
			for _, want := range test.want {
				if !errors.Is(task.Err(), want) {
					t.Errorf("error %v, not %v", task.Err(), want)
				}
			}
		})
	}
}

func TestItIsKnownWhoHasTheKey(t *testing.T) {
	t.Parallel()
	mark := strings.Repeat("m", redislock.MaxMetadata)
	for name, test := range map[string]struct {
		lock          error
		held, another bool
	}{
		"another task":                  {&redislock.HeldError{Holder: redislock.Owner{Client: "api", Metadata: "task 2"}}, true, true},
		"another delivery of this one":  {&redislock.HeldError{Holder: redislock.Owner{Client: "api", Metadata: mark}}, true, false},
		"nobody knows":                  {&redislock.HeldError{}, true, false},
		"Redis is out of reach":         {errNetwork, false, false},
		"Redis does not answer in time": {context.DeadlineExceeded, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			task := guarded.New(says(false, fmt.Errorf("acquire: %w", test.lock)), "key", mark+" and more", nil, func(context.Context) error {
				t.Error("it ran")
				return nil
			})
			task.Try(t.Context(), 0)
			if task.Held() != test.held || task.HeldByAnother() != test.another || !errors.Is(task.Err(), test.lock) {
				t.Errorf("held %v, by another %v, error %v", task.Held(), task.HeldByAnother(), task.Err())
			}
		})
	}
}

func TestAWaitTooShortForAnAnswerLeavesTheKeyHeld(t *testing.T) {
	t.Parallel()
	answers := []error{&redislock.HeldError{Holder: redislock.Owner{Client: "api"}}, context.DeadlineExceeded, errNetwork}
	run := func(context.Context, string, func(context.Context) error, ...redislock.Option) error {
		answer := answers[0]
		answers = answers[1:]
		return answer
	}
	task := guarded.New(run, "key", "task 1", nil, func(context.Context) error { return nil })
	for _, held := range []bool{true, true, false} {
		task.Try(t.Context(), time.Microsecond)
		if task.Held() != held || errors.Is(task.Err(), redislock.ErrHeld) != held {
			t.Errorf("held %v, error %v", task.Held(), task.Err())
		}
	}
}

func TestATaskThatIsCancelledWhileItWaitsIsNotHeldUp(t *testing.T) {
	t.Parallel()
	server := redislocktest.New(t)
	lock, err := server.Client.Acquire(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release(context.Background())
	ctx, cancel := context.WithCancel(t.Context())
	observed := server.NewClient(redislock.WithObserver(redislock.ObserverFunc(func(e redislock.Event) {
		if e.Kind == redislock.EventQueued {
			cancel()
		}
	})))
	task := guarded.New(observed.Do, "key", "task 1", nil, func(context.Context) error { return nil })
	task.Try(ctx, time.Hour)
	if task.Held() || !errors.Is(task.Err(), context.Canceled) {
		t.Errorf("held %v, error %v", task.Held(), task.Err())
	}
}

func TestTheLockSaysWhichTaskHasIt(t *testing.T) {
	t.Parallel()
	server := redislocktest.New(t)
	for form, run := range map[string]guarded.Run{"Do": server.Client.Do, "Once": guarded.Once(server.Client, time.Hour)} {
		// What is given must not lose to what the caller appends to its own slice later.
		lock := append(make([]redislock.Option, 0, 4), redislock.WithMetadata("something else"), redislock.WithWait(time.Hour))
		task := guarded.New(run, "key/"+form, "task 1", lock, func(ctx context.Context) error {
			l, ok := redislock.FromContext(ctx)
			if !ok {
				return errors.New("no lock")
			}
			info, err := server.Client.Inspect(ctx, l.Name())
			if err != nil || len(info.Holds) != 1 || info.Holds[0].Owner.Metadata != "task 1" {
				return fmt.Errorf("%+v, %w", info, err)
			}
			return nil
		})
		task.Try(t.Context(), 0)
		if task.Err() != nil {
			t.Errorf("%s: %v", form, task.Err())
		}
	}
}

func TestWhatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	server := redislocktest.New(t)
	for _, err := range []error{guarded.Check(nil, 0), guarded.Check(server.Client, -1)} {
		if !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("error %v", err)
		}
	}
	if err := guarded.Check(server.Client, 0); err != nil {
		t.Error(err)
	}
}
