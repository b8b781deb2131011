package trouble

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/safetext"
)

const (
	// LongWait is how long a wait must be to count as long, for a lock of which too few waits are known.
	LongWait = time.Minute
	// A wait also counts as long if it is longer than longFactor times the longest wait that was seen to be served. A wait
	// shorter than leastLong never does.
	longFactor = 3
	leastLong  = 10 * time.Second
	// dangerWait is how long a wait must be to mean that the work stands still.
	dangerWait = 10 * time.Minute
	// unserved is how long waiters may wait for a free lock: each looks every 2 s, and is passed over after 7 s of silence.
	unserved = 10 * time.Second
)

// late reports whether a hold should have been renewed before that time, as a Client renews it after a third of its lease.
// It also reports whether the hold was never renewed: then it may have been taken without renewal.
func late(h redislock.Hold, now time.Time) (late, never bool) {
	renewed := h.Renewed()
	if renewed.IsZero() || h.Kept || h.Revoked {
		return false, false
	}
	return now.Sub(renewed) > h.Lease/2, renewed.Sub(h.Since) < h.Lease/4
}

// OfLock returns the troubles that one look at a lock shows.
func OfLock(info redislock.Info) []Trouble { return ofLock(info, before{}) }

// before is what earlier looks have shown of a lock.
type before struct {
	long  time.Duration // how long a wait must be to count as long; 0 means LongWait
	held  time.Time     // when it was last seen to be held
	ended time.Time     // when a hold was lost lately: until then others waited because of that hold
}

func ofLock(info redislock.Info, known before) (all []Trouble) {
	add := func(kind Kind, level Level, since time.Time, title Text, means []Text, steps []Step) *Trouble {
		all = append(all, Trouble{Kind: kind, Level: level, Lock: info.Name, Title: title, Since: since, Waiting: info.Waiting, Means: means, Steps: ranked(steps...)})
		return &all[len(all)-1]
	}
	level := Warning
	if info.Waiting > 0 {
		level = Danger
	}
	for _, h := range info.Holds {
		who := Who(h.Owner)
		switch late, never := late(h, info.Now); {
		case late && never && info.Waiting == 0: // this may be intended, and nobody waits
		case late:
			t := add(NotRenewed, level, h.Renewed(), "", nil, notRenewedSteps(info, h))
			t.Title, t.Means = notRenewed(info, h, never)
			t.until, t.when = h.Deadline, "last renewed "
			if never {
				t.when = "taken "
			}
			if !never && !strings.HasPrefix(info.Name, "elect:") {
				t.cause = cause{kind: NotRenewed, who: process(h.Owner)}
			}
		case h.Revoked:
			add(Stolen, Warning, time.Time{}, Text(who+" was robbed of the lock, and has not given it up"), []Text{
				"A caller that waits may take the lock from a holder that has had it for so long. It gets the lock when that process gives it up, and at the end of its lease, " + Text(moment(h.Deadline)) + ", if it is paused or gone.",
			}, []Step{look(h.Owner, "which is to give it up"), watch(info.Name), prevent("WithStealAfter of the caller says from what age on it takes a lock: see that the work is shorter, or the age longer")})
		}
	}
	first := oldest(info)
	waited, free, long := info.Now.Sub(later(first, known.ended)), info.Now.Sub(later(first, known.held)), known.long
	if long == 0 {
		long = LongWait
	}
	switch {
	case first.IsZero() || len(all) > 0: // the waiters wait because of a holder that does not renew
	case strings.HasPrefix(info.Name, "elect:") && info.Holders == 0 && free > unserved:
		add(NoLeader, Danger, known.held, Text("nobody leads, and "+count(info.Waiting, "candidate does", "candidates do")+" not take over"),
			[]Text{"What the leader does is not done. A candidate that lives becomes the leader within seconds: if it stays so, the candidates are paused, gone or cut off from Redis."},
			slices.Concat([]Step{look(info.Places[0].Owner, "the first candidate")}, goOnWaiting(info.Places[0]), []Step{{Mend, "If the candidates are gone, start a process that takes part: it leads within seconds", "", ""}, seeLock(info.Name)}))
	case info.Holders == 0 && free > unserved:
		add(NotServed, Danger, first, Text("nobody holds it, and "+count(info.Waiting, "waiter does", "waiters do")+" not get it"),
			[]Text{"The lock goes to the first who waits when it looks again, within 2s. One that does not look is passed over after 7s. So the waiters may be paused or gone. In that case the next caller that asks for the lock gets it."},
			slices.Concat([]Step{look(info.Places[0].Owner, "the first who waits")}, goOnWaiting(info.Places[0]), []Step{watch(info.Name)}))
	case info.Holders > 0 && waited > long && queues(info.Name):
		level := Warning
		if waited > dangerWait {
			level = Danger
		}
		h := present(info)
		held := info.Now.Sub(h.Since)
		title := Text(count(info.Waiting, "waits", "wait") + " for long: " + Who(h.Owner) + " holds it")
		means, steps, common := []Text{}, []Step{}, cause{}
		switch {
		case h.Kept:
			title = Text(count(info.Waiting, "waits", "wait") + " for long: it was given back, and is kept")
			means = append(means, says("%s has given the lock back, and it is kept until %s all the same, as its program asked for.", Who(h.Owner), moment(h.Deadline)))
			steps = append(steps, watch(info.Name), endKept(info.Name), prevent("ReleaseAfter, or WithAtLeast, says for how long it is kept"))
		case held < waited/4:
			title = Text(count(info.Waiting, "waits", "wait") + " for long: too many want it")
			means = append(means, says("Others were served meanwhile: the present holder, %s, has had it for %s. So many want the lock that each waits long.", Who(h.Owner), Length(held)),
				"Each gets it in its turn. Only fewer callers or shorter work make the waits shorter.")
			steps = append(steps, watch(info.Name), prevent("Do less under the lock, use a lock for each thing instead of one for all, or Read and Write where most only read"))
		default:
			means = append(means, says("%s holds it%s, since %s. %s", Who(h.Owner), others(info), moment(h.Since), alive(h, info.Now)))
			steps = append(steps, look(h.Owner, "which holds it"), askStep(info), breakStep(info, "Take it away, if the work may be left half done"))
			common = cause{kind: WaitsLong, who: process(h.Owner)}
		}
		means = append(means, waiters(info), says("It counts as a danger once the first has waited for %s: the work stands still then.", Length(dangerWait)))
		add(WaitsLong, level, first, title, means, steps).cause = common
	}
	return all
}

// maxWaiters is how many of those who wait are named.
const maxWaiters = 3

// waiters names those who wait for a lock, the first first.
func waiters(info redislock.Info) Text {
	var names []string
	for _, p := range info.Places[:min(maxWaiters, len(info.Places))] {
		names = append(names, Who(p.Owner))
	}
	text := "Those who wait, in order: " + strings.Join(names, ", ")
	if more := info.Waiting - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return Text(text + ".")
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// notRenewed describes a hold that is not renewed, with its end. Until then the lock still belongs to its owner.
func notRenewed(info redislock.Info, h redislock.Hold, never bool) (title Text, means []Text) {
	what, ends, over := "its hold", "which ends at ", !h.Deadline.After(info.Now)
	if strings.HasPrefix(info.Name, "elect:") {
		what = "its leadership"
	}
	if over {
		ends = "which ended at "
	}
	title = says("%s does not renew %s, %s%s", Who(h.Owner), what, ends, moment(h.Deadline))
	why := says("It renewed last at %s, and should do so every %s. It is paused, gone, or cut off from Redis.", moment(h.Renewed()), Length(h.Lease/3))
	if never {
		title = says("%s has never renewed %s, %s%s", Who(h.Owner), what, ends, moment(h.Deadline))
		why = says("It should have done so after %s, unless its program takes the lock for a fixed time. It is paused, gone, or cut off from Redis.", Length(h.Lease/3))
	}
	if over {
		return title, []Text{why, "The lock is not its own any more: whoever asks next gets it."}
	}
	return title, []Text{why, says("Until %s the lock is its own, and nobody else gets it. The hold ends then by itself, and %s.", moment(h.Deadline), after(info))}
}

func notRenewedSteps(info redislock.Info, h redislock.Hold) []Step {
	if !h.Deadline.After(info.Now) {
		return []Step{lookLate(h.Owner), seeLock(info.Name)}
	}
	return slices.Concat([]Step{look(h.Owner, "which holds it")}, goOn(h.Owner, h.Deadline), []Step{
		{Mend, says("Or wait until the hold has ended, at %s, and see who has the lock then", moment(h.Deadline)), show(info.Name), ""},
		breakStep(info, "Do not wait for that: take the lock away"),
	})
}

// endKept is the step that ends a hold that was given back and is only kept.
func endKept(name string) Step {
	return Step{Take, "End it sooner", "redislock break " + Typed(name) + " --reason '...'", "Nobody works under it any more: this only ends the time for which it is kept"}
}

// alive says what the last renewal of a hold shows about its process.
func alive(h redislock.Hold, now time.Time) string {
	switch renewed := h.Renewed(); {
	case renewed.IsZero():
		return "It works for long, or it hangs while it holds the lock."
	case renewed.Sub(h.Since) < h.Lease/4:
		return "Its first renewal is due after " + Length(h.Lease/3) + ": until then nobody can tell whether the process lives."
	case now.Sub(renewed) > h.Lease*2/5:
		return "It renewed " + age(renewed) + " ago, and should do so every " + Length(h.Lease/3) + ": it is late, and may be paused or cut off."
	default:
		return "It renewed " + age(renewed) + " ago, as it should every " + Length(h.Lease/3) + ": the process lives. It works for long, or it hangs while it holds the lock."
	}
}

// OfDamaged is the trouble of a lock whose key cannot be read.
func OfDamaged(name, why string) Trouble {
	return Trouble{
		Kind: Damaged, Level: Danger, Lock: name, Title: "its key cannot be read",
		Means: []Text{Text(safetext.Escape(why) + "."), "Nobody is served under this name until the key is deleted."},
		Steps: []Step{
			lookStep("See that nobody works under the name, and look at the key by redis-cli (TYPE, HGETALL)", ""),
			{Take, "Delete the key", "", "Whoever relies on that key loses it: see first which program wrote it"},
		},
	}
}

// queues reports whether waits for a lock of that name should be short. Candidates of an election, and callers that wait for work
// of Once, wait for as long as it takes.
func queues(name string) bool {
	for _, kind := range []string{"elect:", "once:", "share:"} {
		if strings.HasPrefix(name, kind) {
			return false
		}
	}
	return true
}

// oldest is since when the first waiter waits. It is zero if nobody waits.
func oldest(info redislock.Info) (first time.Time) {
	for _, p := range info.Places {
		if !p.Since.IsZero() && (first.IsZero() || p.Since.Before(first)) {
			first = p.Since
		}
	}
	return first
}

// present is the first hold that was not given back, or else the first of all. There must be one.
func present(info redislock.Info) redislock.Hold {
	for _, h := range info.Holds {
		if !h.Kept {
			return h
		}
	}
	if len(info.Holds) == 0 {
		return redislock.Hold{}
	}
	return info.Holds[0]
}

func others(info redislock.Info) string {
	if info.Holders < 2 {
		return ""
	}
	return ", with " + count(info.Holders-1, "other", "others")
}

func after(info redislock.Info) string {
	if info.Waiting > 0 {
		first := ""
		if len(info.Places) > 0 {
			first = Who(info.Places[0].Owner) + ", "
		}
		return first + "the first of " + count(info.Waiting, "waiter", "waiters") + ", has the lock milliseconds later"
	}
	return "the lock is free"
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
