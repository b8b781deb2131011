package torture

import (
	"strings"
	"testing"
	"time"

	"example.com/redislock"
)

// These tests show that the checks find what they are for. Each of these logs is of a lock that broke a promise, or
// of one that just kept it.

// life is the log of a worker, with times in ms. Its lease is a second.
func life(index int, events ...Event) *Worker {
	w := &Worker{Index: index}
	for _, e := range events {
		e.At *= 1000
		e.Fence *= 1000
		e.Until *= 1000
		if e.Kind == Acquire && e.Name == "" {
			e.Name, e.Mode, e.Weight, e.Waits = "a", "exclusive", 1, true
		}
		w.events = append(w.events, e)
	}
	return w
}

// asked, got, … are lines of a log.
func asked(op, at int64) Event { return Event{Kind: Acquire, Op: op, At: at} }

func askedFor(op, at int64, mode string, weight int) Event {
	return Event{Kind: Acquire, Op: op, At: at, Name: "a", Mode: mode, Weight: weight, Waits: true}
}

func got(op, at, fence int64) Event {
	return Event{Kind: Acquired, Op: op, At: at, Fence: fence, Held: true}
}

func gotUntil(op, at, fence, until int64) Event {
	return Event{Kind: Acquired, Op: op, At: at, Fence: fence, Held: true, Until: until}
}

func used(op, at int64) Event       { return Event{Kind: Used, Op: op, At: at, Held: true} }
func gives(op, at int64) Event      { return Event{Kind: Release, Op: op, At: at} }
func gave(op, at int64) Event       { return Event{Kind: Released, Op: op, At: at} }
func renewed(at, fence int64) Event { return Event{Kind: Renewed, Name: "a", At: at, Fence: fence} }
func changes(op, at int64) Event    { return Event{Kind: Change, Op: op, At: at, Mode: "write"} }
func changed(op, at, fence int64) Event {
	return Event{Kind: Changed, Op: op, At: at, Fence: fence, Mode: "write", Held: true}
}

func killed(w *Worker, at int64) *Worker {
	w.killed = at * 1000
	return w
}

func paused(w *Worker, from, to int64) *Worker {
	w.paused = append(w.paused, Span64{from * 1000, to * 1000})
	return w
}

func history(workers ...*Worker) *History { return read(&History{}, workers) }

func read(h *History, workers []*Worker) *History {
	for _, w := range workers {
		h.readWorker(w, time.Second, 10*time.Millisecond, false)
	}
	h.sort()
	return h
}

func TestTheChecksFindWhatTheyAreFor(t *testing.T) {
	for _, c := range []struct {
		name    string
		workers []*Worker
		losses  []Mark
		windows int // the number of those without a loss of data
		fences  int
		ordered bool // linearizable
		quorum  bool
		turns   bool
	}{
		{
			name:    "one after the other",
			workers: []*Worker{life(1, asked(1, 10), got(1, 12, 11), gives(1, 20), gave(1, 22)), life(2, asked(1, 11), got(1, 23, 21), gives(1, 30), gave(1, 31))},
			ordered: true,
		},
		{
			name:    "two holders",
			workers: []*Worker{life(1, asked(1, 10), got(1, 12, 11), gives(1, 20), gave(1, 22)), life(2, asked(1, 11), got(1, 16, 15), gives(1, 30), gave(1, 31))},
			windows: 1,
		},
		{
			name:    "two holders, the first of whom gave nothing back",
			workers: []*Worker{life(1, asked(1, 10), got(1, 12, 11), used(1, 20)), life(2, asked(1, 11), got(1, 16, 15), gives(1, 30), gave(1, 31))},
			windows: 1,
		},
		{
			name: "a vote that came after its ticket, which is its fence",
			workers: []*Worker{
				life(1, asked(1, 10), got(1, 12, 11), gives(1, 20), gave(1, 22)), life(2, asked(1, 18), got(1, 23, 19), gives(1, 30), gave(1, 31)),
			},
			ordered: true,
			quorum:  true,
		},
		{
			name: "two holders of a quorum",
			workers: []*Worker{
				life(1, asked(1, 10), got(1, 12, 11), used(1, 20), gives(1, 24), gave(1, 25)), life(2, asked(1, 13), got(1, 23, 14), gives(1, 30), gave(1, 31)),
			},
			windows: 1,
			quorum:  true,
		},
		{
			name:    "a lock that goes on within a process, with a fence that is behind the clock",
			workers: []*Worker{life(1, asked(1, 10), got(1, 12, 11), asked(2, 13), gives(1, 20), gave(1, 22), got(2, 21, 19), gives(2, 30), gave(2, 31))},
			ordered: true,
			turns:   true,
		},
		{
			name:    "a process that grants to two",
			workers: []*Worker{life(1, asked(1, 10), got(1, 12, 11), asked(2, 13), got(2, 15, 14), gives(1, 20), gave(1, 22), gives(2, 30), gave(2, 31))},
			windows: 1,
			turns:   true,
		},
		{
			name: "a lapse in time, of a lease that began with an earlier grant",
			workers: []*Worker{
				killed(life(1, asked(1, 10), gotUntil(1, 12, 11, 1000), asked(2, 13), gives(1, 200), gave(1, 201), gotUntil(2, 202, 201, 1000)), 300),
				life(2, asked(1, 20), got(1, 1020, 1011), gives(1, 1030), gave(1, 1031)),
			},
			ordered: true,
			turns:   true,
		},
		{
			name: "a lapse too early, of a lease that was renewed",
			workers: []*Worker{
				killed(life(1, asked(1, 10), gotUntil(1, 12, 11, 1000), asked(2, 13), gives(1, 200), gave(1, 201), gotUntil(2, 202, 201, 1100)), 300),
				life(2, asked(1, 20), got(1, 1020, 1011), gives(1, 1030), gave(1, 1031)),
			},
			windows: 1,
			turns:   true,
		},
		{
			name: "readers of a process under one hold, one of them after others have begun to read",
			workers: []*Worker{
				life(1, askedFor(1, 10, "read", 1), got(1, 12, 11), askedFor(2, 20, "read", 1), got(2, 21, 11), gives(1, 30), gave(1, 31), gives(2, 40), gave(2, 41)),
				life(2, askedFor(1, 13, "read", 1), got(1, 16, 15), gives(1, 30), gave(1, 31)),
				life(3, askedFor(1, 14, "write", 1), got(1, 44, 42), gives(1, 46), gave(1, 47)),
			},
			ordered: true,
			turns:   true,
		},
		{
			name: "readers of two processes with one fence",
			workers: []*Worker{
				life(1, askedFor(1, 10, "read", 1), got(1, 12, 11), gives(1, 30), gave(1, 31)),
				life(2, askedFor(1, 10, "read", 1), got(1, 12, 11), gives(1, 30), gave(1, 31)),
			},
			fences: 1,
			turns:  true,
		},
		{
			name: "a reader that is let in when a writer has had the lock",
			workers: []*Worker{
				life(1, askedFor(1, 10, "read", 1), got(1, 12, 11), gives(1, 14), gave(1, 15), askedFor(2, 30, "read", 1), got(2, 31, 11), gives(2, 40), gave(2, 41)),
				life(2, askedFor(1, 13, "write", 1), got(1, 17, 16), gives(1, 20), gave(1, 21)),
			},
			fences: 1,
			turns:  true,
		},
		{
			name: "a writer beside a reader that was let in",
			workers: []*Worker{
				life(1, askedFor(1, 10, "read", 1), got(1, 12, 11), askedFor(2, 13, "read", 1), got(2, 14, 11), gives(1, 15), gave(1, 16), gives(2, 40), gave(2, 41)),
				life(2, askedFor(1, 13, "write", 1), got(1, 21, 20), gives(1, 22), gave(1, 23)),
			},
			windows: 1,
			turns:   true,
		},
		{
			name:    "a falling fence",
			workers: []*Worker{life(1, asked(1, 10), got(1, 12, 11), gives(1, 20), gave(1, 22)), life(2, asked(1, 24), got(1, 26, 9), gives(1, 30), gave(1, 31))},
			fences:  1,
		},
		{
			name:    "a fence that was granted twice",
			workers: []*Worker{life(1, asked(1, 10), got(1, 12, 11), gives(1, 20), gave(1, 22)), life(2, asked(1, 24), got(1, 26, 11), gives(1, 30), gave(1, 31))},
			fences:  1,
		},
		{
			name:    "a lapse in time",
			workers: []*Worker{killed(life(1, asked(1, 10), got(1, 12, 11)), 300), life(2, asked(1, 20), got(1, 1020, 1011), gives(1, 1030), gave(1, 1031))},
			ordered: true,
		},
		{
			name:    "a lapse too early after a kill",
			workers: []*Worker{killed(life(1, asked(1, 10), got(1, 12, 11)), 300), life(2, asked(1, 20), got(1, 1002, 1001), gives(1, 1030), gave(1, 1031))},
			windows: 1,
		},
		{
			name:    "a lapse too early after a renewal",
			workers: []*Worker{killed(life(1, asked(1, 10), got(1, 12, 11), renewed(290, 11)), 300), life(2, asked(1, 20), got(1, 1280, 1280), gives(1, 1300), gave(1, 1301))},
			windows: 1,
		},
		{
			name:    "a lapse too early in a pause",
			workers: []*Worker{paused(life(1, asked(1, 10), got(1, 12, 11), Event{Kind: Ended, Op: 1, At: 1500, Err: Lost}), 300, 1500), life(2, asked(1, 20), got(1, 1002, 1001), gives(1, 1030), gave(1, 1031))},
			windows: 1,
		},
		{
			name:    "a pause in which nothing was lost",
			workers: []*Worker{paused(life(1, asked(1, 10), got(1, 12, 11), gives(1, 400), gave(1, 401)), 300, 390), life(2, asked(1, 20), got(1, 402, 400), gives(1, 410), gave(1, 411))},
			ordered: true,
		},
		{
			name:    "a release as the process was killed",
			workers: []*Worker{killed(life(1, asked(1, 10), got(1, 12, 11), gives(1, 300)), 299), life(2, asked(1, 20), got(1, 302, 301), gives(1, 1030), gave(1, 1031))},
			ordered: true,
		},
		{
			name:    "data lost, and measured",
			workers: []*Worker{life(1, asked(1, 10), got(1, 12, 11), used(1, 40), Event{Kind: Ended, Op: 1, At: 41, Err: Lost}), life(2, asked(1, 11), got(1, 23, 21), gives(1, 30), gave(1, 31))},
			losses:  []Mark{{What: "FLUSHALL", At: 15_000, To: 16_000, Names: []string{"a"}}},
			ordered: true,
		},
		{
			name:    "data lost, but later",
			workers: []*Worker{life(1, asked(1, 10), got(1, 12, 11), used(1, 40), Event{Kind: Ended, Op: 1, At: 41, Err: Lost}), life(2, asked(1, 11), got(1, 23, 21), gives(1, 30), gave(1, 31))},
			losses:  []Mark{{What: "FLUSHALL", At: 25_000, To: 26_000, Names: []string{"a"}}},
			windows: 1,
		},
		{
			name: "data lost, and two units beside one since",
			workers: []*Worker{
				life(1, askedFor(1, 10, "semaphore", 2), got(1, 12, 11), used(1, 35), Event{Kind: Ended, Op: 1, At: 36, Err: Lost}),
				life(2, askedFor(1, 13, "semaphore", 2), got(1, 23, 21), gives(1, 60), gave(1, 61)),
				life(3, askedFor(1, 14, "semaphore", 1), got(1, 33, 31), gives(1, 50), gave(1, 51)),
			},
			losses:  []Mark{{What: "FLUSHALL", At: 15_000, To: 16_000, Names: []string{"a"}}},
			ordered: true,
		},
		{
			name: "data lost, and two holders since",
			workers: []*Worker{
				life(1, asked(1, 10), got(1, 12, 11), used(1, 70), Event{Kind: Ended, Op: 1, At: 71, Err: Lost}),
				life(2, asked(1, 13), got(1, 23, 21), gives(1, 60), gave(1, 61)),
				life(3, asked(1, 14), got(1, 33, 31), gives(1, 50), gave(1, 51)),
			},
			losses:  []Mark{{What: "FLUSHALL", At: 15_000, To: 16_000, Names: []string{"a"}}},
			windows: 1,
		},
		{
			name:    "readers together",
			workers: []*Worker{life(1, askedFor(1, 10, "read", 1), got(1, 12, 11), gives(1, 20), gave(1, 22)), life(2, askedFor(1, 11, "read", 1), got(1, 16, 15), gives(1, 30), gave(1, 31))},
			ordered: true,
		},
		{
			name:    "a writer beside a reader",
			workers: []*Worker{life(1, askedFor(1, 10, "read", 1), got(1, 12, 11), gives(1, 20), gave(1, 22)), life(2, askedFor(1, 11, "write", 1), got(1, 16, 15), gives(1, 30), gave(1, 31))},
			windows: 1,
		},
		{
			name:    "a full semaphore",
			workers: []*Worker{life(1, askedFor(1, 10, "semaphore", 2), got(1, 12, 11), gives(1, 20), gave(1, 22)), life(2, askedFor(1, 11, "semaphore", 1), got(1, 16, 15), gives(1, 30), gave(1, 31))},
			ordered: true,
		},
		{
			name:    "a semaphore too full",
			workers: []*Worker{life(1, askedFor(1, 10, "semaphore", 2), got(1, 12, 11), gives(1, 20), gave(1, 22)), life(2, askedFor(1, 11, "semaphore", 2), got(1, 16, 15), gives(1, 30), gave(1, 31))},
			windows: 1,
		},
		{
			name:    "an upgrade",
			workers: []*Worker{life(1, askedFor(1, 10, "read", 1), got(1, 12, 11), changes(1, 14), changed(1, 22, 20), gives(1, 30), gave(1, 31)), life(2, askedFor(1, 11, "read", 1), got(1, 16, 15), gives(1, 18), gave(1, 19))},
			ordered: true,
		},
		{
			name:    "an upgrade beside a reader",
			workers: []*Worker{life(1, askedFor(1, 10, "read", 1), got(1, 12, 11), changes(1, 14), changed(1, 22, 17), gives(1, 30), gave(1, 31)), life(2, askedFor(1, 11, "read", 1), got(1, 16, 15), used(1, 23), gives(1, 24), gave(1, 25))},
			windows: 1,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := read(&History{Quorum: c.quorum, Turns: c.turns}, c.workers)
			n := 0
			for _, w := range h.windows("a", c.losses) {
				if w.Loss == "" {
					n++
				}
			}
			if n != c.windows {
				t.Errorf("%d windows, not %d: %v", n, c.windows, h.windows("a", c.losses))
			}
			if got := h.fences("a"); len(got) != c.fences {
				t.Errorf("fences: %v", got)
			}
			if err := h.linear("a", c.losses, linearTime); (err == nil) != c.ordered {
				t.Errorf("linearizable: %v", err)
			}
		})
	}
}

func TestAnUndecidedHistoryIsAFailure(t *testing.T) {
	var workers []*Worker
	for i := range int64(300) { // all at once, so that there are many orders to try
		workers = append(workers, life(int(i), askedFor(1, 10, "read", 1), got(1, 1000, 1000-i), gives(1, 1001), gave(1, 2000)))
	}
	workers = append(workers, life(1000, asked(1, 10), got(1, 1000, 500)))
	if err := history(workers...).linear("a", nil, time.Microsecond); err == nil || !strings.Contains(err.Error(), "no order was found") {
		t.Errorf("got %v", err)
	}
}

func TestAStallIsFound(t *testing.T) {
	h := history(
		life(1, asked(1, 10), got(1, 12, 11), gives(1, 20), gave(1, 22)),
		life(2, asked(1, 15), got(1, 723, 721), gives(1, 730), gave(1, 731)),
	)
	if longest, who := h.stall("a"); longest != 699*time.Millisecond || who.Worker != 2 {
		t.Errorf("%v, of %+v", longest, who)
	}
	h.Since = 700_000
	if longest, _ := h.stall("a"); longest != 21*time.Millisecond {
		t.Errorf("%v since then", longest)
	}
	h = history( // waiting for a dead holder's lease is no stall
		killed(life(1, asked(1, 10), got(1, 12, 11)), 20),
		life(2, asked(1, 15), got(1, 1030, 1029), gives(1, 1040), gave(1, 1041)),
	)
	if longest, _ := h.stall("a"); longest != 9*time.Millisecond {
		t.Errorf("%v", longest)
	}
	h = history( // a stopped process does not count as waiting either
		life(1, asked(1, 10), got(1, 12, 11), gives(1, 20), gave(1, 22)),
		paused(life(2, asked(1, 15), got(1, 723, 721), gives(1, 730), gave(1, 731)), 30, 700),
	)
	if longest, _ := h.stall("a"); longest != 21*time.Millisecond {
		t.Errorf("%v", longest)
	}
}

func TestRecoveryIsMeasuredToTheNextGrant(t *testing.T) {
	h := history(
		life(1, asked(1, 10), got(1, 12, 11), gives(1, 20), gave(1, 22)),
		life(2, asked(1, 15), got(1, 123, 121), gives(1, 730), gave(1, 731)),
	)
	times, problems := h.recoveries([]Mark{{At: 15_000, Names: []string{"a"}}, {At: 20_000, Names: []string{"a"}}})
	if len(times) != 2 || percentile(times, 50) != 101*time.Millisecond || percentile(times, 99) != 106*time.Millisecond || problems != nil {
		t.Errorf("%v, %v", times, problems)
	}
	if _, problems := h.recoveries([]Mark{{At: 200_000, Names: []string{"a", "b"}}}); len(problems) != 2 {
		t.Errorf("no grant followed, and: %v", problems)
	}
}

func TestTheRegisterRefusesStaleWrites(t *testing.T) {
	r := newRegister(t)
	for _, a := range []struct {
		fence int64
		want  bool
	}{{5, true}, {5, true}, {7, true}, {6, false}, {7, true}} {
		if got := r.write(Attempt{Name: "a", Fence: a.fence}); got != a.want {
			t.Errorf("fence %d: %v", a.fence, got)
		}
	}
	if problems, refused := accepted(r.log()); len(problems) != 0 || refused != 1 {
		t.Errorf("%v, %d", problems, refused)
	}
	log := r.log()
	log[3].Accepted = true // as if by a register that does not compare
	if problems, _ := accepted(log); len(problems) != 1 {
		t.Errorf("a lower fence was accepted, and: %v", problems)
	}
}

func TestItIsToldHowFairALockWas(t *testing.T) {
	workers := []*Worker{
		life(0, asked(1, 10), got(1, 12, 11), gives(1, 20), gave(1, 22), asked(2, 30), got(2, 204, 203), gives(2, 205), gave(2, 206)),
		life(1, asked(1, 100), got(1, 102, 101), gives(1, 110), gave(1, 111)), // one that has asked 70 ms earlier still waits
		life(2, asked(1, 40), got(1, 302, 301), gives(1, 305), gave(1, 306)),  // 10 ms do not count
		life(3),
	}
	h := history(workers...)
	if n := h.passed(inversion); n != 1 {
		t.Errorf("%d grants passed somebody", n)
	}
	if text := h.fairness(workers); !strings.Contains(text, "by process: 0.667; 1 of 4 grants passed somebody who had asked 50ms earlier; the median wait was 2ms, the slowest 262ms") {
		t.Error(text)
	}
}

func TestHoldsOfNobodyAreFound(t *testing.T) {
	at := time.UnixMicro(1_000_000)
	hold := func(mode redislock.Mode, until time.Duration) redislock.Hold {
		return redislock.Hold{Mode: mode, Weight: 1, Deadline: at.Add(until)}
	}
	w := &watch{}
	w.look(redislock.Info{Now: at, Holds: []redislock.Hold{hold(redislock.Read, time.Second), hold(redislock.Read, time.Second)}})
	w.look(redislock.Info{Now: at, Holds: []redislock.Hold{hold(redislock.Read, time.Second), hold(redislock.Write, -time.Second)}})
	if len(w.wrong) > 0 {
		t.Error(w.wrong)
	}
	w.look(redislock.Info{Now: at, Holds: []redislock.Hold{hold(redislock.Exclusive, time.Second), hold(redislock.Exclusive, time.Second)}})
	if len(w.wrong) != 1 {
		t.Error("two exclusive holds were not found")
	}
}

func TestErrorsThatNothingExplainsAreFound(t *testing.T) {
	h := history(life(1, asked(1, 10), Event{Kind: Acquired, Op: 1, At: 12, Err: Failed, Text: "EOF"}))
	if len(h.Problems) != 1 {
		t.Errorf("%v", h.Problems)
	}
}

func TestWhatIsLeftBehindIsFound(t *testing.T) {
	x := &Run{T: t, Site: OneServer()(t), Row: Row{Load: Load{}.withDefaults()}}
	t.Cleanup(func() { _ = x.Client().Close(t.Context()) })
	if problems := x.orphans(time.Second); len(problems) != 0 {
		t.Errorf("nothing is left, but: %v", problems)
	}
	l, err := x.Client().Acquire(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	if problems := x.orphans(time.Second); len(problems) == 0 || !strings.Contains(problems[0], "b is not idle") {
		t.Errorf("b is held, and: %v", problems)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if err := x.Admin.Persist(t.Context(), x.Key("a")).Err(); err != nil {
		t.Error(err)
	}
	if problems := x.orphans(5 * time.Second); len(problems) != 1 || !strings.Contains(problems[0], "no expiry") {
		t.Errorf("a has no expiry, and: %v", problems)
	}
}
