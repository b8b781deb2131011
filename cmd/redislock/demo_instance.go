package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"example.com/redislock"
)

const instanceCommand = "demo-instance"

// player is a process of the demo: it follows its orders one after the other.
type player struct {
	client *redislock.Client
	lock   *redislock.Lock // held at present

	mu  sync.Mutex
	out *json.Encoder
}

// newInstance is the command by which the demo starts this program as one of its processes.
func newInstance() *cobra.Command {
	var s server
	cmd := &cobra.Command{
		Use:    instanceCommand,
		Short:  "A process of the demo",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return perform(s, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	s.flags(cmd.Flags())
	return cmd
}

// perform follows the orders until they end, as they do when the demo is gone.
func perform(s server, orders io.Reader, reports io.Writer) error {
	p := &player{out: json.NewEncoder(reports)}
	// The observer may be told late, but what it is told was measured when the lock ended.
	l, err := s.connect(redislock.WithObserver(redislock.ObserverFunc(func(e redislock.Event) {
		if e.Kind == redislock.EventLost || e.Kind == redislock.EventStolen {
			p.report(report{What: "ended", Fence: e.Fence, Held: e.Held, Lost: e.Err.Error(), Stolen: e.Kind == redislock.EventStolen})
		}
	})))
	if err != nil {
		return err
	}
	defer l.close()
	p.client = l.client

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	next := make(chan order)
	go func() {
		defer cancel() // whatever it is doing
		for lines := json.NewDecoder(orders); ; {
			var o order
			if lines.Decode(&o) != nil {
				return
			}
			select {
			case next <- o:
			case <-ctx.Done():
				return
			}
		}
	}()
	p.report(report{What: "ready"})
	for {
		select {
		case o := <-next:
			if err := p.follow(ctx, o); err != nil {
				p.report(report{What: "failed", Err: err.Error()})
			}
		case <-ctx.Done():
			if p.lock != nil {
				_ = p.lock.Release(ctx) // otherwise it expires with its lease
			}
			return nil
		}
	}
}

func (p *player) report(r report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.out.Encode(r) // without the demo there is nobody to tell
}

func (p *player) follow(ctx context.Context, o order) error {
	if err := sleepUntil(ctx, o.At); err != nil {
		return err
	}
	switch o.Do {
	case "count":
		return p.count(ctx, o)
	case "hold":
		return p.hold(ctx, o)
	case "write":
		return p.write(o)
	case "release":
		err := p.lock.Release(ctx)
		p.lock = nil
		if err == nil {
			p.report(report{What: "released"})
		}
		return err
	case "offer":
		return p.offer(ctx, o)
	}
	return errors.New("unknown order " + strconv.Quote(o.Do))
}

// count adds to the number in a file: it reads it, pauses, and writes it. Two who do so at the same time lose one of
// their additions, and see it half written.
func (p *player) count(ctx context.Context, o order) error {
	add := func() error {
		text, err := os.ReadFile(o.File)
		if err != nil {
			return err
		}
		n, _ := strconv.Atoi(strings.TrimSpace(string(text))) // what cannot be read is lost, and will be missed
		time.Sleep(o.Pause)
		return os.WriteFile(o.File, []byte(strconv.Itoa(n+1)), 0o600)
	}
	for range o.Times {
		if o.Lock == "" {
			if err := add(); err != nil {
				return err
			}
			continue
		}
		lock, err := p.client.Acquire(ctx, o.Lock)
		if err != nil {
			return err
		}
		entered := time.Now()
		err = add()
		left := time.Now()
		if err := errors.Join(err, lock.Release(ctx)); err != nil {
			return err
		}
		p.report(report{What: "section", At: entered, Left: left, Fence: lock.Fence()})
	}
	p.report(report{What: "counted", Times: o.Times})
	return nil
}

// hold takes a lock and keeps it until it is told otherwise.
func (p *player) hold(ctx context.Context, o order) error {
	opts := []redislock.Option{redislock.WithLease(o.Lease)}
	if o.StealAfter > 0 {
		opts = append(opts, redislock.WithStealAfter(o.StealAfter))
	}
	asked := time.Now()
	lock, err := p.client.Acquire(ctx, o.Lock, opts...)
	if err != nil {
		return err
	}
	p.lock = lock
	p.report(report{What: "held", Asked: asked, At: time.Now(), Fence: lock.Fence()})
	return nil
}

// write sends its fence along, and writes whether its lock still lives or not: as a process does that was paused
// between looking at its lock and writing. What it would have seen is reported too.
func (p *player) write(o order) error {
	r := report{What: "written", Fence: p.lock.Fence()}
	if err := p.lock.Err(); err != nil {
		r.Lost = err.Error()
	}
	r.Over = p.lock.Context().Err() != nil
	var err error
	r.Taken, r.Greatest, err = register{o.File}.write(p.lock.Fence())
	p.report(r)
	return err
}

// offer asks at set times, the same for all, whether it is the first to do a job, and does it if so.
func (p *player) offer(ctx context.Context, o order) error {
	f, err := os.OpenFile(o.File, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	ran := 0
	for n := range o.Times {
		if err := sleepUntil(ctx, o.At.Add(time.Duration(n)*o.Pause)); err != nil {
			return err
		}
		job := filepath.Join(o.Lock, strconv.Itoa(n))
		first, err := p.client.First(ctx, job, time.Minute)
		if err != nil {
			return err
		}
		if first {
			ran++
			if _, err := f.WriteString(job + "\n"); err != nil { // one write: lines do not mix
				return err
			}
		}
	}
	p.report(report{What: "offered", Times: ran})
	return nil
}

func sleepUntil(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
