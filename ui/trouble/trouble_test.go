package trouble

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/ui/doctor"
	"example.com/redislock/ui/history"
)

var (
	zero  = time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)
	owner = redislock.Owner{Client: "api", Host: "node-3", PID: 12}
	other = redislock.Owner{Client: "web", Host: "node-4", PID: 13}
)

// held is a lock that is held for this long, with a lease of 30 s that was renewed this long ago.
func held(name string, since, renewed time.Duration) redislock.Info {
	h := redislock.Hold{ID: "h", Owner: owner, Since: zero.Add(-since), Lease: 30 * time.Second, Deadline: zero.Add(30*time.Second - renewed), Fence: 7, Weight: 1}
	return redislock.Info{Name: name, Now: zero, Fence: 7, Holders: 1, Holds: []redislock.Hold{h}}
}

// waitedFor is a lock with this many waiters, of which the first has waited for this long.
func waitedFor(info redislock.Info, n int, since time.Duration) redislock.Info {
	info.Waiting, info.Places = n, nil
	for i := range min(n, 10) {
		info.Places = append(info.Places, redislock.Place{ID: fmt.Sprint("p", i), Owner: other, Since: info.Now.Add(-since + time.Duration(i)*time.Millisecond)})
	}
	return info
}

func with(info redislock.Info, change func(*redislock.Info)) redislock.Info {
	info.Holds = slices.Clone(info.Holds)
	change(&info)
	return info
}

func all(t Trouble) string {
	text := fmt.Sprintf("%s %v %s\n", t.Kind, t.Level, t.Title)
	for _, m := range t.Means {
		text += m.String() + "\n"
	}
	for _, s := range t.Steps {
		text += s.Action.String() + ": " + s.Text.String() + ": " + s.Warn.String() + ": " + s.Command + "\n"
	}
	return text
}

func TestOneLookAtALockFindsItsTrouble(t *testing.T) {
	kept := func(i *redislock.Info) { i.Holds[0].Kept = true }
	for name, c := range map[string]struct {
		info redislock.Info
		says []string // empty: no trouble
	}{
		"idle":                              {redislock.Info{Name: "x", Now: zero, Fence: 7}, nil},
		"held and renewed":                  {held("x", time.Hour, 9*time.Second), nil},
		"held, renewed, waited for briefly": {waitedFor(held("x", time.Hour, 9*time.Second), 3, 59*time.Second), nil},
		"not renewed": {held("x", time.Hour, 16*time.Second), []string{
			"not-renewed warning api (pid 12 on node-3) does not renew its hold, which ends at ", "should do so every 10s", "paused, gone, or cut off",
			"the lock is its own", "ends then by itself", "the lock is free", "ps -o pid,stat,etime,time,wchan,args -p 12", "kill -CONT 12", "redislock show x", "redislock break x --reason",
		}},
		"not renewed, waited for":                  {waitedFor(held("x", time.Hour, 16*time.Second), 2, time.Second), []string{"not-renewed danger", "web (pid 13 on node-4), the first of 2 waiters, has the lock"}},
		"never renewed, nobody waits":              {held("x", 25*time.Second, 25*time.Second), nil},
		"never renewed, somebody waits":            {waitedFor(held("x", 25*time.Second, 25*time.Second), 1, time.Second), []string{"has never renewed its hold", "unless its program takes the lock for a fixed time"}},
		"given back, not renewed":                  {with(held("x", time.Hour, 16*time.Second), kept), nil},
		"the lease is not known":                   {with(held("x", time.Hour, 16*time.Second), func(i *redislock.Info) { i.Holds[0].Lease = 0 }), nil},
		"the leader does not renew":                {held("elect:x", time.Hour, 16*time.Second), []string{"does not renew its leadership"}},
		"stolen":                                   {with(held("x", time.Hour, 25*time.Second), func(i *redislock.Info) { i.Holds[0].Revoked = true }), []string{"stolen warning api (pid 12 on node-3) was robbed of the lock", "WithStealAfter"}},
		"long waited for":                          {waitedFor(held("x", time.Hour, 5*time.Second), 12, 2*time.Minute), []string{"waits-long warning 12 wait for long: api (pid 12 on node-3) holds it", "api (pid 12 on node-3) holds it", "It renewed ", "ago, as it should every 10s: the process lives", "redislock ask x --why", "redislock break x"}},
		"long waited for, and the renewal is late": {waitedFor(held("x", time.Hour, 13*time.Second), 1, 2*time.Minute), []string{"1 waits for long", "and should do so every 10s: it is late, and may be paused or cut off"}},
		"nobody can tell yet": {waitedFor(with(held("x", 70*time.Second, 70*time.Second), func(i *redislock.Info) {
			i.Holds[0].Lease, i.Holds[0].Deadline = 5*time.Minute, i.Holds[0].Since.Add(5*time.Minute)
		}), 1, 65*time.Second), []string{"Its first renewal is due after 1m40s: until then nobody can tell"}},
		"very long waited for":             {waitedFor(held("x", time.Hour, 5*time.Second), 1, 11*time.Minute), []string{"waits-long danger 1 waits for long"}},
		"others were served meanwhile":     {waitedFor(held("x", time.Second, time.Second), 50, 2*time.Minute), []string{"waits-long", "Others were served meanwhile", "Do less under the lock"}},
		"kept, and long waited for":        {waitedFor(with(held("x", time.Hour, 16*time.Second), kept), 2, 2*time.Minute), []string{"has given the lock back", "Nobody works under it"}},
		"candidates wait":                  {waitedFor(held("elect:x", time.Hour, 5*time.Second), 3, time.Hour), nil},
		"done once, others wait":           {waitedFor(held("once:x", time.Hour, 5*time.Second), 3, time.Hour), nil},
		"nobody leads":                     {waitedFor(redislock.Info{Name: "elect:x", Now: zero}, 2, time.Minute), []string{"no-leader danger nobody leads, and 2 candidates do not take over", "kill -CONT 13", "start a process that takes part"}},
		"nobody is served":                 {waitedFor(redislock.Info{Name: "x", Now: zero}, 2, time.Minute), []string{"not-served danger nobody holds it, and 2 waiters do not get it"}},
		"free for a moment":                {waitedFor(redislock.Info{Name: "x", Now: zero}, 2, 5*time.Second), nil},
		"one that waits for an upgrade":    {redislock.Info{Name: "x", Now: zero, Waiting: 1, Places: []redislock.Place{{Owner: other}}}, nil},
		"no pid is known":                  {with(held("x", time.Hour, 16*time.Second), func(i *redislock.Info) { i.Holds[0].Owner = redislock.Owner{} }), []string{"someone does not renew", "by its log: Redis does not know its host and number"}},
		"a name that cannot be typed":      {held("a\nb", time.Hour, 16*time.Second), []string{"redislock show NAME"}},
		"a name that needs quotes":         {held("it's $HOME", time.Hour, 16*time.Second), []string{`redislock show 'it'\''s $HOME'`}},
		"a name that looks like a flag":    {held("--yes", time.Hour, 16*time.Second), []string{"redislock show NAME"}},
		"a name that watch takes for more": {waitedFor(held("a*", time.Second, time.Second), 50, 2*time.Minute), []string{"redislock watch --name 'a*'"}},
	} {
		found := OfLock(c.info)
		if len(c.says) == 0 {
			if len(found) > 0 {
				t.Errorf("%s: %v", name, found)
			}
			continue
		}
		if len(found) != 1 || found[0].Lock != c.info.Name || found[0].Waiting != c.info.Waiting {
			t.Errorf("%s: %+v", name, found)
			continue
		}
		for _, want := range c.says {
			if text := all(found[0]); !strings.Contains(text, want) {
				t.Errorf("%s: it does not say %q: %s", name, want, text)
			}
		}
	}
}

func TestWhatOthersWroteIsEscapedInWords(t *testing.T) {
	hostile := redislock.Owner{Client: "a\x1b[31m\u202e\nb", Host: "h\x00\xff", PID: 3, Metadata: "not told\x1b"}
	info := with(held("x\x1b", time.Hour, 16*time.Second), func(i *redislock.Info) { i.Holds[0].Owner = hostile })
	texts := []string{all(OfLock(info)[0]), all(OfDamaged("x\x1b", "not\x1b a hash")), all(ofEnd("x\x1b", End{How: Broken, Owner: hostile, By: "me\x1b", Why: "be\x1bcause"}, info))}
	status := redislock.CronStatus{Job: "j\x1b", Outcome: redislock.OutcomeFailed, Err: "e\x1b\n", Node: hostile, Next: zero.Add(-time.Hour)}
	for _, found := range OfJob(status, zero) {
		texts = append(texts, all(found))
	}
	for _, found := range OfServer(doctor.Report{Findings: []doctor.Finding{{Level: doctor.Danger, Node: "n\x1b", Found: "f\x1b", Why: "w\x1b", Fix: "x\x1b"}}}) {
		texts = append(texts, all(found))
	}
	means, steps := Explain(info)
	texts = append(texts, all(Trouble{Means: means, Steps: steps}))
	for _, text := range texts {
		if strings.ContainsAny(text, "\x1b\x00\u202e") || strings.Contains(text, "\xff") || strings.Contains(text, "not told") {
			t.Errorf("%q", text)
		}
	}
}

func TestWaitsAreLongForTheirLock(t *testing.T) {
	waits := func(usual time.Duration, n int) *Memory {
		m := &Memory{}
		at := zero
		for i := range n { // each waits for this long, and is served
			info := waitedFor(with(held("x", time.Hour, 0), func(i *redislock.Info) { i.Now = at }), 1, usual)
			info.Places[0].ID = fmt.Sprint("w", i)
			m.See(info)
			at = at.Add(time.Second)
			m.See(redislock.Info{Name: "x", Now: at, Holders: 1, Holds: []redislock.Hold{{ID: fmt.Sprint("w", i), Owner: owner, Since: at, Lease: 30 * time.Second, Deadline: at.Add(30 * time.Second), Fence: int64(8 + i)}}})
			at = at.Add(time.Second)
		}
		return m
	}
	later := func(m *Memory, wait time.Duration) bool {
		now := zero.Add(time.Hour)
		h := redislock.Hold{ID: "z", Owner: owner, Since: now.Add(-2 * time.Hour), Lease: 30 * time.Second, Deadline: now.Add(29 * time.Second), Fence: 99}
		m.See(waitedFor(redislock.Info{Name: "x", Now: now, Holders: 1, Holds: []redislock.Hold{h}}, 1, wait))
		return slices.ContainsFunc(m.Troubles(now), func(t Trouble) bool { return t.Kind == WaitsLong })
	}
	for _, c := range []struct {
		usual time.Duration
		known int
		wait  time.Duration
		long  bool
	}{
		{0, 0, 59 * time.Second, false},
		{0, 0, 61 * time.Second, true},
		{time.Second, 2, 30 * time.Second, false}, // too few waits are known
		{time.Second, 3, 9 * time.Second, false},
		{time.Second, 3, 11 * time.Second, true},
		{2 * time.Minute, 5, 5 * time.Minute, false},
		{2 * time.Minute, 5, 7 * time.Minute, true},
	} {
		if got := later(waits(c.usual, c.known), c.wait); got != c.long {
			t.Errorf("a wait of %v, where %d took %v: long is %v", c.wait, c.known, c.usual, got)
		}
	}
}

func TestAQueueThatOnlyGrowsIsTold(t *testing.T) {
	queue := func(counts ...int) []Trouble {
		m := &Memory{}
		now := zero
		for i, n := range counts {
			now = zero.Add(time.Duration(i) * 10 * time.Second)
			h := redislock.Hold{ID: fmt.Sprint(i), Owner: owner, Since: now, Lease: 30 * time.Second, Deadline: now.Add(30 * time.Second), Fence: int64(i + 1)}
			m.See(waitedFor(redislock.Info{Name: "x", Now: now, Holders: 1, Holds: []redislock.Hold{h}}, n, time.Second))
		}
		return m.Troubles(now)
	}
	for _, c := range []struct {
		counts []int
		grows  bool
	}{
		{[]int{1, 2, 3, 4}, true},
		{[]int{1, 1, 2, 9}, true},
		{[]int{1, 2, 4}, false},
		{[]int{1, 2, 3, 2, 3, 4}, false},
		{[]int{5, 5, 5, 5, 5}, false},
		{[]int{1, 2, 3, 4, 0}, false},
		{[]int{4, 3, 2, 1, 2, 3, 9}, true},
	} {
		found := queue(c.counts...)
		if got := len(found) == 1 && found[0].Kind == Grows; got != c.grows || len(found) > 1 {
			t.Errorf("%v: %v", c.counts, found)
		}
	}
}

func TestAnEndThatWasNotAsItShouldBeIsToldForAWhile(t *testing.T) {
	at := func(d time.Duration) time.Time { return zero.Add(d) }
	for name, c := range map[string]struct {
		looks []redislock.Info
		gone  bool
		says  []string
	}{
		"released": {[]redislock.Info{held("x", time.Hour, 5*time.Second), {Name: "x", Now: at(time.Second), Fence: 7}}, false, nil},
		"lapsed": {
			[]redislock.Info{held("x", time.Hour, 29*time.Second), {Name: "x", Now: at(2 * time.Second), Fence: 7}},
			false,
			[]string{"ended warning api (pid 12 on node-3) lost the lock: its lease ran out", "late writes: those that came after "},
		},
		"may have been renewed": {[]redislock.Info{held("x", time.Hour, 10*time.Second), {Name: "x", Now: at(25 * time.Second), Fence: 7}}, false, nil},
		"stolen": {
			[]redislock.Info{with(held("x", time.Hour, 5*time.Second), func(i *redislock.Info) { i.Holds[0].Revoked = true }), {Name: "x", Now: at(time.Second), Fence: 7}},
			false,
			[]string{"the lock was stolen from api"},
		},
		"the key is gone":         {[]redislock.Info{held("x", time.Hour, 5*time.Second)}, true, []string{"lost the lock with its key", "redislock doctor"}},
		"may be among the others": {[]redislock.Info{held("x", time.Hour, 29*time.Second), {Name: "x", Now: at(2 * time.Second), Holders: 11, Fence: 7}}, false, nil},
	} {
		m := &Memory{}
		for _, look := range c.looks {
			m.See(look)
		}
		if c.gone {
			m.Gone("x", at(2*time.Second))
		}
		found := m.Troubles(at(3 * time.Second))
		if len(c.says) == 0 {
			if len(found) > 0 {
				t.Errorf("%s: %v", name, found)
			}
			continue
		}
		if len(found) != 1 {
			t.Errorf("%s: %v", name, found)
			continue
		}
		for _, want := range c.says {
			if !strings.Contains(all(found[0]), want) {
				t.Errorf("%s: it does not say %q: %s", name, want, all(found[0]))
			}
		}
		if found := m.Troubles(at(3*time.Second + Recent)); len(found) > 0 || len(m.locks) > 0 {
			t.Errorf("%s: later: %v, %d locks are remembered", name, found, len(m.locks))
		}
	}
	m := &Memory{}
	m.Note("x", End{How: Broken, Owner: owner, At: zero, Fence: 7, By: "the page of an operator", Why: "stuck"})
	m.See(held("x", time.Hour, 29*time.Second))
	m.See(redislock.Info{Name: "x", Now: at(2 * time.Second), Fence: 7})
	if found := m.Troubles(at(time.Second)); len(found) != 1 || !strings.Contains(all(found[0]), "was broken by the page of an operator") || !strings.Contains(all(found[0]), "stuck") {
		t.Errorf("what was heard of says more than looks do: %v", found)
	}
}

func TestAnElectionInWhichNobodyStandsIsTold(t *testing.T) {
	m := &Memory{}
	m.See(held("elect:x", time.Hour, time.Second))
	m.See(redislock.Info{Name: "elect:x", Now: zero.Add(time.Minute), Fence: 7})
	found := m.Troubles(zero.Add(time.Minute))
	if len(found) != 1 || found[0].Kind != NoLeader || !found[0].Since.Equal(zero) {
		t.Errorf("%+v", found)
	}
	// A lost leader without a successor is one trouble.
	late := held("elect:y", time.Hour, 16*time.Second)
	m.See(late)
	m.See(redislock.Info{Name: "elect:y", Now: zero.Add(time.Minute), Fence: 7})
	found = slices.DeleteFunc(m.Troubles(zero.Add(time.Minute)), func(t Trouble) bool { return t.Lock != "elect:y" })
	if len(found) != 1 || found[0].Kind != NoLeader || !strings.Contains(all(found[0]), "The last to lead was api (pid 12 on node-3), until ") || !strings.Contains(all(found[0]), "ps -o pid,stat,etime,time,wchan,args -p 12") {
		t.Errorf("%+v", found)
	}
	m.Gone("elect:x", zero.Add(time.Hour))
	m.Gone("elect:y", zero.Add(time.Hour))
	if found := m.Troubles(zero.Add(time.Hour)); len(found) > 0 {
		t.Errorf("of which nothing is known: %v", found)
	}
}

func TestNobodyLeadsOnlyWhenNobodyHasForAWhile(t *testing.T) {
	m := &Memory{}
	at := func(after time.Duration, info redislock.Info) []Trouble {
		info.Now = zero.Add(after)
		m.See(waitedFor(info, 1, time.Hour+after)) // the candidate has waited all the time
		return m.Troubles(info.Now)
	}
	if found := at(0, held("elect:x", time.Hour, 16*time.Second)); len(found) != 1 || found[0].Kind != NotRenewed {
		t.Errorf("a leader that does not renew: %+v", found)
	}
	free := redislock.Info{Name: "elect:x", Fence: 7}
	if found := at(15*time.Second-1, held("elect:x", time.Hour, 16*time.Second)); len(found) != 1 {
		t.Errorf("%+v", found)
	}
	if found := at(20*time.Second, free); slices.ContainsFunc(found, func(t Trouble) bool { return t.Kind == NoLeader }) {
		t.Errorf("before a candidate can have taken over: %+v", found)
	}
	found := at(26*time.Second, free)
	if len(found) != 1 || found[0].Kind != NoLeader || !found[0].Since.Equal(zero.Add(15*time.Second-1)) || !strings.Contains(all(found[0]), "The last to lead was api (pid 12 on node-3), until ") {
		t.Errorf("a candidate that does not take over: %+v", found)
	}
}

func TestAWaitBehindAHoldThatWasLostIsNotThatOfTooManyCallers(t *testing.T) {
	m := &Memory{}
	m.See(waitedFor(held("x", time.Hour, 16*time.Second), 2, 2*time.Minute))
	next := func(after time.Duration) []Trouble {
		now := zero.Add(after)
		h := redislock.Hold{ID: "p0", Owner: other, Since: zero.Add(14 * time.Second), Lease: 30 * time.Second, Deadline: now.Add(25 * time.Second), Fence: 8}
		m.See(redislock.Info{Name: "x", Now: now, Fence: 8, Holders: 1, Holds: []redislock.Hold{h}, Waiting: 1, Places: []redislock.Place{{ID: "p1", Owner: owner, Since: zero.Add(-2 * time.Minute)}}})
		return m.Troubles(now)
	}
	if found := next(20 * time.Second); len(found) != 1 || found[0].Kind != Ended {
		t.Errorf("after the hold was lost: %+v", found)
	}
	if found := next(90 * time.Second); !slices.ContainsFunc(found, func(t Trouble) bool { return t.Kind == WaitsLong }) {
		t.Errorf("a wait that is long all the same: %+v", found)
	}
	means, _ := Explain(m.locks["x"].last, m.Ends("x", zero.Add(20*time.Second))...)
	if text := fmt.Sprint(means); !strings.Contains(text, "lost the lock: its lease ran out") || strings.Contains(text, "too many") {
		t.Errorf("the page of the lock: %s", text)
	}
}

func TestAnEntryOfTheHistoryTellsOfAnEndThatWasNotAsItShouldBe(t *testing.T) {
	was := zero.Add(-time.Second)
	for name, c := range map[string]struct {
		entry history.Entry
		how   How
		at    time.Time
	}{
		"a release that was seen":          {history.Entry{Kind: "released"}, "", zero},
		"an end that was seen":             {history.Entry{Kind: "ended", How: "lapsed", Ended: was.UnixMilli()}, Lapsed, was},
		"a key that went":                  {history.Entry{Kind: "lost", How: "vanish", Ended: zero.UnixMilli()}, Vanish, zero},
		"what only somebody can tell":      {history.Entry{Kind: "ended", How: "broken"}, "", zero},
		"what cannot be":                   {history.Entry{Kind: "ended", How: "lapsed", Ended: zero.Add(time.Hour).UnixMilli()}, Lapsed, zero},
		"a loss that was told":             {history.Entry{Kind: "lost", Told: true, Why: "the lease"}, WasLost, zero},
		"the end of the longest time":      {history.Entry{Kind: "lost", Told: true, Why: "held for its longest time"}, Closed, zero},
		"somebody who asks":                {history.Entry{Kind: "asked", Told: true}, "", zero},
		"a told entry that looks like two": {history.Entry{Kind: "asked", Told: true, How: "lapsed"}, "", zero},
	} {
		c.entry.At, c.entry.Fence = zero, 7
		end, bad := Told(c.entry)
		if bad != (c.how != "") || end.How != c.how || !end.At.Equal(c.at) {
			t.Errorf("%s: %+v, %v", name, end, bad)
		}
	}
}

func TestHowTheServerIsSetUpComesAfterWhatHappens(t *testing.T) {
	found := OfServer(doctor.Report{Findings: []doctor.Finding{
		{Check: "persistence", Level: doctor.Danger, Found: "none", Why: "every restart forgets all locks."},
		{Check: "memory", Level: doctor.Danger, Found: "nearly full, 24 MB in use of a maxmemory of 24 MB", Fix: "redis-cli --bigkeys"},
	}})
	found = append(found, ofEnd("x", End{How: Lapsed, Owner: owner, At: zero}, redislock.Info{}))
	Sort(found)
	for i, want := range []string{"memory: nearly full,", "lost the lock", "persistence: none"} {
		if !strings.Contains(found[i].Title.String(), want) {
			t.Errorf("place %d has %q", i, found[i].Title)
		}
	}
	if !strings.Contains(all(found[2]), "\nEvery restart") || !strings.Contains(all(found[0]), ": redis-cli --bigkeys") {
		t.Errorf("sentences begin as sentences do, and commands as commands: %s%s", all(found[2]), all(found[0]))
	}
}

func TestARedisThatDidNotAnswerForLongIsToldForAWhile(t *testing.T) {
	m := &Memory{}
	m.Away(zero, zero.Add(leastAway-1)) // as long as a failover
	if found := m.Troubles(zero.Add(time.Minute)); len(found) != 0 {
		t.Errorf("after a moment: %+v", found)
	}
	back := zero.Add(54 * time.Second)
	m.Away(zero, back)
	found := m.Troubles(back.Add(Recent))
	if len(found) != 1 || found[0].Kind != WasAway || !found[0].Since.Equal(back) || !strings.Contains(all(found[0]), "Redis did not answer for 54s") || !strings.Contains(all(found[0]), "redislock doctor") {
		t.Errorf("%+v", found)
	}
	if found := m.Troubles(back.Add(Recent + 1)); len(found) != 0 {
		t.Errorf("later: %+v", found)
	}
}

func TestALockThatCannotBeReadIsTroubleUntilItCan(t *testing.T) {
	m := &Memory{}
	m.CannotBeRead("x", errors.New("WRONGTYPE").Error())
	if found := m.Troubles(zero); len(found) != 1 || found[0].Kind != Damaged {
		t.Errorf("%v", found)
	}
	m.See(held("x", time.Second, time.Second))
	if found := m.Troubles(zero); len(found) > 0 {
		t.Errorf("%v", found)
	}
}

func TestAJobIsOverdueAndFailedInWords(t *testing.T) {
	run := redislock.CronStatus{Job: "nightly", Outcome: redislock.OutcomeRan, Tick: zero.Add(-24 * time.Hour), Start: zero.Add(-24 * time.Hour), End: zero.Add(-23 * time.Hour), Next: zero, Node: owner}
	if found := OfJob(run, zero.Add(59*time.Second)); len(found) > 0 {
		t.Errorf("not yet: %v", found)
	}
	found := OfJob(run, zero.Add(time.Hour))
	if len(found) != 1 || found[0].Kind != Overdue || found[0].Level != Danger || !strings.Contains(all(found[0]), "redislock cron-status nightly") || !strings.Contains(all(found[0]), "api (pid 12 on node-3)") {
		t.Errorf("overdue: %v", found)
	}
	for _, c := range []struct {
		apart time.Duration // between the last run and the time that was missed
		says  string
	}{
		{24 * time.Hour, says("Its last two times were 1d0h apart, so the next is probably at %s", moment(zero.Add(24*time.Hour))).String()},
		{11 * time.Minute, says("is probably at %s", moment(zero.Add(66*time.Minute))).String()},
		{20 * time.Second, "Its last two times were 20s apart, so the next is probably near"},
		{0, "only its schedule says"},
	} {
		run.Tick = zero.Add(-c.apart)
		if text := all(OfJob(run, zero.Add(time.Hour))[0]); !strings.Contains(text, "Missed times are not run later") || !strings.Contains(text, c.says) {
			t.Errorf("times that are %v apart: %s", c.apart, text)
		}
	}
	run.Outcome = redislock.OutcomeRunning
	if found := OfJob(run, zero.Add(time.Hour)); len(found) > 0 {
		t.Errorf("it still runs: %v", found)
	}
	run.Outcome, run.Err, run.Next = redislock.OutcomeFailed, "exit status 3", time.Time{}
	if found := OfJob(run, zero); len(found) != 1 || !strings.Contains(all(found[0]), "exit status 3") {
		t.Errorf("failed: %v", found)
	}
	run.Outcome = redislock.OutcomeDied
	if found := OfJob(run, zero); len(found) != 1 || !strings.Contains(string(found[0].Title), "died") {
		t.Errorf("died: %v", found)
	}
}

func TestOnlyTheDangersOfTheServerAreTrouble(t *testing.T) {
	found := OfServer(doctor.Report{Findings: []doctor.Finding{{Level: doctor.OK, Found: "a"}, {Level: doctor.Warning, Found: "b"}, {Level: doctor.Danger, Found: "evicts", Why: "a lock may go", Fix: "CONFIG SET"}}})
	if len(found) != 1 || !strings.Contains(all(found[0]), "evicts") || !strings.Contains(all(found[0]), "CONFIG SET") {
		t.Errorf("%v", found)
	}
}

func TestTheWorstComesFirst(t *testing.T) {
	list := []Trouble{{Lock: "b", Level: Warning, Waiting: 9}, {Lock: "d", Level: Danger, Since: zero.Add(time.Second)}, {Lock: "a", Level: Danger, Waiting: 2}, {Lock: "c", Level: Danger, Since: zero}}
	Sort(list)
	order := ""
	for _, t := range list {
		order += t.Lock
	}
	if order != "acdb" {
		t.Error(order)
	}
}

func TestACommandNamesWhereItIsFor(t *testing.T) {
	for command, want := range map[string]string{"redislock show x": "redislock show x --prefix p", "ps -p 1": "ps -p 1", "": ""} {
		if got := (Step{Command: command}).Line("--prefix p"); got != want {
			t.Errorf("%q: %q", command, got)
		}
	}
	if got := (Step{Command: "redislock show x"}).Line(""); got != "redislock show x" {
		t.Error(got)
	}
}

func TestLengthsAreReadAtAGlance(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 40 * time.Millisecond: "40ms", 1540 * time.Millisecond: "1.5s", 42400 * time.Millisecond: "42s", 62 * time.Second: "1m2s", 3725 * time.Second: "1h2m", 50 * time.Hour: "2d2h",
	} {
		if got := Length(d); got != want {
			t.Errorf("%v: %q, want %q", int64(d), got, want)
		}
	}
}

func TestTimesInATextAreWrittenOrKeptForThePage(t *testing.T) {
	text := says("since %s, for %s", moment(zero), age(zero))
	if got, want := text.Say(zero.Add(90*time.Second)), "since "+zero.Local().Format(time.TimeOnly)+", for 1m30s"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := text.Say(zero.Add(48 * time.Hour)); !strings.Contains(got, "2026-11-30 ") {
		t.Errorf("another day: %q", got)
	}
	if got, err := text.MarshalJSON(); err != nil || string(got) != fmt.Sprintf(`"since \u0002%d\u0002, for \u0003%[1]d\u0003"`, zero.UnixMilli()) {
		t.Errorf("%s, %v", got, err)
	}
	if got := Text("a\x02b\x02c\x02").Say(zero); strings.Contains(got, "\x02") {
		t.Errorf("what is no time: %q", got)
	}
}

func TestNoCommandIsForAProcessThatCannotBe(t *testing.T) {
	for _, pid := range []int{0, -1, -4711} {
		o := redislock.Owner{Client: "app", Host: "node-1", PID: pid}
		for _, s := range slices.Concat(goOn(o, zero), goOnWaiting(redislock.Place{Owner: o}), []Step{look(o, "which holds it"), lookLate(o)}) {
			if s.Command != "" {
				t.Errorf("for process %d it proposes %s", pid, s.Command)
			}
		}
	}
}
