package redislock_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// ways are how a callback does not return.
var ways = map[string]func(){
	"panic":             func() { panic("of a callback") },
	"end the goroutine": runtime.Goexit,
}

// A lock that its caller does not get is given back, and Close does not wait for what a callback has cut short, whichever of its
// calls that was (I8).
func TestACallbackThatDoesNotReturnLeavesNothingBehind(t *testing.T) {
	callbacks := map[string]func(func()) redislock.ClientOption{
		"observer": func(step func()) redislock.ClientOption {
			return redislock.WithObserver(redislock.ObserverFunc(func(redislock.Event) { step() }))
		},
		"trace": func(step func()) redislock.ClientOption {
			return redislock.WithTrace(func(context.Context) string {
				step()
				return "trace"
			})
		},
	}
	for name, operation := range everything {
		for which, callback := range callbacks {
			for how, way := range ways {
				t.Run(fmt.Sprintf("%s, %s, %s", name, which, how), func(t *testing.T) {
					embedded(t, 0, func(e *env, _ *fakenet.Network) {
						for at, more := int32(1), true; more; at++ {
							var calls atomic.Int32
							c, err := redislock.New(e.connect(), callback(func() {
								if calls.Add(1) == at {
									way()
								}
							}))
							if err != nil {
								t.Fatal(err)
							}
							ended := make(chan struct{})
							go func() {
								defer close(ended)
								defer func() { _ = recover() }() // as net/http does
								_ = operation(context.Background(), e, c)
							}()
							<-ended
							more = calls.Load() >= at
							ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
							if err := c.Close(ctx); err != nil {
								t.Errorf("after call %d: %v", at, err)
							}
							cancel()
							time.Sleep(time.Second) // others end too
							for info, err := range e.client().List(context.Background(), "*") {
								if err != nil || !info.Idle() {
									t.Errorf("after call %d: %+v, %v", at, info, err)
								}
							}
							e.raw.FlushAll(context.Background())
						}
					})
				})
			}
		}
	}
}
