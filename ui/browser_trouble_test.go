package ui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/ui/doctor"
)

func TestBrowserOpensWithWhatNeedsAPerson(t *testing.T) {
	t.Parallel()
	danger := make(chan bool, 1)
	danger <- false
	p := opens(t, func(c *Config) {
		c.Flags = "--prefix shop"
		c.Health = func(context.Context) doctor.Report {
			return doctor.Report{Findings: []doctor.Finding{{Check: "eviction policy", Level: doctor.Warning, Found: "allkeys-lru"}}}
		}
	})
	p.acquire("well")
	p.goTo("/")
	p.says(".well", "Nothing needs a person: 1 lock, 0 jobs and the server looked at.")

	// Of two holds that are not renewed, the one with a waiter comes first, and is open.
	stuck := p.acquire("stuck", redislock.WithLease(40*time.Second), redislock.WithoutRenewal(), redislock.WithMetadata("the <b>import</b>"))
	p.waits(p.client, "stuck")
	key := fmt.Sprintf("%s:{stuck}", redislock.DefaultPrefix)
	p.until(`document.querySelector('tr[data-id=stuck] .c-waiting').textContent.startsWith('1')`)
	ages(p, key, 21*time.Second) // as if it had not renewed for so long
	p.says(".trouble-list li:first-child .about", "stuck")
	p.says(".trouble-list li:first-child summary", "has never renewed its hold")
	p.says(".trouble-list li:first-child summary", "1 waits")
	p.until(`document.querySelector('.trouble-list li:first-child details').open`)
	for _, want := range []string{"It should have done so after 13s", "paused, gone, or cut off from Redis", "ps -o pid,stat,etime,time,wchan,args -p ", "kill -CONT ", "redislock show stuck --prefix shop", "redislock break stuck --reason '...' --prefix shop"} {
		p.says(".trouble-list li:first-child", want)
	}
	if value[bool](p, `document.querySelector('.trouble-list').textContent.includes('\u0002') || document.querySelector('.trouble-list .esc') !== null`) {
		t.Error("the marks of times are shown")
	}
	p.until(`document.querySelector('tr[data-id=stuck] .c-trouble .level.danger') && !document.querySelector('tr[data-id=well] .c-trouble .level')`)
	// A closed item stays closed, and the focus stays where it is, whatever comes.
	p.click(".trouble-list li:first-child summary")
	p.until(`!document.querySelector('.trouble-list li:first-child details').open`)
	p.waits(p.client, "stuck")
	p.says(".trouble-list li:first-child summary", "2 wait")
	if !value[bool](p, `!document.querySelector('.trouble-list li:first-child details').open && document.activeElement.tagName === 'SUMMARY'`) {
		t.Error("it was opened again, or has lost the focus")
	}
	// The page of the lock says the same, with the steps.
	p.click(".trouble-list li:first-child a")
	p.says(".part-advice", "has never renewed its hold")
	p.says(".part-advice .command", "redislock break stuck")
	// The end of the trouble is shown too.
	if err := stuck.Release(p.Context()); err != nil {
		t.Fatal(err)
	}
	p.goTo("/#/")
	p.says(".well", "Nothing needs a person")
}

// ages moves the times of the one hold of a lock back on the server, so that its last renewal was earlier by this
// much.
func ages(p *page, key string, by time.Duration) {
	p.Helper()
	rdb := p.redis.Connect()
	fields, err := rdb.HGetAll(p.Context(), key).Result()
	if err != nil {
		p.Fatal(err)
	}
	for field, value := range fields {
		if !strings.HasPrefix(field, "h") || len(value) < 44+48 {
			continue
		}
		at := value[44+32 : 44+48]
		var micros int64
		if _, err := fmt.Sscan(at, &micros); err != nil {
			p.Fatalf("%q: %v", value, err)
		}
		older := value[:44] + fmt.Sprintf("%016d", micros-by.Microseconds()) + value[60:44+32] + fmt.Sprintf("%016d", micros-by.Microseconds()) + value[44+48:]
		if err := rdb.HSet(p.Context(), key, field, older).Err(); err != nil {
			p.Fatal(err)
		}
		return
	}
	p.Fatalf("no hold in %v", fields)
}

func TestBrowserKeepsWhatIsWantedInTheAddress(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	for _, name := range []string{"a/1", "a/2", "b"} {
		p.acquire(name)
	}
	p.waits(p.client, "a/2")
	p.goTo("/")
	p.lists("a/1", "a/2", "b")
	p.press("/")
	p.types("a/")
	p.lists("a/1", "a/2")
	p.click("th[data-key=waiting] button")
	p.lists("a/2", "a/1")
	p.click("#show-cron")
	p.until(`location.hash === '#/?q=a%2F&sort=-waiting&kinds=plain+elect+once+share+tick'`)
	// It is there after a reload, and when the address is opened by somebody else.
	address := value[string](p, `location.hash`)
	value[bool](p, `(location.reload(), true)`)
	p.lists("a/2", "a/1")
	p.until(`document.getElementById('search').value === 'a/' && !document.getElementById('show-cron').checked && document.getElementById('show-plain').checked`)
	p.goTo("/#/cron")
	p.says("h1", "Cron")
	p.until(`document.querySelector('nav a[data-page=locks]').getAttribute('href') === ` + quote(address))
	p.goTo("/#/?waiting=1")
	p.lists("a/2")
	p.until(`document.getElementById('waiters').value === '1'`)
	p.goTo("/#/?held=3600")
	p.says(".empty", "No lock matches the search and the filters.")
	p.goTo("/#/?trouble=1")
	p.says(".empty", "No lock matches")
	p.until(`document.getElementById('only-trouble').checked`)
	// A wrong value in an address counts as the default.
	p.goTo("/#/?sort=__proto__&states=nonsense&held=x&waiting=-1")
	p.until(`document.querySelector('th[data-key=name]').getAttribute('aria-sort') === 'ascending' && document.querySelector('#count').textContent.startsWith('0 of 3')`)
	p.click("a.brand")
	p.lists("a/1", "a/2", "b")
}

// Runs that this page has not seen come from the history that the nodes keep.
func TestTheStripOfAJobHasTheRunsThatWereNotSeen(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_800_000_000, 0)
	past := func(fence int64, o redislock.Outcome) redislock.CronRun {
		return redislock.CronRun{Tick: at, Outcome: o, Start: at, Duration: time.Second, Fence: fence}
	}
	said := func(runs []run) (text string) {
		for _, r := range runs {
			text += fmt.Sprint(r.fence, r.Outcome, r.Took, " ")
		}
		return text
	}
	seen := ran(nil, redislock.CronStatus{Outcome: redislock.OutcomeRunning, Tick: at, Fence: 3, Earlier: []redislock.CronRun{past(2, redislock.OutcomeFailed), past(1, redislock.OutcomeRan)}})
	before := said(seen)
	if before != "1ran1000 2failed1000 3running0 " {
		t.Error(before)
	}
	after := ran(seen, redislock.CronStatus{Outcome: redislock.OutcomeRan, Tick: at, Fence: 5, Earlier: []redislock.CronRun{past(4, redislock.OutcomeRan), past(3, redislock.OutcomeDied)}})
	if got := said(after); got != "1ran1000 2failed1000 3died0 4ran1000 5ran0 " {
		t.Error(got)
	}
	if said(seen) != before {
		t.Error("what is on its way to a browser was changed")
	}
	for fence := range int64(100) {
		after = ran(after, redislock.CronStatus{Outcome: redislock.OutcomeRan, Tick: at, Fence: 10 + fence})
	}
	if len(after) != maxRuns || after[maxRuns-1].fence != 109 {
		t.Error(said(after))
	}
}

func TestBrowserShowsTheLastRunsOfAJobAsAStrip(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	cron := p.client.Cron("nightly", redislock.WithSchedule(func(after time.Time) time.Time { return after.Add(time.Second) }))
	p.goTo("/#/cron")
	p.says(".note", "one is shown here from its first run on, and from before it if it was announced")
	late := p.client.Cron("monthly", redislock.WithSchedule(func(after time.Time) time.Time { return after.Add(-10 * time.Minute) }))
	if err := late.Announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"pending", "none yet", "overdue, was due", "announced by"} {
		p.says("tbody", text)
	}
	tick := time.Now().Truncate(time.Second).Add(-10 * time.Minute)
	for i, fails := range []bool{false, true} {
		_, err := cron.Run(t.Context(), tick.Add(time.Duration(i)*time.Minute), func(context.Context) error {
			if fails {
				return errors.New("no disk")
			}
			return nil
		})
		if fails != (err != nil) {
			t.Fatal(err)
		}
		p.until(fmt.Sprintf(`document.querySelectorAll('.strip .run').length === %d`, i+1))
	}
	p.until(`document.querySelector('.strip .run:last-child').matches('.bad') && document.querySelector('.strip').getAttribute('aria-label').includes('failed')`)
	p.says(".tag.bad", "overdue, was due")
	p.goTo("/")
	p.says(".trouble-list", "the job nightly is overdue")
	p.says(".trouble-list", "the job monthly is overdue")
	p.until(`document.title === '(3) Locks · redislock'`)
	p.says(".trouble-list", "no run of it is known. It was announced by")
	p.says(".trouble-list", "no disk")
}
