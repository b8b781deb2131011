package trouble

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/ui/doctor"
)

func commands(steps []Step) (all []string) {
	for _, s := range steps {
		if s.Command != "" {
			all = append(all, s.Command)
		}
	}
	return all
}

// A process that goes on after its lease writes beside the next holder. So no step may say to let it go on.
func TestAStoppedProcessIsToGoOnOnlyWhileTheLockIsItsOwn(t *testing.T) {
	const goOn = "kill -CONT 12"
	late := held("x", time.Hour, 16*time.Second)
	i := slices.IndexFunc(OfLock(late)[0].Steps, func(s Step) bool { return s.Command == goOn })
	if i < 0 {
		t.Fatalf("its own: %s", all(OfLock(late)[0]))
	}
	if warn := OfLock(late)[0].Steps[i].Warn; !strings.Contains(string(warn), moment(zero.Add(14*time.Second))) || !strings.Contains(string(warn), "fence") {
		t.Errorf("until when, and why: %q", warn)
	}

	next := redislock.Info{Name: "x", Now: zero.Add(20 * time.Second), Fence: 8, Holders: 1, Holds: []redislock.Hold{
		{ID: "n", Owner: other, Since: zero.Add(14 * time.Second), Lease: 30 * time.Second, Deadline: zero.Add(45 * time.Second), Fence: 8, Weight: 1},
	}}
	over := with(late, func(i *redislock.Info) { i.Now = zero.Add(15 * time.Second) })
	texts := map[string][]Step{"lapsed, and still there": OfLock(over)[0].Steps}
	for _, how := range []How{Lapsed, WasLost, Vanish, Robbed, Broken, Closed} {
		var m Memory
		m.See(next)
		m.Note("x", End{How: how, Owner: owner, At: zero, Fence: 7})
		found := m.Troubles(next.Now)
		if len(found) != 1 || !strings.Contains(all(found[0]), "web (pid 13 on node-4) has the lock now") || !strings.Contains(all(found[0]), "nothing to break") {
			t.Errorf("%s: %v", how, found)
		}
		texts[string(how)] = found[0].Steps
		_, texts["the page: "+string(how)] = Explain(next, m.About("x", next.Now)...)
	}
	for name, steps := range texts {
		for _, command := range commands(steps) {
			if command == goOn || strings.Contains(command, " break ") || strings.Contains(command, " ask ") {
				t.Errorf("%s: it proposes %s", name, command)
			}
		}
		if steps[0].Command != "ps -o pid,stat,etime,time,wchan,args -p 12" && steps[1].Command != "ps -o pid,stat,etime,time,wchan,args -p 12" {
			t.Errorf("%s: the look at the process does not come first: %v", name, commands(steps))
		}
		if !slices.ContainsFunc(steps, func(s Step) bool { return strings.Contains(string(s.Warn), "do not let it go on") }) {
			t.Errorf("%s: it does not warn", name)
		}
	}
}

// everyTrouble has a trouble of each kind.
func everyTrouble() (found []Trouble) {
	for _, info := range []redislock.Info{
		held("not renewed", time.Hour, 16*time.Second),
		waitedFor(held("never renewed", 25*time.Second, 25*time.Second), 2, time.Second),
		with(held("stolen", time.Hour, 25*time.Second), func(i *redislock.Info) { i.Holds[0].Revoked = true }),
		waitedFor(held("waits long", time.Hour, 5*time.Second), 12, 2*time.Minute),
		waitedFor(held("too many", time.Second, time.Second), 50, 2*time.Minute),
		waitedFor(with(held("kept", time.Hour, 16*time.Second), func(i *redislock.Info) { i.Holds[0].Kept = true }), 2, 2*time.Minute),
		waitedFor(redislock.Info{Name: "elect:x", Now: zero}, 2, time.Minute),
		waitedFor(redislock.Info{Name: "not served", Now: zero}, 2, time.Minute),
	} {
		found = append(found, OfLock(info)...)
	}
	for _, how := range []How{Lapsed, WasLost, Vanish, Robbed, Broken, Closed} {
		found = append(found, ofEnd("x", End{How: how, Owner: owner, At: zero, Fence: 7}, redislock.Info{}))
	}
	var m Memory
	for i := range many {
		m.See(waitedFor(held(fmt.Sprint("renew/", i), time.Hour, 16*time.Second), 1, time.Second))
		m.Note(fmt.Sprint("lost/", i), End{How: Lapsed, Owner: owner, At: zero, Fence: 1})
		m.Note(fmt.Sprint("vanished/", i), End{How: Vanish, Owner: owner, At: zero, Fence: 1})
		m.See(waitedFor(with(held(fmt.Sprint("long/", i), time.Hour, 5*time.Second), func(i *redislock.Info) { i.Holds[0].Owner = other }), 2, 2*time.Minute))
	}
	m.Away(zero.Add(-time.Minute), zero)
	found = append(found, m.Troubles(zero)...)
	found = append(found, OfCycle(redislock.WaitGraphOf(ring("a", "b")).Cycles[0], ring("a", "b")...), OfDamaged("x", "WRONGTYPE"))
	job := redislock.CronStatus{Job: "nightly", Outcome: redislock.OutcomeFailed, Tick: zero, End: zero, Next: zero, Node: owner}
	found = append(found, OfJob(job, zero.Add(time.Hour))...)
	job.Outcome = redislock.OutcomeDied
	found = append(found, OfJob(job, zero.Add(time.Hour))...)
	found = append(found, ofFull(filled{last: zero}))
	return append(found, OfServer(fullReport)...)
}

var fullReport = doctor.Report{Findings: []doctor.Finding{
	{Check: "memory", Level: doctor.Danger, Stops: doctor.NoMemory, Found: "full, most acquires are refused: 24 MB in use of a maxmemory of 24 MB", Why: "an acquire is refused (OOM) whenever no memory is free; now and then one passes.", Fix: "raise its limit to 48 MB", Command: "redis-cli -h 127.0.0.1 -p 7615 CONFIG SET maxmemory 48mb", Cost: "it lasts until the server restarts", Look: "redis-cli --bigkeys"},
	{Check: "lock", Level: doctor.Danger, Stops: doctor.NoMemory, Found: "refused: OOM command not allowed when used memory > 'maxmemory'."},
}}

func TestStepsLookFirstThenMendThenTakeAndSayWhatThatCosts(t *testing.T) {
	for _, one := range everyTrouble() {
		if !slices.IsSortedFunc(one.Steps, func(a, b Step) int { return int(a.Action) - int(b.Action) }) || len(one.Steps) == 0 {
			t.Errorf("the order: %s", all(one))
		}
		for _, s := range one.Steps {
			taking, forgetting := strings.HasPrefix(s.Command, "redislock break "), strings.HasPrefix(s.Command, "redislock cron-status --reset ")
			switch {
			case taking != (s.Action == Take) && s.Command != "", forgetting != (s.Action == Forget), s.Action == Look && (strings.HasPrefix(s.Command, "kill ") || strings.Contains(s.Command, "CONFIG SET")):
				t.Errorf("the kind of %q: %v", s.Command, s.Action)
			case (s.Action == Take || s.Action == Forget) && s.Warn == "", strings.HasPrefix(s.Command, "kill ") && s.Warn == "":
				t.Errorf("it does not say what it costs: %s", all(one))
			}
		}
	}
}

// What makes Redis forget a job looks like its repair where other troubles are, so it is only where the job is alone.
func TestWhatMakesRedisForgetIsOnNoOverview(t *testing.T) {
	job := redislock.CronStatus{Job: "nightly", Outcome: redislock.OutcomeRan, Tick: zero, End: zero, Next: zero, Node: owner}
	found := OfJob(job, zero.Add(time.Hour))
	if text := fmt.Sprint(commands(Overview(found[0].Steps))); strings.Contains(text, "--reset") || !strings.Contains(text, "redislock cron-status nightly") {
		t.Errorf("on an overview: %s", text)
	}
	_, steps := Explain(redislock.Info{Name: "cron:nightly", Now: zero.Add(time.Hour)}, found...)
	last := steps[len(steps)-1]
	if last.Command != "redislock cron-status --reset nightly" || !strings.Contains(string(last.Warn), "it is no longer overdue, and nobody is told") {
		t.Errorf("of the job alone: %+v", steps)
	}
}

func TestALockInNoTroubleSaysSoAndWhatLooksComesFirst(t *testing.T) {
	for name, c := range map[string]struct {
		info redislock.Info
		well bool
	}{
		"held":         {held("x", time.Hour, time.Second), true},
		"waited for":   {waitedFor(held("x", time.Hour, time.Second), 1, time.Second), true},
		"a leader":     {held("elect:x", time.Hour, time.Second), true},
		"waits long":   {waitedFor(held("x", time.Hour, time.Second), 1, time.Hour), false},
		"over":         {held("x", time.Hour, 40*time.Second), false},
		"not renewed":  {held("x", time.Hour, 16*time.Second), false},
		"fixed time":   {held("x", 20*time.Second, 20*time.Second), false},
		"not yet over": {held("x", 5*time.Second, 5*time.Second), true},
	} {
		means, steps := Explain(c.info)
		if text := fmt.Sprint(means); strings.Contains(text, "Nothing is known to be wrong.") != c.well {
			t.Errorf("%s: %s", name, text)
		}
		if !c.well {
			continue
		}
		var order []string
		for _, s := range steps {
			order = append(order, s.Action.String()+" "+strings.Join(strings.Fields(s.Command)[:2], " "))
			if strings.HasPrefix(s.Command, "redislock break") && strings.Contains(string(s.Warn), "It deposes the leader") != (name == "a leader") {
				t.Errorf("%s: %s", name, s.Warn)
			}
		}
		if want := []string{"look ps -o", "look redislock watch", "take redislock ask", "take redislock break"}; !slices.Equal(order, want) {
			t.Errorf("%s: %q, want %q", name, order, want)
		}
	}
}

func TestALongWaitNamesThoseWhoWait(t *testing.T) {
	info := waitedFor(held("x", time.Hour, time.Second), 5, 2*time.Minute)
	text := all(OfLock(info)[0])
	if !strings.Contains(text, "Those who wait, in order: web (pid 13 on node-4)") || !strings.Contains(text, "once the first has waited for 10m0s") {
		t.Errorf("%s", text)
	}
}

// Steps for operators speak of locks and processes. Steps that only developers can take come last, under their own
// heading.
func TestNamesOfTheLibraryAreForDevelopersOnly(t *testing.T) {
	for _, one := range everyTrouble() {
		text := string(one.Title)
		for _, m := range one.Means {
			text += "\n" + string(m)
		}
		for _, s := range one.Steps {
			if s.Action != Prevent {
				text += "\n" + string(s.Text) + "\n" + string(s.Warn)
			}
		}
		for _, name := range []string{"With", "AcquireAll", "ReleaseAfter", "Client.", "context"} {
			if strings.Contains(text, name) {
				t.Errorf("%s says %s: %s", one.Kind, name, text)
			}
		}
	}
}

func TestTheFenceIsExplainedOnceOnAPage(t *testing.T) {
	var m Memory
	info := waitedFor(held("x", time.Hour, 16*time.Second), 2, time.Second)
	m.See(info)
	m.Note("x", End{How: Broken, Owner: other, At: zero, Fence: 5})
	m.Note("x", End{How: Lapsed, Owner: other, At: zero, Fence: 6})
	means, steps := Explain(info, m.About("x", zero)...)
	text := all(Trouble{Means: means, Steps: steps})
	first, rest, found := strings.Cut(text, theFence)
	if !found || strings.Contains(rest, theFence) || strings.Contains(first, "fence") && !strings.HasSuffix(first, "the fence") || !strings.Contains(rest, "fence") {
		t.Errorf("%s", text)
	}
}

func TestNoSentenceIsOnAPageTwice(t *testing.T) {
	var m Memory
	m.See(held("x", time.Hour, time.Second))
	m.Note("x", End{How: Lapsed, Owner: other, At: zero, Fence: 5})
	m.Note("x", End{How: Lapsed, Owner: other, At: zero, Fence: 6})
	means, _ := Explain(held("x", time.Hour, time.Second), m.About("x", zero)...)
	for i, text := range means {
		if slices.Contains(means[:i], text) {
			t.Errorf("%q is there twice: %v", text, means)
		}
	}
}

// The doctor reports a full server twice, and jobs are late because of it. That is one trouble, which comes first.
func TestAFullRedisIsOneCauseAndWhatFollowsFromItSaysSo(t *testing.T) {
	job := redislock.CronStatus{Job: "rates", Outcome: redislock.OutcomePending, Next: zero.Add(-time.Hour), Node: owner}
	free := waitedFor(redislock.Info{Name: "elect:x", Now: zero}, 2, time.Minute)
	found := All(OfLock(free), []redislock.CronStatus{job}, fullReport, zero)
	var kinds []Kind
	for _, one := range found {
		kinds = append(kinds, one.Kind)
	}
	if !slices.Equal(kinds, []Kind{Full, NoLeader, Overdue}) {
		t.Fatalf("%v", kinds)
	}
	if text := all(found[0]); !strings.Contains(text, "full danger Redis is full, most acquires are refused: 24 MB in use") || !strings.Contains(text, "restarts: redis-cli -h 127.0.0.1 -p 7615 CONFIG SET maxmemory 48mb") || strings.Contains(text, "OOM command") {
		t.Errorf("%s", text)
	}
	if !strings.HasPrefix(string(found[1].Means[0]), "Redis is full") {
		t.Errorf("%s", all(found[1]))
	}
	if text := all(found[2]); !strings.Contains(text, "rates is overdue (Redis is full)") || !strings.Contains(text, "probably because its lock could not be taken") || !strings.Contains(text, "ps -o pid,stat,etime,time,wchan,args -p 12") || strings.Contains(text, "nothing is known to be wrong") || strings.Contains(text, "No process") || strings.Contains(text, "--reset") || strings.Contains(text, "Start a process") {
		t.Errorf("%s", text)
	}
	means, steps := Explain(redislock.Info{Name: "payments/1", Now: zero, Fence: 3}, About("payments/1", found)...)
	if text := fmt.Sprint(means, commands(steps)); !strings.Contains(text, "It is free, but Redis is full, most acquires are refused: 24 MB in use of a maxmemory of 24 MB.") || !strings.Contains(text, "CONFIG SET maxmemory 48mb") || strings.Contains(text, "rates") {
		t.Errorf("any lock: %s", text)
	}
	means, steps = Explain(held("x", time.Hour, time.Second), About("x", found)...)
	if text := fmt.Sprint(means, commands(steps)); !strings.Contains(text, "[Redis is full, most acquires are refused") || strings.Contains(text, "ps -o") || strings.Contains(text, "redislock watch") {
		t.Errorf("one that is held, by a process in order: %s", text)
	}
	means, _ = Explain(redislock.Info{Name: "cron:rates", Now: zero}, About("cron:rates", found)...)
	if text := fmt.Sprint(means); strings.Count(text, "is full") != 2 || strings.Count(text, "refused") != 2 {
		t.Errorf("the lock of the job says things again: %s", text)
	}
	if only := OfServer(doctor.Report{Findings: fullReport.Findings[1:]}); only[0].Title != "Redis is full, most acquires are refused: OOM command not allowed when used memory > 'maxmemory'." {
		t.Errorf("a server that does not tell its memory: %s", all(only[0]))
	}
	if about := About("cron:rates", found); len(about) != 2 {
		t.Errorf("the lock of the job: %v", about)
	}
	away := ofAway(zero.Add(-2*time.Hour), zero.Add(-time.Minute))
	if late := OfJob(job, zero, away); !strings.Contains(all(late[0]), "Redis did not answer") {
		t.Errorf("after an outage: %s", all(late[0]))
	}
	if late := OfJob(job, zero, ofAway(zero.Add(-3*time.Hour), zero.Add(-2*time.Hour))); !strings.Contains(all(late[0]), "ps -o pid,stat,etime,time,wchan,args -p 12") {
		t.Errorf("an outage that was over: %s", all(late[0]))
	}
}

func TestWhoWaitsBehindADeadlockIsNamedAndCounted(t *testing.T) {
	locks := ring("a", "b")
	locks[0].Waiting = 2
	locks[0].Places = append(locks[0].Places, redislock.Place{ID: "v", Owner: other, Since: zero.Add(-time.Minute)})
	found := OfCycle(redislock.WaitGraphOf(locks).Cycles[0], locks...)
	if !strings.Contains(all(found), "Behind them waits web (pid 13 on node-4) for a, for ") || found.Waiting != 3 {
		t.Errorf("%d wait: %s", found.Waiting, all(found))
	}
}
