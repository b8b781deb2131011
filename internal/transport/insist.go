package transport

import (
	"context"
	"sync"
	"time"

	"example.com/redislock/lua"
)

// insistent is a request without a waiting caller that is sent until it is answered. It has no goroutine of its own: it leaves
// with other requests, and those that had no answer are tried again together. If there are many, as after an outage in which many
// locks were lost, at most two pipelines full of them are under way to one master. The others wait for their turn: renewals and
// callers need the other connections.
type insistent struct {
	transport *Transport
	executor  *executor // of the present attempt
	script    *lua.Script
	key       string
	args      []any
	more      func(any) bool
	until     time.Time
	attempts  int
	done      chan struct{}
}

// unanswered are the insistent requests that had no answer, by how often they were tried: those of one number are tried again
// together, so that what has failed for long holds up nothing else.
type unanswered struct {
	mu    sync.Mutex
	tried map[int][]*insistent
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

// maxInsistent is how many of them are under way to one master.
const maxInsistent = 2 * maxBatch

// send has the request leave when it is its turn. It does not wait for the answer.
func (i *insistent) send() {
	x := i.transport.Executor(i.key)
	i.executor = x
	x.mu.Lock()
	x.insistents = append(x.insistents, i)
	x.mu.Unlock()
	x.sendInsistents(0)
}

// sendInsistents sends the next insistent requests. ended is how many have been answered just now. As long as more than half are
// under way, the others wait, so that they leave together.
func (x *executor) sendInsistents(ended int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.insisting -= ended
	if ended > 0 && x.insisting > maxInsistent/2 {
		return
	}
	for len(x.insistents) > 0 && x.insisting < maxInsistent {
		i := x.insistents[0]
		x.insistents[0] = nil
		if x.insistents = x.insistents[1:]; len(x.insistents) == 0 {
			x.insistents = nil
		}
		if i.attempts > 0 && i.over() {
			i.finish()
			continue
		}
		x.insisting++
		x.mu.Unlock()
		i.attempt()
		x.mu.Lock()
	}
}

// attempt sends the request once.
func (i *insistent) attempt() {
	i.attempts++
	one := NewCall(i.script, i.key, i.args...)
	one.abandon(i.answered)
	i.executor.leave(one)
}

// over reports whether the request is not to be sent again.
func (i *insistent) over() bool {
	return i.transport.IsOrphaned() || i.transport.isEnding() || time.Now().After(i.until)
}

// answered takes the result of an attempt.
func (i *insistent) answered(a Answer) {
	defer i.executor.sendInsistents(1)
	switch {
	case a.Err == nil && i.more(a.Value):
		i.send()
	case a.Err == nil, Permanent(a.Err), i.over():
		i.finish()
	default:
		i.transport.again(i)
	}
}

func (i *insistent) finish() {
	close(i.done)
	i.transport.background.Done()
}

// again has a request that had no answer tried again after a pause.
func (t *Transport) again(i *insistent) {
	u, tried := &t.unanswered, min(i.attempts, slowest)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.tried == nil {
		u.tried = map[int][]*insistent{}
	}
	u.tried[tried] = append(u.tried[tried], i)
	if len(u.tried[tried]) == 1 {
		t.background.Add()
		go t.retry(tried)
	}
}

// slowest is from which attempt on the pauses do not grow any more.
const slowest = 8

// retry tries again, after their pause, all that were tried so often.
func (t *Transport) retry(tried int) {
	defer t.background.Done()
	t.pause(min(Backoff(tried), time.Second))
	u := &t.unanswered
	u.mu.Lock()
	all := u.tried[tried]
	delete(u.tried, tried)
	u.mu.Unlock()
	for _, i := range all {
		if t.isEnding() || t.IsOrphaned() {
			i.finish()
		} else {
			i.send()
		}
	}
}

// leave sends a call once and does not wait for it: its Late takes the result.
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
