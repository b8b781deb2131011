package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.com/redislock"
	"example.com/redislock/ui/trouble"
)

const (
	// The pause after a sweep is minPause, or restFactor times the time of the sweep if that is longer, but at most perLock for each
	// lock. So the sweeps take at most a sixth of the time of Redis. The bound by perLock is there because a sweep may also be slow
	// when the machine is busy; the work of Redis for a lock is about a fifth of perLock.
	minPause   = time.Second
	restFactor = 5
	perLock    = 100 * time.Microsecond
	// silence is how long Redis may send nothing within a sweep.
	silence = 5 * time.Second
	// batch is how many locks are stored at once. The mutex is free between two batches.
	batch = 200
	// healthPause is the pause between two examinations of the server, and healthTime bounds one of them.
	healthPause = time.Minute
	healthTime  = 30 * time.Second
	// maxJobs is how many cron jobs are shown.
	maxJobs = 2000
)

// watch sweeps until ctx ends.
func (h *hub) watch(ctx context.Context) {
	var away time.Time // the time since when looks fail, by the clock of Redis
	for ctx.Err() == nil {
		begun := time.Now()
		if h.recorder.log != nil && !h.recorder.loaded { // the recorded history is read before the first look
			bounded, cancel := context.WithTimeout(ctx, 2*silence)
			_ = h.readHistory(bounded) // record reports the error
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
		var unkept error // why the history is not kept; the locks are shown all the same
		if swept {
			if err = h.cron(ctx); err == nil {
				unkept = h.record(ctx)
			}
			h.judge(ctx, h.time())
		}
		took := time.Since(begun)
		h.mu.Lock()
		pause := max(minPause, min(restFactor*took, time.Duration(len(h.rows)+left)*perLock))
		if err != nil { // the time was spent on waiting, not on work
			pause = minPause
		}
		if ctx.Err() != nil { // no page is open any more, or a new watcher runs
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

// back records that Redis answers again. Its last answer before the outage was at the given time.
func (h *hub) back(since time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.memory.Away(since, h.now)
	select {
	case h.again <- struct{}{}: // the findings of the outage are out of date
	default:
	}
}

// time is the newest known time of Redis.
func (h *hub) time() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// sees records that a whole sweep ended at this time. If the last one is long ago, nobody looked in between. The caller has
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

// found is what a sweep finds under one name: a state, or the error why it cannot be read.
type found struct {
	info redislock.Info
	err  error
}

// sweep reads every lock once, and stores also those that cannot be read. Locks that it did not meet are gone.
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
		if len(met) >= maxLocks && !met[id] || len(met) >= maxLocks*9/10 && err == nil && info.Idle() { // the last tenth is for locks in use
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
	// The time at the end of the sweep is asked for, as there may be no lock that has it.
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
	for id, l := range h.histories { // has every row that was ever read, and locks that went while nobody looked
		if (h.rows[id] != nil || l.last.busy()) && !met[id] && h.looked[id] == nil { // a lock that is looked at is left to its own watch
			h.gone(id, clock.Now)
		}
	}
	for id := range h.rows { // locks that could never be read
		if !met[id] && h.histories[id] == nil {
			h.gone(id, clock.Now)
		}
	}
	if left == 0 {
		h.memory.Sweep(func(name string) bool { return met[idOf(name)] || h.looked[idOf(name)] != nil }, clock.Now)
	}
	return left, nil
}

// clockName is a name that is inspected only to get the time. That writes nothing.
const clockName = "redislock-ui-clock"

// endOf is why a sequence ended: the cause of its context if that has ended, otherwise the error.
func endOf(bounded context.Context, err error) error {
	if cause := context.Cause(bounded); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// unreadable records that a lock cannot be read. Its history stays as it is. The caller has the mutex.
func (h *hub) unreadable(name string, err error) {
	h.memory.CannotBeRead(name, h.config.Explain(err))
	if len(h.streams) > 0 {
		h.show(idOf(name), encode(row{ID: idOf(name), Error: text(h.config.Explain(err))}))
	}
}

// cron reads the jobs, and stores also those that cannot be read.
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

// examine examines the server at intervals until ctx ends.
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
			report = h.memory.Server(report, cmp.Or(h.now, time.Now()))
			h.report = report
		}
		h.mu.Unlock()
		pause := healthPause
		if report.Full() {
			pause = trouble.ExamineFull
		}
		h.set(ctx, &h.health, h.config.health(report, time.Now(), pause), func(s *stream) { s.health = true })
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-h.again:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// rest waits for that time, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
