package redislock

import (
	"container/heap"
	"sync"
	"time"
)

// suspendCheck is how often the agenda looks whether the machine was suspended. Linux stops the clock of its timers then,
// and Redis does not wait: without a look a lock's context would end late by as long as the suspension was.
const (
	suspendCheck = time.Second
	// suspendLeast is from which difference on it was a suspension, or a step of the wall clock, and not how clocks differ.
	suspendLeast = 100 * time.Millisecond
)

// agenda runs what a Client has to do at certain times on one goroutine: renewals, local deadlines, checks. Tasks
// must not block.
type agenda struct {
	mu    sync.Mutex
	tasks taskHeap
	until time.Time // the worker sleeps till then, or is awake and looks again before it sleeps
	wake  chan struct{}
	// flush runs after the tasks that were due together, to send what they collected; often that is nothing.
	flush func()
	wall  func() time.Time // the wall clock, without a monotonic reading
}

// task is one entry. Its zero value is not in the agenda.
type task struct {
	at    time.Time
	place int // in the heap, from 1; 0 while it is not in the agenda
	job   job
}

// job is what is done when a task is due.
type job interface{ run() }

type jobFunc func()

func (f jobFunc) run() { f() }

func newAgenda(flush func()) *agenda {
	return &agenda{wake: make(chan struct{}, 1), flush: flush, wall: func() time.Time { return time.Now().Round(0) }}
}

// set puts the task at a time, or moves it there.
func (a *agenda) set(t *task, at time.Time) {
	a.put(t, at, false)
}

// hurry is set, unless the task is due before at already.
func (a *agenda) hurry(t *task, at time.Time) {
	a.put(t, at, true)
}

func (a *agenda) put(t *task, at time.Time, sooner bool) {
	a.mu.Lock()
	if sooner && t.place > 0 && !at.Before(t.at) {
		a.mu.Unlock()
		return
	}
	t.at = at
	if t.place == 0 {
		heap.Push(&a.tasks, t)
	} else {
		heap.Fix(&a.tasks, t.place-1)
	}
	// A lock that comes and goes must not wake the worker each time: it is woken only to get up earlier than it would.
	early := at.Before(a.until)
	if early {
		a.until = at
	}
	a.mu.Unlock()
	if early {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

func (a *agenda) remove(t *task) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t.place > 0 {
		heap.Remove(&a.tasks, t.place-1)
	}
}

// work runs due tasks until stop is closed.
func (a *agenda) work(stop <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	slept, wall := time.Now(), a.wall()
	for {
		now, today := time.Now(), a.wall()
		if missed := today.Sub(wall) - now.Sub(slept); missed >= suspendLeast {
			a.advance(missed)
		}
		slept, wall = now, today
		for t := a.due(); t != nil; t = a.due() {
			t.job.run()
		}
		a.flush()
		timer.Reset(a.sleep())
		select {
		case <-timer.C:
		case <-a.wake:
		case <-stop:
			return
		}
	}
}

// due takes the next task whose time has come.
func (a *agenda) due() *task {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.tasks) == 0 || time.Until(a.tasks[0].at) > 0 {
		return nil
	}
	return heap.Pop(&a.tasks).(*task)
}

// advance has all tasks due earlier by a time that only the wall clock has seen (see elapsed). A wall clock that is set
// forward looks like a suspension: what is due early finds that out by itself, or errs on the safe side as every bound does.
func (a *agenda) advance(by time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.tasks { // their order stays
		t.at = t.at.Add(-by)
	}
}

// sleep says how long the worker may sleep: while there are tasks, no longer than to the next look for a suspension.
func (a *agenda) sleep() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	pause := time.Hour
	if len(a.tasks) > 0 {
		pause = min(pause, time.Until(a.tasks[0].at), suspendCheck)
	}
	a.until = time.Now().Add(pause)
	return pause
}

type taskHeap []*task

func (h taskHeap) Len() int           { return len(h) }
func (h taskHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h taskHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}

func (h *taskHeap) Push(x any) {
	t := x.(*task)
	*h = append(*h, t)
	t.place = len(*h)
}

func (h *taskHeap) Pop() any {
	old := *h
	last := len(old) - 1
	t := old[last]
	old[last] = nil
	*h = old[:last]
	t.place = 0
	return t
}
