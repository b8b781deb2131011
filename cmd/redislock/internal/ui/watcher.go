package ui

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock"
)

const (
	// After a sweep comes a pause of minPause, or of restFactor times what the sweep took if that is longer: so Redis is
	// busy with us for a sixth of its time at most.
	minPause   = time.Second
	restFactor = 5
	// silence is how long Redis may say nothing within a sweep.
	silence = 5 * time.Second
	// batch is how many locks are taken in at once; the mutex is free in between.
	batch = 200
	// healthPause is between two examinations of the server, healthTime bounds one.
	healthPause = time.Minute
	healthTime  = 30 * time.Second
	// maxJobs is how many cron jobs are shown.
	maxJobs = 2000
)

// watch sweeps until ctx ends.
func (h *hub) watch(ctx context.Context) {
	h.reopen()
	for ctx.Err() == nil {
		begun := time.Now()
		left, err := h.sweep(ctx)
		if err == nil {
			err = h.cron(ctx)
		}
		took := time.Since(begun)
		pause := max(minPause, restFactor*took)
		if err != nil { // it is waiting, not work, that took long
			pause = minPause
		}
		h.mu.Lock()
		if ctx.Err() != nil { // nobody looks any more, or others do by now
			h.mu.Unlock()
			return
		}
		st := &h.status
		st.TookMS, st.PauseMS, st.Error = took.Milliseconds(), pause.Milliseconds(), ""
		if err == nil {
			st.Now, st.Sweeps, st.Locks, st.LeftOut = millis(h.now), st.Sweeps+1, len(h.rows)+left, left
			prune(h.histories, h.now, func(id string) bool { return h.rows[id] != nil || h.looked[id] != nil })
		} else {
			st.Error = h.config.Explain(err)
		}
		h.tell(func(s *stream) { s.status = true })
		h.mu.Unlock()
		rest(ctx, pause)
	}
}

// reopen notes, when watching goes on after a while without any browser, that nobody looked meanwhile.
func (h *hub) reopen() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.now.IsZero() {
		return
	}
	h.blind = append(h.blind, [2]int64{millis(h.now), 0}) // it ends with the first look
	if len(h.blind) > maxOfLock {
		h.blind = h.blind[1:]
	}
}

// sees ends the time when nobody looked, and forgets it if it was no longer than from one sweep to the next.
func (h *hub) sees(now time.Time) {
	n := len(h.blind)
	if n == 0 || h.blind[n-1][1] != 0 {
		return
	}
	if h.blind[n-1][1] = millis(now); h.blind[n-1][1]-h.blind[n-1][0] < 3*minPause.Milliseconds() {
		h.blind = h.blind[:n-1]
	}
}

// sweep takes in every lock once. Those that it has not met are gone.
func (h *hub) sweep(ctx context.Context) (left int, err error) {
	bounded, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := time.AfterFunc(silence, func() { cancel(fmt.Errorf("no answer within %v", silence)) })
	defer patience.Stop()

	met := map[string]bool{}
	infos := make([]redislock.Info, 0, batch)
	take := func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		for _, info := range infos {
			if h.began.IsZero() {
				h.began = info.Now
			}
			h.sees(info.Now)
			h.see(info)
		}
		infos = infos[:0]
	}
	for info, err := range h.config.Client.List(bounded, "*") {
		if err != nil {
			if cause := context.Cause(bounded); cause != nil && !errors.Is(cause, context.Canceled) {
				err = cause
			}
			return 0, err
		}
		patience.Reset(silence)
		id, idle := idOf(info.Name), info.Holders == 0 && info.Waiting == 0
		if len(met) >= maxLocks && !met[id] || len(met) >= maxLocks*9/10 && idle { // the last tenth is for those in use
			left++
			continue
		}
		met[id] = true
		if infos = append(infos, info); len(infos) == batch {
			take()
		}
	}
	take()
	if err := bounded.Err(); err != nil {
		return 0, context.Cause(bounded)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	for id, l := range h.histories { // those of all rows are among them, and of locks that went while nobody looked
		if (h.rows[id] != nil || l.last.busy()) && !met[id] && h.looked[id] == nil { // what is looked at, its own watch knows better
			h.gone(id)
		}
	}
	return left, nil
}

// cron takes in the jobs.
func (h *hub) cron(ctx context.Context) error {
	bounded, cancel := context.WithTimeoutCause(ctx, 2*silence, fmt.Errorf("no answer within %v", 2*silence))
	defer cancel()
	jobs := []job{}
	for s, err := range h.config.Client.CronJobs(bounded) {
		if err != nil {
			if bounded.Err() != nil {
				return context.Cause(bounded)
			}
			return err
		}
		if jobs = append(jobs, jobOf(s)); len(jobs) == maxJobs {
			break
		}
	}
	h.set(ctx, &h.jobs, encode(sortedJobs(jobs)), func(s *stream) { s.jobs = true })
	return nil
}

// examine has the server examined now and then until ctx ends.
func (h *hub) examine(ctx context.Context) {
	for ctx.Err() == nil {
		bounded, cancel := context.WithTimeout(ctx, healthTime)
		report := h.config.Health(bounded)
		cancel()
		if ctx.Err() != nil {
			return
		}
		h.set(ctx, &h.health, healthOf(report, time.Now()), func(s *stream) { s.health = true })
		rest(ctx, healthPause)
	}
}

// rest waits, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
