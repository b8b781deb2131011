package simulation_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	redisserver "github.com/alicebob/miniredis/v2/server"

	"example.com/redislock"
	"example.com/redislock/quorum"
)

// A quorum in the simulation: processes with a Client for each of three servers, sometimes five, and a Locker over them.

// befallQuorum lets a fault happen that exists only with several servers.
func (w *world) befallQuorum(f fault, s *server) {
	until := time.Now().Add(f.For)
	mute := func(p *process, s *server) { w.weather.until[link{p.number, s.number}] = until }
	switch f.Kind {
	case "mute": // for all nodes
		for _, p := range w.processes {
			mute(p, s)
		}
	case "divided": // some processes reach only a minority, the others all but that minority
		minority := func(of *server) bool {
			return (of.number-s.number+len(w.servers))%len(w.servers) < len(w.servers)/2
		}
		for _, p := range w.processes {
			for _, of := range w.servers {
				if minority(of) != (p.number%2 == f.Client%2) {
					mute(p, of)
				}
			}
		}
	case "flush": // as FLUSHALL does
		s.mini.FlushAll()
		s.listener.LostAll()
		w.checks.lost(s, "", true)
	}
}

// addr is the address of a server.
func (s *server) addr() string { return fmt.Sprintf("127.0.0.%d:6379", s.number+1) }

// called names a server in a text, if there are several.
func (s *server) called() string {
	if len(s.world.servers) == 1 {
		return ""
	}
	return fmt.Sprintf(" at node %d", s.number+1)
}

// tells answers the requests that the embedded server cannot: the run ID, how long the server is up, and whether it keeps everything.
func (s *server) tells(c *redisserver.Peer, command string, args []string) bool {
	switch {
	case command == "INFO" && slices.Equal(args, []string{"server"}):
		c.WriteBulk(fmt.Sprintf("# Server\r\nrun_id:run-%d-of-node-%d\r\nuptime_in_seconds:%d\r\n", s.run, s.number+1, int(s.now().Sub(s.began).Seconds())))
	case command == "CONFIG" && len(args) == 2 && strings.EqualFold(args[0], "GET"):
		c.WriteLen(4)
		policy := "everysec"
		if s.world.plan.Durable {
			policy = "always"
		}
		for _, text := range []string{"appendonly", "yes", "appendfsync", policy} {
			c.WriteBulk(text)
		}
	default:
		return false
	}
	return true
}

// join makes the Locker of a process.
func (p *process) join() {
	var err error
	if p.locker, err = quorum.New(p.clients, quorum.WithLongestLease(p.world.plan.Longest)); err != nil {
		panic(err)
	}
}

// handle is a held lock.
type handle interface {
	Name() string
	Context() context.Context
	Err() error
	Fence() int64
	Release(context.Context) error
}

// take takes a lock that nobody holds. If the clock went back and the hold is in the future, it lasts a lease from
// now.
func (p *process) take(ctx context.Context, name string) (handle, error) {
	if p.locker != nil {
		return p.locker.Acquire(ctx, name, redislock.WithLease(time.Second), redislock.WithWait(40*time.Second))
	}
	return p.client.Acquire(ctx, name, redislock.WithWait(40*time.Second))
}

// seeks reports whether an operation of a process may have votes for a name now, or had some a moment ago.
func (p *process) seeks(name string) bool {
	if !p.world.plan.quorum() {
		return false
	}
	for _, d := range p.world.doing {
		if d.process == p && d.Name == name {
			return true
		}
	}
	return time.Since(p.ended[name]) < settled
}

// performQuorum runs an operation on a quorum.
func (d *doing) performQuorum() error {
	q := d.locker
	switch d.Kind {
	case "acquire":
		return d.holdQuorum(q.Acquire(d.ctx, d.Name, d.quorumOptions()...))
	case "try":
		return d.holdQuorum(q.TryAcquire(d.ctx, d.Name, d.lease()))
	case "do", "panic", "nested":
		return d.answered(q.Do(d.ctx, d.Name, d.guardedQuorum, d.quorumOptions()...))
	case "inspect":
		_, err := q.Inspect(d.ctx, d.Name)
		return err
	case "close":
		ctx, cancel := context.WithTimeout(d.ctx, upTo(d.draw, time.Millisecond, 10*time.Second))
		defer cancel()
		some := d.clients
		if one := d.draw.IntN(2 * len(some)); one < len(some) { // the lock of one node
			some = some[one : one+1]
		}
		d.closed = true
		var err error
		for _, c := range some {
			err = c.Close(ctx)
		}
		return err
	}
	panic(d.Kind)
}

func (d *doing) lease() redislock.Option {
	return redislock.WithLease(upTo(d.draw, 100*time.Millisecond, d.world.plan.Longest))
}

// quorumOptions are options for a lock of a quorum.
func (d *doing) quorumOptions() []redislock.Option {
	opts := []redislock.Option{d.lease()}
	if d.draw.IntN(4) == 0 {
		d.wait = upTo(d.draw, time.Millisecond, 20*time.Second)
		opts = append(opts, redislock.WithWait(d.wait))
	}
	if d.draw.IntN(8) == 0 {
		opts = append(opts, redislock.WithStealAfter(upTo(d.draw, 100*time.Millisecond, 5*time.Second)))
	}
	if d.draw.IntN(8) == 0 {
		opts = append(opts, redislock.WithMaxHold(upTo(d.draw, 100*time.Millisecond, 5*time.Second)))
	}
	if d.draw.IntN(8) == 0 {
		opts = append(opts, redislock.WithoutRenewal())
	}
	return opts
}

// holdQuorum is the body of a lock that was acquired, and its end.
func (d *doing) holdQuorum(l *quorum.Lock, err error) error {
	if err != nil {
		return err
	}
	defer d.anyhow(l.Release)
	b := d.enterQuorum(l)
	d.work(b)
	d.leave(b)
	return d.release(b, l.Release)
}

func (d *doing) enterQuorum(l *quorum.Lock) *body {
	return d.world.checks.enter(&body{doing: d, name: l.Name(), class: "exclusive", weight: 1, ctx: l.Context(), err: l.Err, fence: l.Fence})
}

// guardedQuorum is a body of Do.
func (d *doing) guardedQuorum(ctx context.Context) error {
	if l, ok := quorum.FromContext(ctx); ok {
		return d.inside(ctx, d.enterQuorum(l), func() (handle, error) { return d.locker.Acquire(ctx, d.Name, d.lease()) })
	}
	return d.unguarded()
}
