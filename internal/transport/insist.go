package transport

import (
	"context"
	"sync"
	"time"

	"example.com/redislock/lua"
)

// insistent is a request that nobody waits for, and that is sent until it is answered. No goroutine is its own: it leaves with what
// else leaves, and those that had no answer are tried again together.
type insistent struct {
	transport *Transport
	script    *lua.Script
	key       string
	args      []any
	more      func(any) bool
	until     time.Time
	attempts  int
	done      chan struct{}
}

// unanswered are the insistent requests that are to be tried again.
type unanswered struct {
	mu      sync.Mutex
	all     []*insistent
	running bool // a goroutine tries them
}

// Insist sends a request in the background until it is answered, and until the answer is not that more is to be done,
// for a minute at the most. The channel closes when it is through.
func (t *Transport) Insist(s *lua.Script, key string, args []any, more func(any) bool) <-chan struct{} {
	i := &insistent{transport: t, script: s, key: key, args: args, more: more, until: time.Now().Add(GiveUpTime), done: make(chan struct{})}
	t.background.Add()
	if t.behind.Cluster != nil && !t.mapped.Load() { // to learn who serves the key may take long
		go i.send()
	} else {
		i.send()
	}
	return i.done
}

// send is an attempt. It does not wait for what comes of it.
func (i *insistent) send() {
	i.attempts++
	one := NewCall(i.script, i.key, i.args...)
	one.abandon(i.answered)
	i.transport.Executor(i.key).leave(one)
}

// answered takes what came of an attempt.
func (i *insistent) answered(a Answer) {
	switch t := i.transport; {
	case a.Err == nil && i.more(a.Value):
		i.send()
	case a.Err == nil, Permanent(a.Err), t.IsOrphaned(), t.isEnding(), time.Now().After(i.until):
		i.finish()
	default:
		t.again(i)
	}
}

func (i *insistent) finish() {
	close(i.done)
	i.transport.background.Done()
}

// again has a request that had no answer tried again after a pause.
func (t *Transport) again(i *insistent) {
	u := &t.unanswered
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all = append(u.all, i)
	if !u.running {
		u.running = true
		t.background.Add()
		go t.retry()
	}
}

// retry tries again what had no answer, until there is nothing left. The pause is that of the request which was tried least.
func (t *Transport) retry() {
	defer t.background.Done()
	u := &t.unanswered
	for {
		u.mu.Lock()
		attempts := 0
		for _, i := range u.all {
			if attempts == 0 || i.attempts < attempts {
				attempts = i.attempts
			}
		}
		if attempts == 0 {
			u.running = false
			u.mu.Unlock()
			return
		}
		u.mu.Unlock()
		t.pause(min(Backoff(attempts), time.Second))
		u.mu.Lock()
		all := u.all
		u.all = nil
		u.mu.Unlock()
		for _, i := range all {
			if t.isEnding() || t.IsOrphaned() {
				i.finish()
			} else {
				i.send()
			}
		}
	}
}

// leave sends a call once and does not wait for it: its Late takes what came of it.
func (x *executor) leave(c *Call) {
	if number, now, alone := x.admit(c); alone {
		x.background.Add()
		go func() {
			defer x.background.Done()
			defer x.wake(c) // also where a hook ends this goroutine
			x.sendAlone(context.Background(), c, number, now)
		}()
	}
}
