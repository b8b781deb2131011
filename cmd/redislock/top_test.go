package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"example.com/redislock"
	"example.com/redislock/ui/trouble"
)

var night = time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)

func heldSince(name string, since, renewed time.Duration, waiting int) redislock.Info {
	info := redislock.Info{Name: name, Now: night, Holders: 1, Fence: 7, Waiting: waiting, Holds: []redislock.Hold{{
		ID: name, Owner: redislock.Owner{Client: "api", Host: "node-3", PID: 12, Metadata: "import"}, Since: night.Add(-since), Lease: 30 * time.Second, Deadline: night.Add(30*time.Second - renewed), Fence: 7, Weight: 1,
	}}}
	for i := range min(waiting, 10) {
		info.Places = append(info.Places, redislock.Place{ID: fmt.Sprint(name, i), Owner: redislock.Owner{Client: "web", Host: "node-4", PID: 13}, Since: night.Add(-time.Second)})
	}
	return info
}

// topOf is the state of redislock top after one look.
func topOf(width, height int, infos ...redislock.Info) *topModel {
	m := newTopModel(&topper{link: &link{addr: "redis.internal:6379"}, interval: time.Second, flags: "--prefix shop"})
	m.width, m.height = width, height
	m.take(topView{view: view{infos: infos, at: night}})
	return m
}

func (m *topModel) press(keys ...string) {
	for _, key := range keys {
		msg := tea.KeyPressMsg{Text: key}
		switch key {
		case "enter":
			msg = tea.KeyPressMsg{Code: tea.KeyEnter}
		case "esc":
			msg = tea.KeyPressMsg{Code: tea.KeyEscape}
		case "down":
			msg = tea.KeyPressMsg{Code: tea.KeyDown}
		case "backspace":
			msg = tea.KeyPressMsg{Code: tea.KeyBackspace}
		}
		m.Update(msg)
	}
}

// screen returns the visible text, and checks that it is neither wider nor higher than the screen.
func (m *topModel) screen(t *testing.T) string {
	t.Helper()
	text := ansi.Strip(m.View().Content)
	lines := strings.Split(text, "\n")
	if len(lines) != m.height {
		t.Errorf("%d lines on a screen of %d", len(lines), m.height)
	}
	for _, line := range lines {
		if ansi.StringWidth(line) > m.width {
			t.Errorf("wider than %d: %q", m.width, line)
		}
	}
	return text
}

func (m *topModel) order() string {
	var names []string
	for _, info := range m.rows {
		names = append(names, info.Name)
	}
	return strings.Join(names, " ")
}

func TestTopPutsTroubleFirstOnAnyScreen(t *testing.T) {
	infos := []redislock.Info{heldSince("a/calm", time.Minute, time.Second, 0), heldSince("b/busy", time.Hour, time.Second, 5), heldSince("c/stuck", time.Second, 20*time.Second, 1), {Name: "d/idle", Now: night, Fence: 3}}
	infos[2].Holds[0].Since = night.Add(-2 * time.Hour)
	for _, size := range [][2]int{{60, 24}, {40, 10}, {120, 40}, {200, 12}} {
		m := topOf(size[0], size[1], infos...)
		text := m.screen(t)
		lines := strings.Split(text, "\n")
		if !strings.HasPrefix(lines[0], "3 locks in use, 3 held, 6 waiting") || !strings.HasPrefix(lines[1], "danger  c/stuck: api (pid 12 on n") || m.order() != "c/stuck b/busy a/calm" {
			t.Errorf("%v: %s\n%s", size, m.order(), text)
		}
		if strings.Contains(text, "idle") || size[0] >= 80 != strings.Contains(text, "HOLDER") {
			t.Errorf("%v: %s", size, text)
		}
	}
	if text := topOf(60, 24, infos[0]).screen(t); !strings.Contains(text, "well  nothing needs a person: 1 lock, 0 jobs looked at") {
		t.Error(text)
	}
}

func TestTopSortsAndSearchesAndKeepsTheCursorOnItsLock(t *testing.T) {
	m := topOf(60, 24, heldSince("b", time.Hour, time.Second, 1), heldSince("a", time.Minute, time.Second, 9), heldSince("c", 2*time.Hour, time.Second, 0))
	for _, c := range []struct{ key, want string }{{"n", "a b c"}, {"n", "c b a"}, {"n", "a b c"}, {"o", "c b a"}, {"w", "a b c"}, {"t", "a b c"}} {
		if m.press(c.key); m.order() != c.want {
			t.Errorf("%s: %s, want %s", c.key, m.order(), c.want)
		}
	}
	m.press("n", "down", "o")
	if m.chosen != "b" || m.at != 1 {
		t.Errorf("the cursor is on %s", m.chosen)
	}
	m.take(topView{view: view{infos: []redislock.Info{heldSince("b", time.Hour, 0, 0), heldSince("d", 9*time.Hour, 0, 0), heldSince("eel", 8*time.Hour, 0, 0)}, at: night}})
	if m.chosen != "b" || m.rows[m.at].Name != "b" {
		t.Errorf("after a look the cursor is on %s", m.rows[m.at].Name)
	}
	m.press("/", "E", "e", "L")
	if m.order() != "eel" || !strings.Contains(m.screen(t), "/EeL█") {
		t.Errorf("search: %s\n%s", m.order(), m.screen(t))
	}
	m.press("backspace", "backspace", "backspace", "n", "o", "d", "e", "-", "3", "enter") // letters that otherwise are commands
	if m.order() != "d eel b" || m.by != "o" {
		t.Errorf("holders are searched too: %s, by %s", m.order(), m.by)
	}
	m.press("esc", "/", "x", "enter")
	if text := m.screen(t); !strings.Contains(text, "no lock matches x") {
		t.Error(text)
	}
	if m.press("esc"); m.order() == "" {
		t.Error("Esc does not empty the search")
	}
}

func TestTopOpensALockAndSaysWhatCanBeDone(t *testing.T) {
	m := topOf(60, 56, heldSince("x\x1b", time.Hour, 20*time.Second, 2))
	m.press("enter")
	text := m.screen(t)
	for _, want := range []string{`"x\x1b": held, 2 waiting`, "What it means", "does not renew", "kill -CONT 12", "redislock show NAME --prefix shop", "Held by"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	m.Update(topLock{redislock.Info{Name: "x\x1b", Now: night}, nil})
	if text := m.screen(t); !strings.Contains(text, "nothing is known of it any more") {
		t.Error(text)
	}
	m.Update(topLock{redislock.Info{Name: "x\x1b"}, errors.New("gone\x1b away")})
	if text := m.screen(t); !strings.Contains(text, `gone\x1b away`) {
		t.Error(text)
	}
	if m.press("esc"); m.open != nil {
		t.Error("Esc does not go back")
	}
	m.Update(topView{view: view{err: errors.New("no answer"), at: night}})
	if text := m.screen(t); !strings.Contains(text, "as it was ") || !strings.Contains(text, "no answer") {
		t.Errorf("an outage: %s", text)
	}
}

func TestTopBreaksNothingThatWasNotConfirmed(t *testing.T) {
	m := topOf(60, 24, heldSince("x", time.Hour, time.Second, 0))
	m.press("enter")
	for _, keys := range [][]string{{"B", "enter"}, {"B", "esc"}, {"B", "w", "enter", "enter"}, {"B", "w", "enter", "n", "enter"}, {"B", "w", "enter", "esc"}, {"A", "enter"}, {"A", "esc"}} {
		m.said = ""
		m.press(keys...)
		if m.typing != notTyping || m.said != "nothing was done" {
			t.Errorf("%v: %q", keys, m.said)
		}
	}
	m = topOf(60, 24, redislock.Info{Name: "x", Now: night, Waiting: 1})
	m.press("enter")
	if text := m.screen(t); strings.Contains(text, "B break") {
		t.Errorf("it offers to break what nobody holds:\n%s", text)
	}
	if m.press("B"); m.said != "nobody holds it" {
		t.Errorf("%q", m.said)
	}
	if m = topOf(60, 24); m.typing != notTyping {
		t.Error("there is nothing to break")
	}
	m.press("B", "A", "enter", "down")
}

// A search whose / was not heard is typed into the list, or into the page of the lock that was chosen: it must do nothing to that lock.
func TestTopDoesNothingByWhatWasMeantForTheSearch(t *testing.T) {
	m := topOf(80, 24, heldSince("x", time.Hour, time.Second, 0))
	m.press(strings.Split("backABup/data", "")...)
	if m.typing != searching {
		t.Fatalf("the list takes an action: %v", m.typing)
	}
	m.press("esc", "B")
	if m.typing != notTyping || !strings.Contains(m.said, "Enter opens a lock; there A asks for it and B breaks it") {
		t.Errorf("%v, %q", m.typing, m.said)
	}
	m.press("esc")
	if text := m.screen(t); strings.Contains(text, "B break") || strings.Contains(text, "A ask") {
		t.Errorf("the list offers it:\n%s", text)
	}
	m.press("enter")
	if text := m.screen(t); !strings.Contains(text, "A ask  B break") {
		t.Errorf("its page:\n%s", text)
	}
	m.press(strings.Split("/backup", "")...)
	m.press("enter")
	if m.typing != notTyping || m.open == nil {
		t.Errorf("its page takes an action: %v", m.typing)
	}
}

func TestTopSaysHowLongAndHowManyOnASmallTerminal(t *testing.T) {
	long := heldSince("documents/4711", 20*time.Minute, 5*time.Second, 3)
	for i := range long.Places {
		long.Places[i].Since, long.Places[i].Owner.PID = night.Add(-12*time.Minute), 100+i
	}
	infos := []redislock.Info{long}
	for i := range 20 {
		infos = append(infos, heldSince(fmt.Sprint("calm/", i), time.Minute, time.Second, 0))
	}
	m := topOf(80, 24, infos...)
	m.take(topView{view: view{infos: infos, at: night}, runs: []redislock.CronStatus{
		{Job: strings.Repeat("long", 20), Outcome: redislock.OutcomeRan, Tick: night.Add(-time.Hour), Next: night.Add(-5 * time.Minute)},
	}})
	text := strings.Join(strings.Fields(m.screen(t)), " ")
	for _, want := range []string{"or it hangs while it holds the lock.", "If its TIME does not grow, it waits or hangs:", "longl…, by 5m0s", "1 of 22 enter open"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, m.screen(t))
		}
	}
	m.flags = "--redis redis-of-the-documents.internal.example:6379"
	folded := regexp.MustCompile(`redislock ask documents/4711 --why '\.\.\.' \\\n +--redis redis-of-the-documents\.internal\.example:6379\n`)
	m.height = 60
	if text := m.screen(t); !folded.MatchString(text) {
		t.Errorf("a long command is cut:\n%s", text)
	}
	m.press("enter")
	if text := m.screen(t); !folded.MatchString(text) {
		t.Errorf("a long command is cut on the page of the lock:\n%s", text)
	}
	m.press("esc")
	m.height = 40
	if text := m.screen(t); !strings.Contains(text, "Those who wait, in order: web (pid 100 on node-4), web (pid 101 on") {
		t.Errorf("on a higher one:\n%s", text)
	}
}

func TestTopShowsWhatWasReadSoFarAndHowOldTheRestIs(t *testing.T) {
	m := newTopModel(&topper{link: &link{addr: "redis.internal:6379"}, interval: time.Second})
	m.width, m.height = 80, 24
	look := func(infos ...redislock.Info) []redislock.Info { return infos }
	a, b, c := heldSince("a", time.Minute, 9*time.Second, 0), heldSince("b", time.Minute, 9*time.Second, 0), heldSince("c", time.Minute, 9*time.Second, 0)

	m.Update(topPart{infos: look(a), read: 1}) // of the first look
	if text := m.screen(t); !strings.Contains(text, "1 lock in use, 1 held, 0 waiting  so far; it is being read for the first time\nlooking for trouble\n") || strings.Contains(text, "well") {
		t.Error(text)
	}
	m.Update(topView{view: view{infos: look(a, b, c), at: time.Now()}, taken: 1, took: 14 * time.Second})
	if text := m.screen(t); !strings.Contains(text, "3 locks in use") || !strings.Contains(text, ", read within 14s\nwell") {
		t.Error(text)
	}
	stopped := heldSince("b", time.Hour, 16*time.Second, 0)
	m.Update(topPart{infos: look(stopped), read: 1})
	if text := m.screen(t); !strings.Contains(text, "3 locks in use, 3 held, 0 waiting  1 read anew, the others 14s ago\nwarning b: api") || m.order() != "b a c" {
		t.Errorf("%s\n%s", m.order(), text)
	}
	m.Update(topPart{infos: look(heldSince("d", time.Minute, 9*time.Second, 0)), read: 2})
	if m.order() != "b a c d" {
		t.Errorf("with one that is new: %s", m.order())
	}
	m.Update(topView{view: view{err: errors.New("gone")}}) // the look ends early
	if text := m.screen(t); m.order() != "b a c d" || !strings.Contains(text, "gone") {
		t.Errorf("%s\n%s", m.order(), text)
	}
	m.Update(topView{view: view{infos: look(a, stopped), at: time.Now()}, taken: 1, took: time.Second})
	if text := m.screen(t); m.order() != "b a" || !strings.Contains(text, "Redis at redis.internal:6379, 03:00:00") {
		t.Errorf("when all was read: %s\n%s", m.order(), text)
	}
}

func TestTopRestsByWhatItCostsAndNotByWhatItWaits(t *testing.T) {
	const interval = 500 * time.Millisecond
	for name, c := range map[string]struct {
		v    topView
		want time.Duration
	}{
		"few locks":                  {topView{view: view{looked: 40}, took: 5 * time.Millisecond}, interval},
		"few locks, far away":        {topView{view: view{looked: 40}, took: 5 * time.Second}, interval},
		"many, at once":              {topView{view: view{looked: 10_000}, took: 200 * time.Millisecond}, 800 * time.Millisecond},
		"many, on a busy machine":    {topView{view: view{looked: 10_000}, took: 20 * time.Second}, time.Second},
		"Redis does not answer":      {topView{view: view{looked: 10_000, err: errors.New("gone")}, took: 20 * time.Second}, interval},
		"few locks, and nothing new": {topView{}, interval},
	} {
		if got := c.v.rest(interval, c.v.took); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestTopOpensAJobThatIsOverdue(t *testing.T) {
	m := topOf(80, 30, heldSince("a", time.Hour, 9*time.Second, 0))
	m.take(topView{view: view{infos: []redislock.Info{heldSince("a", time.Hour, 9*time.Second, 0)}, at: night}, runs: []redislock.CronStatus{
		{Job: "charge", Outcome: redislock.OutcomeRan, Node: redislock.Owner{Client: "billing", Host: "node-9", PID: 44}, Tick: night.Add(-time.Hour), Next: night.Add(-5 * time.Minute)},
	}})
	if m.order() != "cron:charge a" {
		t.Errorf("the order is %s", m.order())
	}
	text := m.screen(t)
	for _, want := range []string{"danger  cron:charge: the job charge is overdue, by 5m0s\n        No process that schedules it is there, or they are paused, hang, or do", "Its last run was that of ", "Start a process that runs the job", "\n          ps -o pid,stat,etime,time,wchan,args -p 44\n", "\n!!cron:charge ", "redislock cron-status charge --prefix shop"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "--reset") {
		t.Errorf("what makes Redis forget the job is on the overview:\n%s", text)
	}
	m.height = 50
	m.press("home", "enter")
	if text := m.screen(t); !strings.Contains(text, "If it is not wanted any more\n") || !strings.Contains(text, "cron-status --reset charge") {
		t.Errorf("its page:\n%s", text)
	}
	if text := m.screen(t); !strings.Contains(text, "cron:charge: free") || !strings.Contains(text, "The job charge is overdue, by 5m0s.") || !strings.Contains(text, "Start a process that runs the job") {
		t.Errorf("its page:\n%s", text)
	}
}

func TestTopSaysWhatWasLostBeforeItBegan(t *testing.T) {
	end := trouble.End{How: trouble.Lapsed, Owner: redislock.Owner{Client: "jvm", Host: "node-1", PID: 7}, At: night.Add(-time.Minute), Fence: 6}
	infos := []redislock.Info{heldSince("a", 50*time.Second, 9*time.Second, 0)}
	m := topOf(80, 24)
	m.take(topView{view: view{infos: infos, at: night}, ends: []topEnd{{"a", end}}})
	if text := m.screen(t); !strings.Contains(text, "warning a: jvm (pid 7 on node-1) lost the lock: its lease ran out, 1m0s") {
		t.Error(text)
	}
	m.press("enter")
	if text := m.screen(t); !strings.Contains(text, "jvm (pid 7 on node-1) lost the lock: its lease ran out, 1m0s ago.") || !strings.Contains(text, "has the lock now") || strings.Contains(text, "kill -CONT 7") || strings.Contains(text, "redislock break") {
		t.Errorf("its page:\n%s", text)
	}
}

func TestTopSaysOfTheWorstTroubleWhatItMeansAndWhatToDo(t *testing.T) {
	stopped := heldSince("invoices", time.Hour, 16*time.Second, 2)
	m := topOf(80, 24, stopped)
	text := m.screen(t)
	for _, want := range []string{"danger  invoices: ", "It is paused,\n        gone, or", "\n        ! Only before 03:00:14", "\n          kill -CONT 12\n", "\n          ps -o pid,stat,etime,time,wchan,args -p "} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	deadlocked := heldSince("invoices of the whole of November", time.Hour, 16*time.Second, 2) // its title has two lines
	if text := topOf(80, 24, deadlocked).screen(t); !strings.Contains(text, "does not renew\n        its hold, which ends at 03:00:14, last renewed 16s ago, 2 waiting\n") {
		t.Errorf("a long title:\n%s", text)
	}
	deadlocked.Name = "carts"
	deadlocked.Holds[0].Owner.Client = "stock-service-of-the-north-and-of-the-south"
	if text := topOf(60, 24, deadlocked).screen(t); !strings.Contains(text, "danger  carts: stock-service-of-the-north-and-of-the-south\n        (pid 12") || !strings.Contains(text, "not renew its hold,") {
		t.Errorf("a long name on a narrow screen is not broken in two:\n%s", text)
	}
	if text := topOf(80, 40, stopped).screen(t); !strings.Contains(text, "kill -CONT 12") || !strings.Contains(text, "redislock show invoices --prefix shop") {
		t.Errorf("on a high screen:\n%s", text)
	}
	if text := topOf(80, 14, stopped).screen(t); strings.Contains(text, "ps -o") || !strings.Contains(text, "danger  invoices: ") {
		t.Errorf("on a small screen:\n%s", text)
	}
}

// The lock that the cursor is on is the one that the advice names.
func TestTopPutsTheLockToBreakFirstInADeadlock(t *testing.T) {
	a, b := heldSince("a", time.Hour, time.Second, 2), heldSince("b", time.Minute, time.Second, 1)
	m := topOf(80, 24, a, b)
	a.Places[0].Under, b.Places[0].Under = []string{"b"}, []string{"a"}
	a.Places[0].Since, b.Places[0].Since = night.Add(-2*time.Minute), night.Add(-time.Minute)
	for range 3 {
		m.take(topView{view: view{infos: []redislock.Info{a, b}, at: night}})
	}
	first := m.found[0].Lock
	if text := m.screen(t); m.found[0].Kind != trouble.Cycle || m.order() != first+" "+m.found[0].Others[0] || !strings.Contains(text, "redislock break "+first+" --reason") {
		t.Fatalf("%s: %+v\n%s", m.order(), m.found, text)
	}
	m.press("down", "enter")
	if text := m.screen(t); !strings.Contains(text, "the lock to break is another: "+first) || strings.Contains(text, "break "+m.open.Name) {
		t.Errorf("the page of the other one:\n%s", text)
	}
}

func TestTopSaysThatThereIsMoreBelow(t *testing.T) {
	m := topOf(60, 24, heldSince("x", time.Hour, 20*time.Second, 2))
	m.press("enter")
	if text := m.screen(t); !strings.Contains(text, " more lines below") {
		t.Error(text)
	}
	m.press("G")
	if text := m.screen(t); strings.Contains(text, "more lines below") || !strings.Contains(text, "Waiting, in order") {
		t.Errorf("at its end: %s", text)
	}
}

func TestOwnersAreCutInTheirNamesAndNotInTheirPids(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{
		{"backup-agent (pid 4960 on vm)", 40, "backup-agent (pid 4960 on vm)"},
		{"backup-agent (pid 4960 on vm)", 26, "back…gent (pid 4960 on vm)"},
		{"backup-agent (pid 4960 on a-long-host-name.internal)", 24, "backup-agent (pid 4960)"},
		{"backup-agent (pid 4960 on vm)", 15, "ba…ent pid 4960"},
		{"tenants/acme/full/sync", 11, "tenan…/sync"},
		{"short", 3, "short"},
	} {
		got := cutOwner(c.text, c.width)
		if got != c.want {
			t.Errorf("%q in %d: %q, want %q", c.text, c.width, got, c.want)
		}
	}
}
