package ui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.com/redislock"
)

const (
	// After a sweep comes a pause of minPause, or of restFactor times what the sweep took if that is longer, but no more than perLock
	// for each lock: so Redis is busy with us for a sixth of its time at most. A sweep may take long because the machine is
	// busy; the work of Redis for a lock is about a fifth of perLock.
	minPause   = time.Second
	restFactor = 5
	perLock    = 100 * time.Microsecond
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
	var away time.Time // since when looks fail, by the clock of Redis
	for ctx.Err() == nil {
		begun := time.Now()
		if h.recorder.log != nil && !h.recorder.loaded { // what was before comes before what is
			bounded, cancel := context.WithTimeout(ctx, 2*silence)
			_ = h.readHistory(bounded) // record says so
			cancel()
		}
		before := h.time()
		left, err := h.sweep(ctx)
		swept := err == nil
		switch {
		case swept && !away.IsZero():
			h.back(away)
			away = time.Time{}
		case !swept && away.IsZero() && !errors.Is(err, redislock.ErrPermission):
			away = before
		}
		var unkept error // why the history is not kept; what is shown is as it is all the same
		if swept {
			if err = h.cron(ctx); err == nil {
				unkept = h.record(ctx)
			}
			h.judge(ctx, h.time())
		}
		took := time.Since(begun)
		h.mu.Lock()
		pause := max(minPause, min(restFactor*took, time.Duration(len(h.rows)+left)*perLock))
		if err != nil { // it is waiting, not work, that took long
			pause = minPause
		}
		if ctx.Err() != nil { // nobody looks any more, or others do by now
			h.mu.Unlock()
			return
		}
		st := &h.status
		st.TookMS, st.PauseMS, st.Error, st.Unkept = took.Milliseconds(), pause.Milliseconds(), "", ""
		if err != nil {
			st.Error = text(h.config.Explain(err))
		}
		if unkept != nil {
			st.Unkept = text(h.config.Explain(unkept))
		}
		if swept {
			st.Now, st.Sweeps, st.Locks, st.LeftOut = millis(h.now), st.Sweeps+1, len(h.rows)+left, left
			prune(h.histories, h.now, h.kept(), func(id string) bool { return h.rows[id] != nil || h.looked[id] != nil })
		}
		h.tell(func(s *stream) { s.status = true })
		h.mu.Unlock()
		rest(ctx, pause)
	}
}

// back takes in that Redis answers again, which it did last at this time.
func (h *hub) back(since time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.memory.Away(since, h.now)
	select {
	case h.again <- struct{}{}: // what was found in the outage is not so any more
	default:
	}
}

// time is the newest that is known of Redis.
func (h *hub) time() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// sees takes in that a whole sweep ended at this time: if the last one is long ago, nobody looked in between. The caller has
// the mutex.
func (h *hub) sees(now time.Time) {
	if h.began.IsZero() {
		h.began = now
	}
	if now.After(h.now) {
		h.now = now
	}
	if !h.swept.IsZero() && now.Sub(h.swept) > gap {
		h.blind = appendBounded(h.blind, [2]int64{millis(h.swept), millis(now)})
	}
	h.swept = now
	oldest := millis(now.Add(-h.kept()))
	h.blind = slices.DeleteFunc(h.blind, func(times [2]int64) bool { return times[1] < oldest })
}

// found is what a sweep finds under one name: a state, or why there is none to be had.
type found struct {
	info redislock.Info
	err  error
}

// sweep takes in every lock once, also those that cannot be read. Those that it has not met are gone.
func (h *hub) sweep(ctx context.Context) (left int, err error) {
	bounded, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := time.AfterFunc(silence, func() { cancel(fmt.Errorf("no answer within %v", silence)) })
	defer patience.Stop()

	met := map[string]bool{}
	finds := make([]found, 0, batch)
	take := func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		for _, f := range finds {
			if f.err != nil {
				h.unreadable(f.info.Name, f.err)
			} else {
				h.see(f.info)
			}
		}
		finds = finds[:0]
	}
	for info, err := range h.config.Client.List(bounded, "*") {
		if err != nil && info.Name == "" {
			return 0, endOf(bounded, err)
		}
		patience.Reset(silence)
		id := idOf(info.Name)
		if len(met) >= maxLocks && !met[id] || len(met) >= maxLocks*9/10 && err == nil && info.Idle() { // the last tenth is for those in use
			left++
			continue
		}
		met[id] = true
		if finds = append(finds, found{info, err}); len(finds) == batch {
			take()
		}
	}
	take()
	if bounded.Err() != nil {
		return 0, context.Cause(bounded)
	}
	// The time at the end, which no lock tells of where there is none.
	clock, err := h.config.Client.Inspect(bounded, clockName)
	if err != nil {
		return 0, endOf(bounded, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	h.sees(clock.Now)
	for id, l := range h.histories { // those of all rows that were ever read are among them, and of locks that went while nobody looked
		if (h.rows[id] != nil || l.last.busy()) && !met[id] && h.looked[id] == nil { // what is looked at, its own watch knows better
			h.gone(id, clock.Now)
		}
	}
	for id := range h.rows { // those that could never be read
		if !met[id] && h.histories[id] == nil {
			h.gone(id, clock.Now)
		}
	}
	if left == 0 {
		h.memory.Sweep(func(name string) bool { return met[idOf(name)] || h.looked[idOf(name)] != nil }, clock.Now)
	}
	return left, nil
}

// clockName is a name that is looked at for the time alone. To look writes nothing.
const clockName = "redislock-ui-clock"

// endOf is why a sequence ended: what its context was told, if that was it.
func endOf(bounded context.Context, err error) error {
	if cause := context.Cause(bounded); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// unreadable takes in that a lock cannot be read. What is known of its history stays as it is. The caller has the mutex.
func (h *hub) unreadable(name string, err error) {
	h.memory.CannotBeRead(name, h.config.Explain(err))
	if len(h.streams) > 0 {
		h.show(idOf(name), encode(row{ID: idOf(name), Error: text(h.config.Explain(err))}))
	}
}

// cron takes in the jobs, also those that cannot be read.
func (h *hub) cron(ctx context.Context) error {
	bounded, cancel := context.WithTimeoutCause(ctx, 2*silence, fmt.Errorf("no answer within %v", 2*silence))
	defer cancel()
	jobs, runs, strips := []job{}, []redislock.CronStatus{}, map[string][]run{}
	for s, err := range h.config.Client.CronJobs(bounded) {
		switch {
		case err == nil:
			one := jobOf(s)
			if s.Outcome != redislock.OutcomePending {
				one.Runs = ran(h.strips[s.Job], s)
				strips[s.Job] = one.Runs
			}
			jobs, runs = append(jobs, one), append(runs, s)
		case s.Job != "":
			jobs = append(jobs, job{ID: idOf(s.Job), Outcome: "damaged", Error: text(h.config.Explain(err))})
		default:
			return endOf(bounded, err)
		}
		if len(jobs) == maxJobs {
			break
		}
	}
	h.mu.Lock()
	if ctx.Err() == nil {
		h.runs, h.strips = runs, strips
	}
	h.mu.Unlock()
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
		h.mu.Lock()
		if ctx.Err() == nil {
			h.report = report
		}
		h.mu.Unlock()
		h.set(ctx, &h.health, healthOf(report, time.Now()), func(s *stream) { s.health = true })
		t := time.NewTimer(healthPause)
		select {
		case <-t.C:
		case <-h.again:
		case <-ctx.Done():
		}
		t.Stop()
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
