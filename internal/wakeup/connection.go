package wakeup

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/backend"
	"example.com/redislock/internal/scheduler"
	"example.com/redislock/internal/transport"
)

// pingAfter is how long a subscription may be silent before it is asked whether it still lives; after as long again
// without an answer it is made anew. go-redis sends such pings but does not look for the answers.
const pingAfter = 5 * time.Second

// connection is one PubSub, until its network connection ends. go-redis would connect it anew by itself, and then the library
// would not know which messages were lost in between.
type connection struct {
	subscriber *Subscriber
	ps         *redis.PubSub
	broken     error           // why there is no ps
	ctx        context.Context // ends with the connection, and with it an attempt to connect
	leave      context.CancelFunc
	heard      atomic.Int64 // UnixNano of the last traffic
	watch      scheduler.Task

	mu        sync.Mutex
	connected bool // or it tried in vain
	over      bool
	asked     time.Time // when a ping was sent that has no answer yet; zero: none
}

func (h *Subscriber) newConnection(open func(context.Context) *redis.PubSub) *connection {
	f := &connection{subscriber: h}
	f.ctx, f.leave = context.WithCancel(context.Background())
	f.broken = backend.Guard(func() error {
		if f.ps = open(f.ctx); f.ps == nil {
			return errors.New("the Redis client does not subscribe")
		}
		return nil
	})
	f.watch = scheduler.Task{Job: scheduler.Func(f.ping)}
	return f
}

// connect makes the first subscription. go-redis holds its lock meanwhile, so who ends the connection then does not wait for
// that lock: it is closed here.
func (f *connection) connect(subscribe func() error) error {
	if f.broken != nil {
		return f.broken
	}
	err := backend.Guard(subscribe)
	f.mu.Lock()
	f.connected = true
	over := f.over
	f.mu.Unlock()
	if over {
		_ = f.ps.Close()
	}
	return err
}

// receive hands on what comes until the connection breaks, or until take has an error. The server's own errors are
// handed on too.
func (f *connection) receive(take func(message any) error) error {
	// After an error go-redis connects anew by itself, before it returns and with its lock held, so that neither Ping
	// nor Close gets through. A context that has ended does not disturb its reading, and has that fail at once.
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	f.heard.Store(time.Now().UnixNano())
	f.whileOpen(func() { f.subscriber.Scheduler.Set(&f.watch, time.Now().Add(pingAfter)) })
	for {
		message, err := f.ps.Receive(ended)
		if err != nil {
			if !transport.Answered(err) {
				return err
			}
			message = err
		}
		f.heard.Store(time.Now().UnixNano())
		if err := take(message); err != nil {
			return err
		}
	}
}

// whileOpen calls do unless the connection is over, and reports that. The connection does not end meanwhile.
func (f *connection) whileOpen(do func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.over {
		do()
	}
	return !f.over
}

// ping is the watch over a silent connection.
func (f *connection) ping() {
	of := f.subscriber
	heard := time.Unix(0, f.heard.Load())
	quiet := time.Since(heard) >= pingAfter/2
	dead := false
	open := f.whileOpen(func() {
		of.Scheduler.Set(&f.watch, time.Now().Add(pingAfter))
		if !heard.Before(f.asked) {
			f.asked = time.Time{}
		}
		dead = !f.asked.IsZero() // a whole pingAfter ago
		if quiet && !dead {
			f.asked = time.Now()
		}
	})
	if !open || !quiet {
		return
	}
	of.Background.Add()
	go func() { // both may block on the connection
		defer of.Background.Done()
		if dead {
			_ = f.ps.Close() // receive fails, and the subscription is made anew
			return
		}
		_ = f.ps.Ping(context.Background()) // a failed ping shows as silence
	}()
}

// close ends the connection.
func (f *connection) close() {
	f.mu.Lock()
	f.over = true
	connected := f.connected
	f.mu.Unlock()
	f.subscriber.Scheduler.Remove(&f.watch)
	f.leave()
	if connected {
		_ = f.ps.Close()
	}
}
