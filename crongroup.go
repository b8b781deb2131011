package redislock

import (
	"cmp"
	"context"
	"errors"
	"slices"
)

// cronGroup is a group of jobs, as one of them sees it.
type cronGroup struct {
	name  string
	place []Option // of the lock under which a place in it is held
	skips bool     // a tick may be left out because the group is full
}

func groupName(group string) string { return "group:" + group }

// WithGroup makes this job part of a group. At most n jobs of a group run at a time in the fleet. A run holds a place of the
// group as long as it lasts: a unit of the [Semaphore] of n under the name "group:name". If the process dies, the place is free
// when its lease is over. If the place is lost, so is the run: its context ends. If jobs give different n, the smallest n of the
// running jobs counts.
//
// A tick that finds the group full waits for a place, in the order of arrival, as long as the context of its Run lasts. It holds
// the lock of its job while it waits. So later ticks of that job are treated as if it ran: with [OverlapSkip] they are left out,
// and so at most one tick of each job waits. The tick is not begun before it has its place. Until then [CronStatus] shows the run
// before it. [Client.Inspect] of "group:name" shows the jobs that run and those that wait. If the node dies while the tick waits,
// a node that stands by ([WithRetry]) runs the tick. Without one it is not run.
//
// With [OverlapReplace] a tick that waits for a place is not replaced before it has begun. WithWait and WithMaxQueue are
// [ErrInvalid] then: the run that is replaced has its place until it has ended, so the group would often be full, and nothing
// would run.
//
// The option [WithWait] bounds the wait: a tick that gets no place in that time is [OutcomeSkipped] on all nodes. WithWait(0)
// leaves out each tick that finds the group full. [WithMaxQueue] does so when that many ticks wait already. With [WithWeight] a
// run of this job takes several places. All other options are [ErrInvalid].
//
// A job may be in several groups. It takes its places in the order of the names of the groups, and waits for one place while it has
// the earlier ones. Two jobs of a group do not run on one node if both are also in a group of that node:
//
//	redislock.WithGroup("reports", 4), redislock.WithGroup("reports@"+hostname, 1)
//
// The node that has taken a tick waits for its own place then; it does not give the tick to another node.
func WithGroup(name string, n int, opts ...Option) CronOption {
	return cronOption(func(s *cronSettings) error {
		if err := checkDerived(name, groupName); err != nil {
			return err
		}
		if slices.ContainsFunc(s.groups, func(g cronGroup) bool { return g.name == name }) {
			return invalid("WithGroup(%q) twice", name)
		}
		given := settings{weight: 1}
		if err := given.apply(opts); err != nil {
			return err
		}
		asked := settings{wait: given.wait, waitSet: given.waitSet, weight: given.weight, maxQueue: given.maxQueue}
		if given != asked {
			return invalid("WithGroup(%q): of the options only WithWait, WithMaxQueue and WithWeight", name)
		}
		mode := Semaphore(n)
		if err := mode.check(int(given.weight)); err != nil {
			return err
		}
		s.groups = append(slices.Clip(s.groups), cronGroup{name, append(slices.Clip(opts), WithMode(mode)), given.waitSet || given.maxQueue > 0})
		slices.SortFunc(s.groups, func(a, b cronGroup) int { return cmp.Compare(a.name, b.name) })
		return nil
	})
}

// enter takes a place in each group of the job. All jobs take their places in the order of the names of the groups, so no two of
// them wait for each other. It returns 0 and no error if the run has all its places.
func (r *cronRun) enter(ctx context.Context, own []Option) (Outcome, error) {
	under := r.job.under(r.turn.under(ctx))
	for _, group := range r.groups {
		place, _ := ownLock(own)
		l, err := r.client.acquire(under, groupName(group.name), append(place, group.place...))
		switch {
		case err == nil:
			r.places = append(r.places, l)
			under = l.within(under)
		case errors.Is(err, ErrHeld) && r.loss() == nil && ctx.Err() == nil:
			return r.skip(ctx)
		default:
			return r.notBegun(err)
		}
	}
	return 0, nil
}

// leave gives the places back.
func (r *cronRun) leave(ctx context.Context) {
	for _, l := range slices.Backward(r.places) {
		_ = l.finish(ctx, true, 0) // if Redis does not answer, it goes on in the background
	}
}
