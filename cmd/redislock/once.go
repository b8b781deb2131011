package main

import (
	"context"

	"example.com/redislock"
)

// doOnce has the command run to success once, wherever else it is started.
func (r *runner) doOnce(l *link, a *attempt) error {
	var opts []redislock.OnceOption
	for _, opt := range r.options() { // those of the Client are for the locks of its user
		opts = append(opts, opt)
	}
	if r.given("forget") {
		opts = append(opts, redislock.WithForget(r.forget))
	}
	once := func(ctx context.Context) error { return l.client.Once(ctx, r.name, a.body, opts...) }
	if err := l.dry(once); err != nil {
		return err
	}
	if err := l.reach(a.ctx, r.name); err != nil {
		return err
	}
	err := once(a.ctx)
	if err == nil && !a.started {
		r.voice.tell(message{Name: r.name}, "%q was done elsewhere, or before; the command was not run", r.name)
	}
	return err
}
