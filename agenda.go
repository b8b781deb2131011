package redislock

import (
	"container/heap"
	"sync"
	"time"
)

// agenda runs what a Client has to do at certain times on one goroutine: renewals, local deadlines, checks. Tasks
// must not block.
type agenda struct {
	mu    sync.Mutex
	tasks taskHeap
	wake  chan struct{}
	// flush runs after the tasks that were due together, to send what they collected.
	flush func()
}

// task is one entry. Its zero value is not in the agenda.
type task struct {
	at    time.Time
	place int // in the heap, from 1; 0 while it is not in the agenda
	run   func()
}

func newAgenda(flush func()) *agenda {
	return &agenda{wake: make(chan struct{}, 1), flush: flush}
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
	first := len(a.tasks) == 0 || at.Before(a.tasks[0].at)
	t.at = at
	if t.place == 0 {
		heap.Push(&a.tasks, t)
	} else {
		heap.Fix(&a.tasks, t.place-1)
	}
	a.mu.Unlock()
	if first {
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
	for {
		pause := time.Hour
		ran := false
		for {
			t := a.due(&pause)
			if t == nil {
				break
			}
			t.run()
			ran = true
		}
		if ran {
			a.flush()
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-a.wake:
		case <-stop:
			return
		}
	}
}

// due takes the next task whose time has come, or says how long to sleep.
func (a *agenda) due(pause *time.Duration) *task {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.tasks) == 0 {
		return nil
	}
	if left := time.Until(a.tasks[0].at); left > 0 {
		*pause = min(*pause, left)
		return nil
	}
	return heap.Pop(&a.tasks).(*task)
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
