package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
)

const (
	// reachTime is how long Redis may take for its first answer. If nothing comes back, not even a refusal, the resends of the
	// library go on for much longer.
	reachTime = 5 * time.Second
	// closeTime bounds how long the program stays for what is to be given back in the background.
	closeTime = 2 * time.Second
)

// errSilent is the error of a call that Redis has not answered in time.
var errSilent = fmt.Errorf("no answer within %v", reachTime)

// link is a Client of a Redis, and the name of that Redis in messages.
type link struct {
	client *redislock.Client
	rdb    redis.UniversalClient
	addr   string
	prefix string
	tls    bool
	// sentinel is whether the address is that of Sentinels.
	sentinel bool

	answered *atomic.Int64 // when Redis last did so, in Unix nanoseconds
}

// connect makes a Client. Nothing is sent yet; options that cannot work are a usage error.
func (s *server) connect(opts ...redislock.ClientOption) (*link, error) {
	rdb, addr, err := s.dial()
	if err != nil {
		return nil, err
	}
	client, err := redislock.New(rdb, append(opts, redislock.WithPrefix(s.prefix))...)
	if err != nil {
		_ = rdb.Close() // it was never used
		return nil, exitWith(exitUsage, "%s", inFlags(err))
	}
	answered := new(atomic.Int64)
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		cluster.OnNewNode(func(node *redis.Client) { node.AddHook(pulse{answered}) })
	} else {
		rdb.AddHook(pulse{answered})
	}
	return &link{client: client, rdb: rdb, addr: addr, prefix: s.prefix, tls: s.tls(), sentinel: s.master != "", answered: answered}, nil
}

// close waits at most closeTime for locks that are being given back.
func (l *link) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	_ = l.client.Close(ctx) // a lock that is not given back by then expires with its lease
	_ = l.rdb.Close()
}

// within has call ask Redis, for no longer than reachTime. Its error ends the program as it is.
func (l *link) within(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, reachTime, errSilent)
	defer cancel()
	return l.ended(ctx, call(ctx))
}

// ended is the error that ends the program, of a call under a context that errSilent may have ended.
func (l *link) ended(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(context.Cause(ctx), errSilent) && !refusedUs(err) {
		err = errSilent
	}
	return l.explain(err)
}

// refusedUs reports whether an error says why there was no answer: nobody listens there. That says more than that time is over.
func refusedUs(err error) bool {
	return errors.Is(err, errRefused) || errors.Is(err, syscall.ENOENT)
}

// probe takes a lock of that name and gives it back, before more is begun: it finds what is refused, or cannot be served.
func (l *link) probe(name string) error {
	return l.within(context.Background(), func(ctx context.Context) error {
		lock, err := l.client.Acquire(ctx, name)
		if err != nil {
			return err
		}
		return lock.Release(ctx)
	})
}

// failure is why one lock or job could not be looked at, while others could.
type failure struct {
	name string
	err  error // that ends the program, or would
}

func (f failure) Error() string { return visible(f.name) + ": " + f.err.Error() }

// failures reports each failure, and returns the error that ends the program; nil if there are none.
func (v voice) failures(all []failure) error {
	for _, f := range all {
		v.tell(message{Name: f.name}, "%v", f)
	}
	var e *exit
	if len(all) == 0 || !errors.As(all[0].err, &e) {
		return nil
	}
	return exitWith(e.status, "some locks could not be read; the messages above say which and why")
}

// list is what there is, also of many locks: it may take any time as long as Redis goes on answering. Locks that could not
// be looked at are told apart.
func (l *link) list(ctx context.Context, pattern string, wanted func(redislock.Info) bool) (infos []redislock.Info, failed []failure, err error) {
	ctx, stop := l.attended(ctx)
	defer stop()
	for info, err := range l.client.List(ctx, cmp.Or(pattern, "*")) {
		switch {
		case err != nil && info.Name == "":
			return nil, nil, l.ended(ctx, err)
		case err != nil:
			failed = append(failed, failure{info.Name, l.ended(ctx, err)})
		case wanted(info):
			infos = append(infos, info)
		}
	}
	return infos, failed, nil
}

// attended is a context that ends with errSilent when Redis has answered nothing for reachTime.
func (l *link) attended(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	began := time.Now()
	var look func()
	look = func() {
		left := reachTime - min(time.Since(began), time.Since(time.Unix(0, l.answered.Load())))
		switch {
		case ctx.Err() != nil:
		case left <= 0:
			cancel(errSilent)
		default:
			time.AfterFunc(left, look)
		}
	}
	look()
	return ctx, func() { cancel(nil) }
}

// pulse notes when Redis has answered.
type pulse struct{ at *atomic.Int64 }

func (p pulse) note(err error) error {
	var answer redis.Error
	if err == nil || errors.As(err, &answer) {
		p.at.Store(time.Now().UnixNano())
	}
	return err
}

func (p pulse) DialHook(next redis.DialHook) redis.DialHook { return next }

func (p pulse) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return p.note(next(ctx, cmd)) }
}

func (p pulse) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return p.note(next(ctx, cmds)) }
}

// reach sees whether Redis answers, in time. What it does not let us do is left to the first lock to find out, which
// names all of it.
func (l *link) reach(ctx context.Context, name string) error {
	bounded, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	switch _, err := l.client.Inspect(bounded, name); {
	case errors.Is(err, redislock.ErrPermission):
		return nil
	case bounded.Err() != nil && ctx.Err() == nil && err != nil && !refusedUs(err):
		return errSilent
	default:
		return err
	}
}

// dry says what is wrong with a call's options, without Redis: under a context that has ended it sends nothing, and its
// error is about nothing else that matters.
func (l *link) dry(call func(context.Context) error) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := call(ctx); errors.Is(err, redislock.ErrInvalid) {
		return l.explain(err)
	}
	return nil
}
