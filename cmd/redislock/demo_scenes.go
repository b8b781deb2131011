package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// scene is one thing that the demo shows: it notes what it measures and checks it against what was promised. An error
// says that it could not be played.
type scene struct {
	title string
	play  func(ctx context.Context, d *demo) error
}

var scenes = []scene{
	{"One at a time", oneAtATime},
	{"A holder is killed", holderKilled},
	{"A holder is paused", holderPaused},
	{"A stale hold is stolen", staleHoldStolen},
	{"A job for one of all", jobRunsOnce},
}

const (
	additions     = 50 // by each process
	sectionPause  = time.Millisecond
	crashLease    = time.Second
	pauseLease    = 600 * time.Millisecond
	stealLease    = 30 * time.Second // far longer than the demo: what moves sooner was stolen
	stealAfter    = 300 * time.Millisecond
	jobs          = 20
	jobEvery      = 10 * time.Millisecond
	startTogether = 50 * time.Millisecond // time for an order to reach all
)

// holderKilled kills a holder inside its section. The next may have the lock when the lease of the dead one has ended,
// not before, and not much later.
func holderKilled(ctx context.Context, d *demo) error {
	const lock = "crash"
	victim := d.troupe[0]
	if _, err := d.hold(ctx, 0, order{Lock: lock, Lease: crashLease}); err != nil {
		return err
	}
	for _, i := range d.troupe[1:] {
		if err := i.order(order{Do: "hold", Lock: lock, Lease: crashLease}); err != nil {
			return err
		}
	}
	if err := d.queued(ctx, lock, instances-1); err != nil {
		return err
	}
	d.tell("process %d is killed in its section", victim.cmd.Process.Pid)
	killed := time.Now()
	victim.kill()
	if _, err := d.await(ctx, from(0, "gone")); err != nil {
		return err
	}
	asked := time.Now()
	info, err := d.link.client.Inspect(ctx, lock)
	if err != nil {
		return err
	}
	if len(info.Holds) == 0 || info.Holds[0].Owner.PID != victim.cmd.Process.Pid {
		return fmt.Errorf("the machine was too slow: the lock had moved on %v after its holder was killed", round(time.Since(killed)))
	}
	deadline := info.Holds[0].Deadline
	left := deadline.Sub(info.Now)
	heir, err := d.await(ctx, func(r report) bool { return r.What == "held" })
	if err != nil {
		return err
	}
	waited := heir.At.Sub(asked)
	d.note("lease left at its death", round(left).String())
	d.check("taken over after", round(waited).String(), fmt.Sprintf("within %v + %v", round(left), d.slack), waited <= left+d.slack)
	early := deadline.Sub(time.UnixMicro(heir.Fence)) // a fence is the server's time of the grant, or later
	d.check("past the end of the lease", round(-early).String(), "not before", early <= 0)

	if err := d.troupe[heir.Instance].order(order{Do: "release"}); err != nil {
		return err
	}
	last, err := d.await(ctx, func(r report) bool { return r.What == "held" })
	if err != nil {
		return err
	}
	d.check("then the other waiter", fmt.Sprintf("process %d", last.Instance+1), "has it next", last.Instance != heir.Instance && last.Fence > heir.Fence)
	return d.release(ctx, last.Instance)
}

// holderPaused stops a holder for longer than its lease, as a long garbage collection or a suspended machine does. It
// goes on where it was and writes; its fence tells that it is too late.
func holderPaused(ctx context.Context, d *demo) error {
	if !hasSignals {
		d.note("not shown here", "this system has no signal that pauses a process")
		return nil
	}
	const lock = "pause"
	file := filepath.Join(d.dir, "register")
	paused, next := d.troupe[0], d.troupe[1]
	if _, err := d.hold(ctx, 0, order{Lock: lock, Lease: pauseLease}); err != nil {
		return err
	}
	first, err := d.write(ctx, 0, file)
	if err != nil {
		return err
	}
	if err := next.order(order{Do: "hold", Lock: lock, Lease: pauseLease}); err != nil {
		return err
	}
	if err := d.queued(ctx, lock, 1); err != nil {
		return err
	}
	if err := paused.signal(stopSignal); err != nil {
		return err
	}
	stopped := time.Now()
	d.tell("process %d is paused", paused.cmd.Process.Pid)
	heir, err := d.await(ctx, from(1, "held"))
	if err != nil {
		return err
	}
	second, err := d.write(ctx, 1, file)
	if err != nil {
		return err
	}
	if err := paused.order(order{Do: "write", File: file}); err != nil { // what it does first when it wakes up
		return err
	}
	d.tell("process %d is woken up", paused.cmd.Process.Pid)
	if err := paused.signal(wakeSignal); err != nil {
		return err
	}
	woken := time.Now()
	late, err := d.await(ctx, from(0, "written"))
	if err != nil {
		return err
	}
	d.note("paused for", fmt.Sprintf("%v, lease %v", round(woken.Sub(stopped)), pauseLease))
	d.check("its write before", taken(first), "taken", first.Taken)
	d.check("another took over after", round(heir.At.Sub(stopped)).String(), fmt.Sprintf("within %v + %v", pauseLease, d.slack), heir.At.Sub(stopped) <= pauseLease+d.slack)
	d.check("the other's write", taken(second), "taken", second.Taken && second.Fence > first.Fence)
	d.check("its write when awake", taken(late), "refused by fence", !late.Taken && late.Fence == first.Fence && late.Greatest == second.Fence)
	end := "goes on"
	if late.Over && late.Lost != "" {
		end = "ended"
	}
	d.check("its context", end, "ended", end == "ended")
	return d.release(ctx, 1)
}

func taken(r report) string {
	if r.Taken {
		return "taken"
	}
	return fmt.Sprintf("refused, %v late", round(time.Duration(r.Greatest-r.Fence)*time.Microsecond))
}

// staleHoldStolen has a process that is alive, with a long lease, hold the lock for longer than another tolerates.
func staleHoldStolen(ctx context.Context, d *demo) error {
	const lock = "stale"
	held, err := d.hold(ctx, 0, order{Lock: lock, Lease: stealLease})
	if err != nil {
		return err
	}
	info, err := d.link.client.Inspect(ctx, lock)
	if err != nil {
		return err
	}
	if len(info.Holds) == 0 {
		return fmt.Errorf("nobody holds the lock that was just taken")
	}
	if err := d.troupe[1].order(order{Do: "hold", Lock: lock, Lease: stealLease, StealAfter: stealAfter}); err != nil {
		return err
	}
	d.tell("process %d waits for the hold to be %v old", d.troupe[1].cmd.Process.Pid, stealAfter)
	thief, err := d.await(ctx, from(1, "held"))
	if err != nil {
		return err
	}
	robbed, err := d.await(ctx, func(r report) bool { return r.What == "ended" && r.Fence == held.Fence })
	if err != nil {
		return err
	}
	age := time.UnixMicro(thief.Fence).Sub(info.Holds[0].Since)
	d.check("stolen at the age of", round(age).String(), fmt.Sprintf("%v to %v", stealAfter, stealAfter+d.slack), age >= stealAfter && age <= stealAfter+d.slack)
	saw := robbed.Lost
	if robbed.Stolen {
		saw = "ErrStolen"
	}
	d.check("the holder saw", saw, "ErrStolen", robbed.Stolen)
	ended := held.Asked.Add(robbed.Held) // or a moment later: it was held from the answer on, not from the question
	handOver := thief.At.Sub(ended)
	d.check("then handed over within", round(handOver).String(), fmt.Sprintf("0s to %v", d.slack), handOver >= 0 && handOver <= d.slack)
	return d.release(ctx, 1)
}

// jobRunsOnce offers each job to all processes at the same moment.
func jobRunsOnce(ctx context.Context, d *demo) error {
	file := filepath.Join(d.dir, "jobs")
	start := time.Now().Add(startTogether)
	for _, i := range d.troupe {
		if err := i.order(order{Do: "offer", Lock: "job", File: file, Times: jobs, Pause: jobEvery, At: start}); err != nil {
			return err
		}
	}
	shares := make([]string, instances)
	for n := range d.troupe {
		r, err := d.await(ctx, from(n, "offered"))
		if err != nil {
			return err
		}
		shares[n] = fmt.Sprint(r.Times)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	runs := strings.Fields(string(text))
	slices.Sort(runs)
	different := len(slices.Compact(slices.Clone(runs)))
	d.check("jobs offered to all", fmt.Sprintf("%d ran, %d times", different, len(runs)), fmt.Sprintf("%d, each once", jobs), different == jobs && len(runs) == jobs)
	d.note("done by each", strings.Join(shares, " + "))
	return nil
}

func round(d time.Duration) time.Duration {
	if d.Abs() < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}
