// Package scheduler runs tasks at certain times, on one goroutine: renewals, local deadlines, checks, pings.
//
// A [Task] is nowhere, planned, or running:
//
//	nowhere ── Set ──▶ planned ── its time has come ──▶ running: nowhere again, and may Set itself
//	           Remove ◀──┘ ▲── Set, SetNoLater
//
// Work of a task that may wait is left for later ([Scheduler.Later]). It is done when no task is due, a few pieces at a time. So
// of many locks that are lost at once all contexts have ended before the first is given back (I7).
//
// Tasks are in a heap by their time. The goroutine sleeps until the first is due, and is woken only to get up earlier than it
// would. It looks at the wall clock each second, since Linux stops the clock of timers while a machine is suspended.
package scheduler

import (
	"container/heap"
	"sync"
	"time"
)

// suspendCheck is how often the scheduler looks whether the machine was suspended. Linux stops the clock of its timers then,
// and Redis does not wait: without a look a lock's context would end late by as long as the suspension was.
const (
	suspendCheck = time.Second
	// suspendLeast is from which difference on it was a suspension, or a step of the wall clock, and not how clocks differ.
	suspendLeast = 100 * time.Millisecond
)

// Scheduler runs what a Client has to do at certain times on one goroutine: renewals, local deadlines, checks. Tasks
// must not block.
type Scheduler struct {
	mu    sync.Mutex
	tasks taskHeap
	until time.Time // the worker sleeps till then, or is awake and looks again before it sleeps
	wake  chan struct{}
	// flush runs after the tasks that were due together, to send what they collected; often that is nothing.
	flush func()
	rests []Job            // of the worker alone
	wall  func() time.Time // the wall clock, without a monotonic reading
}

// Task is one entry. Its zero value is not in the scheduler.
type Task struct {
	at    time.Time
	place int // in the heap, from 1; 0 while it is not in the scheduler
	Job   Job
}

// Planned reports whether the task is still to come. It is for whom no other goroutine sets or removes the task meanwhile.
func (t *Task) Planned() bool { return t.place > 0 }

// Job is run when a task is due.
type Job interface{ Run() }

// Func is a function as a Job.
type Func func()

func (f Func) Run() { f() }

// New makes a Scheduler. It calls flush after the tasks that were due together.
func New(flush func()) *Scheduler {
	return &Scheduler{wake: make(chan struct{}, 1), flush: flush, wall: func() time.Time { return time.Now().Round(0) }}
}

// Set puts the task at a time, or moves it there.
func (s *Scheduler) Set(t *Task, at time.Time) {
	s.put(t, at, false)
}

// SetNoLater is Set, unless the task is due before at already.
func (s *Scheduler) SetNoLater(t *Task, at time.Time) {
	s.put(t, at, true)
}

func (s *Scheduler) put(t *Task, at time.Time, sooner bool) {
	s.mu.Lock()
	if sooner && t.place > 0 && !at.Before(t.at) {
		s.mu.Unlock()
		return
	}
	t.at = at
	if t.place == 0 {
		heap.Push(&s.tasks, t)
	} else {
		heap.Fix(&s.tasks, t.place-1)
	}
	// A lock that comes and goes must not wake the worker each time: it is woken only to get up earlier than it would.
	early := at.Before(s.until)
	if early {
		s.until = at
	}
	s.mu.Unlock()
	if early {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// restsAtOnce is how many rests are done before the worker looks again whether a task is due.
const restsAtOnce = 16

// Later has a job done when no task is due, and when what the tasks collected has left. Only tasks call it.
func (s *Scheduler) Later(j Job) { s.rests = append(s.rests, j) }

// rest does some of what the tasks have left for later, or all of it. It reports whether there was any.
func (s *Scheduler) rest(most int) bool {
	n := min(len(s.rests), most)
	for i := range n {
		s.rests[i].Run()
		s.rests[i] = nil
	}
	if s.rests = s.rests[n:]; len(s.rests) == 0 {
		s.rests = nil
	}
	return n > 0
}

// Remove takes the task out, if it is planned.
func (s *Scheduler) Remove(t *Task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.place > 0 {
		heap.Remove(&s.tasks, t.place-1)
	}
}

// Run runs due tasks until stop is closed. What they have left for later is done by then.
func (s *Scheduler) Run(stop <-chan struct{}) {
	defer func() {
		for s.rest(restsAtOnce) {
		}
	}()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	slept, wall := time.Now(), s.wall()
	for {
		now, today := time.Now(), s.wall()
		if missed := today.Sub(wall) - now.Sub(slept); missed >= suspendLeast {
			s.advance(missed)
		}
		slept, wall = now, today
		for t := s.due(); t != nil; t = s.due() {
			t.Job.Run()
		}
		s.flush()
		if s.rest(restsAtOnce) {
			continue
		}
		timer.Reset(s.sleep())
		select {
		case <-timer.C:
		case <-s.wake:
		case <-stop:
			return
		}
	}
}

// due takes the next task whose time has come.
func (s *Scheduler) due() *Task {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tasks) == 0 || time.Until(s.tasks[0].at) > 0 {
		return nil
	}
	return heap.Pop(&s.tasks).(*Task)
}

// advance has all tasks due earlier by a time that only the wall clock has seen (see clock.Elapsed). A wall clock that is set
// forward looks like a suspension. A task that runs too early finds that out by itself, or ends a lock early, which is safe.
func (s *Scheduler) advance(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tasks { // their order stays
		t.at = t.at.Add(-by)
	}
}

// sleep says how long the worker may sleep: while there are tasks, no longer than to the next look for a suspension.
func (s *Scheduler) sleep() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	pause := time.Hour
	if len(s.tasks) > 0 {
		pause = min(pause, time.Until(s.tasks[0].at), suspendCheck)
	}
	s.until = time.Now().Add(pause)
	return pause
}

type taskHeap []*Task

func (h taskHeap) Len() int           { return len(h) }
func (h taskHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h taskHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}

func (h *taskHeap) Push(x any) {
	t := x.(*Task)
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
