package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// untold are the answers to a call that cannot be: each says so without anything having been sent.
var untold = []error{redislock.ErrInvalid, redislock.ErrNotHeld, redislock.ErrOrder, redislock.ErrClosed, redislock.ErrLost}

// plausible is an argument that could be right: what fails then is the context or the receiver.
func plausible(of reflect.Type) reflect.Value {
	switch of {
	case reflect.TypeFor[string]():
		return reflect.ValueOf("x")
	case reflect.TypeFor[[]string]():
		return reflect.ValueOf([]string{"x", "y"})
	case reflect.TypeFor[int]():
		return reflect.ValueOf(1)
	case reflect.TypeFor[time.Duration]():
		return reflect.ValueOf(time.Minute)
	case reflect.TypeFor[time.Time]():
		return reflect.ValueOf(time.Now())
	case reflect.TypeFor[redislock.Info]():
		return reflect.ValueOf(redislock.Info{Name: "x", Holders: 1, Holds: []redislock.Hold{{Fence: 1}}})
	case reflect.TypeFor[func(context.Context) error]():
		return reflect.ValueOf(func(context.Context) error { return errors.New("ran") })
	}
	return reflect.Zero(of)
}

// call calls a method without optional arguments, and uses what it returns as its caller would. The error is what it says,
// with how it panicked.
func call(t *testing.T, what string, method reflect.Value, ctx context.Context, argument func(reflect.Type) reflect.Value) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("%s panics: %v", what, p)
		}
	}()
	var args []reflect.Value
	in := method.Type().NumIn()
	if method.Type().IsVariadic() {
		in--
	}
	needs := false
	for i := range in {
		if method.Type().In(i) == reflect.TypeFor[context.Context]() {
			needs = true
			args = append(args, reflect.Zero(method.Type().In(i)))
			if ctx != nil {
				args[i] = reflect.ValueOf(ctx)
			}
			continue
		}
		args = append(args, argument(method.Type().In(i)))
	}
	for _, out := range method.Call(args) {
		switch result := out.Interface().(type) {
		case func(context.Context) error:
			told(t, what, result(ctx))
		case context.Context:
			if result.Err() == nil && needs {
				t.Errorf("%s: a context that goes on", what)
			}
		case iter.Seq2[redislock.Info, error]:
			for _, err := range result {
				told(t, what, err)
				break
			}
		case iter.Seq2[redislock.Leader, error]:
			for _, err := range result {
				told(t, what, err)
				break
			}
		case iter.Seq2[redislock.CronStatus, error]:
			for _, err := range result {
				told(t, what, err)
				break
			}
		case error:
			told(t, what, result)
		case nil:
			if out.Type() == reflect.TypeFor[error]() && needs {
				t.Errorf("%s: no error", what)
			}
		}
	}
}

func told(t *testing.T, what string, err error) {
	t.Helper()
	for _, want := range untold {
		if errors.Is(err, want) {
			return
		}
	}
	t.Errorf("%s: %v", what, err)
}

// each calls all methods of a value.
func each(t *testing.T, kind string, value any, ctx context.Context, argument func(reflect.Type) reflect.Value, but ...string) {
	t.Helper()
	v := reflect.ValueOf(value)
	for i := range v.NumMethod() {
		name := v.Type().Method(i).Name
		if !strings.Contains(" "+strings.Join(but, " ")+" ", " "+name+" ") {
			call(t, fmt.Sprintf("%s %T.%s", kind, value, name), v.Method(i), ctx, argument)
		}
	}
}

func TestNothingPanicsWithoutAContextOrOfAZeroValue(t *testing.T) {
	zeros := []any{
		&redislock.Client{}, &redislock.Lock{}, &redislock.Locks{}, &redislock.Lockable{}, &redislock.WeakLock{}, &redislock.CronGuard{},
		&redislock.Stripes{}, &redislock.Election{}, &redislock.HeldError{}, &redislock.SharedError{},
		(*redislock.Client)(nil), (*redislock.Lock)(nil), (*redislock.Locks)(nil), (*redislock.WeakLock)(nil),
		(*redislock.CronGuard)(nil), (*redislock.Stripes)(nil), (*redislock.Election)(nil),
	}
	values := []any{
		redislock.Mode{},
		redislock.Owner{},
		redislock.Info{},
		redislock.Hold{},
		redislock.Place{},
		redislock.CronStatus{},
		redislock.Leader{},
		redislock.Outcome(0), redislock.Outcome(255), redislock.Overlap(255), redislock.EventKind(0), redislock.EventKind(255),
		redislock.Event{},
	}
	for _, zero := range append(zeros, values...) {
		for _, ctx := range []context.Context{nil, context.Background()} {
			for _, argument := range []func(reflect.Type) reflect.Value{reflect.Zero, plausible} {
				each(t, "zero", zero, ctx, argument)
			}
		}
	}
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		ctx := context.Background()
		lock, err := c.Acquire(ctx, "lock")
		if err != nil {
			t.Fatal(err)
		}
		weak, err := c.AcquireWeak(ctx, "weak")
		if err != nil {
			t.Fatal(err)
		}
		locks, err := c.AcquireAll(ctx, []string{"a", "b"})
		if err != nil {
			t.Fatal(err)
		}
		for _, argument := range []func(reflect.Type) reflect.Value{reflect.Zero, plausible} {
			for _, live := range []any{c, c.Stripes("s", 2), c.Cron("job"), c.Election("e"), locks, lock, weak} {
				each(t, "live", live, nil, argument, "Close", "Locker", "Lock", "Handoff", "Asked", "Context")
			}
		}
		// What was refused has changed nothing.
		for what, err := range map[string]error{"lock": lock.Release(ctx), "weak lock": weak.Release(ctx), "locks": locks.Release(ctx)} {
			if err != nil {
				t.Errorf("the %s after it: %v", what, err)
			}
		}
	})
}
