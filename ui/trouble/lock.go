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
	// LongWait is from when on a wait is long for a lock of which no other is known.
	LongWait = time.Minute
	// longFactor is how many times the longest wait that was seen to be served a wait is long. One under leastLong never is.
	longFactor = 3
	leastLong  = 10 * time.Second
	// dangerWait is from when on a wait means that the work stands still.
	dangerWait = 10 * time.Minute
	// unserved is for how long those who wait for a free lock may do so: each looks every 2 s, and is passed over after 7 s of silence.
	unserved = 10 * time.Second
)

// late reports whether a hold should have been renewed by then: a Client renews it after a third of its lease. One that was
// never renewed may have been taken without renewal.
func late(h redislock.Hold, now time.Time) (late, never bool) {
	renewed := h.Renewed()
	if renewed.IsZero() || h.Kept || h.Revoked {
		return false, false
	}
	return now.Sub(renewed) > h.Lease/2, renewed.Sub(h.Since) < h.Lease/4
}

// OfLock is what one look at a lock shows.
func OfLock(info redislock.Info) []Trouble { return ofLock(info, before{}) }

// before is what is known of a lock from earlier.
type before struct {
	long  time.Duration // from when on a wait is long for it; 0 is LongWait
	held  time.Time     // when it was last seen to be held
	ended time.Time     // when a hold was lost lately: until then that was why others waited
}

func ofLock(info redislock.Info, known before) (all []Trouble) {
	add := func(kind Kind, level Level, since time.Time, title Text, means []Text, steps []Step) *Trouble {
		all = append(all, Trouble{Kind: kind, Level: level, Lock: info.Name, Title: title, Since: since, Waiting: info.Waiting, Means: means, Steps: steps})
		return &all[len(all)-1]
	}
	level := Warning
	if info.Waiting > 0 {
		level = Danger
	}
	for _, h := range info.Holds {
		who := Who(h.Owner)
		switch late, never := late(h, info.Now); {
		case late && never && info.Waiting == 0: // perhaps as it is meant, and it hurts nobody
		case late:
			title := who + " does not renew its hold"
			why := says("It should have done so %s after the last time. It is paused, gone, or cut off from Redis.", Length(h.Lease/3))
			if never {
				title = who + " has never renewed its hold"
				why = says("It should have done so after %s, unless it took the lock WithoutRenewal. It is paused, gone, or cut off from Redis.", Length(h.Lease/3))
			}
			if strings.HasPrefix(info.Name, "elect:") {
				title = strings.Replace(title, "its hold", "its leadership", 1)
			}
			t := add(NotRenewed, level, h.Renewed(), Text(title), []Text{why, says("The hold ends by itself at %s, and then %s. If the process goes on later, only the fence keeps its writes out.", moment(h.Deadline), after(info))},
				slices.Concat([]Step{look(h.Owner)}, goOn(h.Owner), []Step{{"Wait until the hold has ended, and see who has the lock then", show(info.Name)}, breakStep(info.Name, "Do not wait for that: take the lock away")}))
			t.until = h.Deadline
			if !never && !strings.HasPrefix(info.Name, "elect:") {
				t.cause = cause{kind: NotRenewed, who: process(h.Owner)}
			}
		case h.Revoked:
			add(Stolen, Warning, time.Time{}, Text(who+" was robbed of the lock, and has not given it up"), []Text{
				"A caller found the hold too old (WithStealAfter). It gets the lock when that process gives up, and at the deadline, " + Text(moment(h.Deadline)) + ", if it is paused or gone.",
			}, []Step{look(h.Owner), watch(info.Name)})
		}
	}
	first := oldest(info)
	waited, free, long := info.Now.Sub(later(first, known.ended)), info.Now.Sub(later(first, known.held)), known.long
	if long == 0 {
		long = LongWait
	}
	switch {
	case first.IsZero() || len(all) > 0: // who does not renew is why they wait
	case strings.HasPrefix(info.Name, "elect:") && info.Holders == 0 && free > unserved:
		add(NoLeader, Danger, known.held, Text("nobody leads, and "+count(info.Waiting, "candidate does", "candidates do")+" not take over"),
			[]Text{"What the leader does is not done. A candidate that lives becomes the leader within seconds: if it stays so, the candidates are paused, gone or cut off from Redis."},
			slices.Concat([]Step{look(info.Places[0].Owner)}, goOn(info.Places[0].Owner), []Step{{"If they are gone, start a process that takes part: it leads within seconds", ""}, {"See its state", show(info.Name)}}))
	case info.Holders == 0 && free > unserved:
		add(NotServed, Danger, first, Text("nobody holds it, and "+count(info.Waiting, "waiter does", "waiters do")+" not get it"),
			[]Text{"The lock goes to the first who waits when it looks again, within 2s. One that does not look is passed over after 7s, so those who wait may be paused or gone, and a new one sets them right."},
			slices.Concat([]Step{look(info.Places[0].Owner)}, goOn(info.Places[0].Owner), []Step{watch(info.Name)}))
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
			means = append(means, says("%s has given the lock back, and it is kept until %s all the same (ReleaseAfter, WithAtLeast).", Who(h.Owner), moment(h.Deadline)))
			steps = append(steps, watch(info.Name), breakStep(info.Name, "End it sooner: nobody is hit"))
		case held < waited/4:
			title = Text(count(info.Waiting, "waits", "wait") + " for long: too many want it")
			means = append(means, says("Others were served meanwhile: the present holder, %s, has had it for %s. So many want the lock that each waits long.", Who(h.Owner), Length(held)),
				"Do less under the lock, use a lock for each thing instead of one for all, or Read and Write where most only read.")
			steps = append(steps, watch(info.Name))
		default:
			means = append(means, says("%s holds it%s, since %s. %s", Who(h.Owner), others(info), moment(h.Since), alive(h, info.Now)))
			steps = append(steps, look(h.Owner), askStep(info.Name), breakStep(info.Name, "Take it away, if it must be"))
			common = cause{kind: WaitsLong, who: process(h.Owner)}
		}
		add(WaitsLong, level, first, title, means, steps).cause = common
	}
	return all
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// alive says what the last renewal of a hold tells of its process.
func alive(h redislock.Hold, now time.Time) string {
	switch renewed := h.Renewed(); {
	case renewed.IsZero():
		return "It works for long, or hangs with the lock in its hands."
	case renewed.Sub(h.Since) < h.Lease/4:
		return "Its first renewal is due after " + Length(h.Lease/3) + ": until then nobody can tell whether the process lives."
	case now.Sub(renewed) > h.Lease*2/5:
		return "It renewed " + age(renewed) + " ago, and should do so every " + Length(h.Lease/3) + ": it is late, and may be paused or cut off."
	default:
		return "It renewed " + age(renewed) + " ago, as it should every " + Length(h.Lease/3) + ": the process lives, and works for long or hangs with the lock in its hands."
	}
}

// OfDamaged is a lock whose key cannot be read.
func OfDamaged(name, why string) Trouble {
	return Trouble{
		Kind: Damaged, Level: Danger, Lock: name, Title: "its key cannot be read",
		Means: []Text{Text(safetext.Escape(why) + "."), "Nobody is served under this name until the key is deleted."},
		Steps: []Step{{"See that nobody works under the name, look at the key by redis-cli (type, hgetall), and delete it", ""}},
	}
}

// queues reports whether a wait for a lock of that name ought to be short: candidates of an election, and those who wait for what
// is done once, wait for as long as it takes.
func queues(name string) bool {
	for _, kind := range []string{"elect:", "once:", "share:"} {
		if strings.HasPrefix(name, kind) {
			return false
		}
	}
	return true
}

// oldest is since when somebody waits; zero if nobody does.
func oldest(info redislock.Info) (first time.Time) {
	for _, p := range info.Places {
		if !p.Since.IsZero() && (first.IsZero() || p.Since.Before(first)) {
			first = p.Since
		}
	}
	return first
}

// present is the first hold that its owner has not given back, or else the first of all. There must be one.
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
		return "the first of " + count(info.Waiting, "waiter", "waiters") + " has the lock milliseconds later"
	}
	return "the lock is free"
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func show(name string) string { return "redislock show " + Typed(name) }

// look is how to see what an owner does.
func look(o redislock.Owner) Step {
	if o.PID <= 0 { // others wrote it, and a negative one is that of a group, or of all
		return Step{"Find the process by its log: Redis does not know its host and number", ""}
	}
	return Step{
		says("On %s, see what process %d does, and the log of %s", safetext.Text(o.Host), o.PID, safetext.Text(o.Client)),
		fmt.Sprintf("ps -o pid,stat,etime,args -p %d", o.PID),
	}
}

// goOn is how to let an owner go on that may be stopped; none if its number is not known.
func goOn(o redislock.Owner) []Step {
	if o.PID <= 0 { // others wrote it, and a negative one is that of a group, or of all
		return nil
	}
	return []Step{{"If its STAT there begins with T it is stopped, and this lets it go on", fmt.Sprintf("kill -CONT %d", o.PID)}}
}

func watch(name string) Step {
	if isPattern(name) {
		return Step{"Watch it move", "redislock watch --name " + Typed(name)}
	}
	return Step{"Watch it move", "redislock watch " + Typed(name)}
}

// isPattern reports whether redislock watch would take a name for a pattern.
func isPattern(name string) bool { return strings.ContainsAny(name, `*?[\`) }

func askStep(name string) Step {
	return Step{"Ask for it; nothing is taken", "redislock ask " + Typed(name) + " --why '...'"}
}

func breakStep(name string, text Text) Step {
	return Step{text, "redislock break " + Typed(name) + " --reason '...'"}
}
