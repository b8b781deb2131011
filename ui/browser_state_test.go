package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
)

func TestBrowserShowsWhatIsKept(t *testing.T) {
	t.Parallel()
	p := opens(t, func(c *Config) { c.AllowBreak = true })
	lock := p.acquire("tick")
	p.goTo("/#/lock/tick")
	p.says(".part-held-by td", "app")
	if err := lock.ReleaseAfter(t.Context(), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	p.says(".facts dd", "given back, kept until ")
	p.says(".part-held-by td", "given back kept until ")
	p.says(".part-history td", "given back, and kept for a while")
	p.goTo("/#/")
	p.says("tr[data-id=tick] .tag", "given back")
	p.says("tr[data-id=tick] .c-deadline", "until ")
	p.goTo("/#/lock/tick")
	p.says(".part-history td", "kept time over")
	if text := value[string](p, `document.querySelector('.part-history').textContent`); len(text) == 0 || value[bool](p, `/lapsed|stale/.test(document.querySelector('main').innerText)`) {
		t.Errorf("it says %s", text)
	}
	// It is not stale long after its deadline either, even if it was not removed.
	if states := value[string](p, `(async () => {
		const { statesOf } = await import('/static/store.js');
		window.states = [statesOf({ held: 1, kept: true, deadline: 1 }), statesOf({ held: 1, deadline: 1 })].join(';');
	})(), 'asked'`); states != "asked" {
		t.Error(states)
	}
	p.until(`window.states === 'held;held,stale'`)
}

func TestBrowserSaysThatAProcessTakesALockInTurns(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	p.acquire("tick", redislock.WithTurn(time.Millisecond))
	p.goTo("/#/")
	p.says("tr[data-id=tick]", ", in turns)")
	p.goTo("/#/lock/tick")
	p.says(".part-held-by td", ", in turns)")
	p.goTo("/#/processes")
	p.until(`document.querySelector('main a.process') && !document.querySelector('main').innerText.includes('in turns')`) // the lock is held in turns, not the process
}

func TestBrowserSaysHowManyHoldOn(t *testing.T) {
	t.Parallel()
	p := opens(t, func(c *Config) { c.AllowBreak = true })
	const more = 3
	var locks []*redislock.Lock
	for range maxDetail + more {
		locks = append(locks, p.acquire("x", redislock.WithMode(redislock.Read), redislock.WithLease(10*time.Minute)))
	}
	p.goTo("/#/lock/x")
	p.says(".part-held-by .note", "3 more are not shown")
	p.click("#break")
	p.says("dialog", fmt.Sprintf("%d hold it", maxDetail+more))
	p.says("dialog .warning", "3 others hold on")
	p.types("it is stuck")
	value[bool](p, `(document.getElementById('confirm').focus(), true)`)
	p.types("break\r")
	p.says("#done", fmt.Sprintf("Broken: %d holds have ended", maxDetail))
	p.says("#done", "3 others hold on")
	select {
	case <-locks[maxDetail-1].Context().Done():
	case <-time.After(patience):
		t.Error("the last that was shown was not broken")
	}
	if locks[maxDetail].Err() != nil {
		t.Error("one that was not shown was broken")
	}
}

func TestBrowserDrawsSoManyElectionsAndSaysHowManyMoreThereAre(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	for i := range 300 {
		p.acquire(fmt.Sprintf("elect:%03d", i))
	}
	p.goTo("/#/elections")
	p.until(`document.querySelectorAll('.small tbody tr').length === 200`)
	p.says(".note", "100 more are not shown.")
	p.says(".small a", "007")
	p.says(".small td", "nobody would take over")
}

// If the stream of the only page begins anew, the page shows the old state until everything was sent again, and says
// so.
func TestBrowserKeepsTheListUntilANewOneIsWhole(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	p.acquire("there")
	p.goTo("/")
	p.says("#count", "1 of 1 locks")
	value[bool](p, `import('/static/store.js').then(({ store }) => {
		store.begin(store.hello);
		store.settle({ ...store.status, sweeps: 0, now: 0 });
		store.settled = [store.locks.size, store.complete];
		store.settle({ ...store.status, sweeps: 1 });
		window.sizes = [...store.settled, store.locks.size, store.complete].join();
	}), true`)
	p.until(`window.sizes`)
	if sizes := value[string](p, `window.sizes`); sizes != "1,false,0,true" {
		t.Errorf("%s", sizes)
	}
}

// The server learns which lock a page looks at, even if the first request is lost while the stream lives.
func TestBrowserTellsAgainWhatItLooksAt(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	p.acquire("x")
	p.goTo("/")
	p.says(".list a", "x")
	value[bool](p, `(() => {
		const real = window.fetch;
		window.fetch = (...request) => {
			window.fetch = real;
			return Promise.reject(new TypeError('lost'));
		};
		return true;
	})()`)
	p.click(".list a")
	p.says(".part-held-by td", "app")
	p.until(`window.fetch.toString().includes('native')`) // one request was lost
}

func TestBrowserShowsALockThatNobodyHasUsed(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	p.goTo("/#/lock/x")
	p.says(".part-history .note", "Nothing was seen to happen yet")
	p.says(".part-queue .note", "Nobody waits.")
	lock := p.acquire("x")
	p.says(".part-held-by td", "app")
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.says(".part-held-by .note", "Nobody holds it.")
	p.says(".part-history td", "app")
}

// Readers of one process hold a lock at the same time. Each hold has a lane of its own while there is another of the
// same owner.
func TestBrowserDrawsHoldsThatAreConcurrentBesideEachOther(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	first := p.acquire("x", redislock.WithMode(redislock.Read))
	p.acquire("x", redislock.WithMode(redislock.Read))
	p.goTo("/#/lock/x")
	p.until(`document.querySelectorAll('.timeline .span.now').length === 2`)
	tops := `new Set([...document.querySelectorAll('.timeline .span')].map((span) => span.getAttribute('y'))).size`
	if n := value[int](p, tops); n != 2 {
		t.Errorf("two holds are drawn in %d lanes", n)
	}
	if err := first.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.says(".part-history td", "released")
	p.acquire("x", redislock.WithMode(redislock.Read)) // in the lane of the first, which has ended
	p.until(`document.querySelectorAll('.timeline .span').length === 3 && ` + tops + ` === 2`)
}

// The lock was renewed and given back while no page was open.
func TestBrowserSaysWhatItDidNotSee(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	const lease = time.Second
	lock := p.acquire("x", redislock.WithLease(lease))
	p.goTo("/#/lock/x")
	p.says(".part-held-by td", "app")
	p.goTo("/login")
	p.until(`location.pathname === '/login'`)
	deadline := func() time.Time {
		info, err := p.client.Inspect(t.Context(), "x")
		if err != nil || len(info.Holds) != 1 {
			t.Fatalf("%+v, %v", info, err)
		}
		return info.Holds[0].Deadline
	}
	for seen := deadline(); deadline().Sub(seen) < 2*lease; { // it is renewed
		select {
		case <-lock.Context().Done():
			t.Fatal(lock.Err())
		case <-time.After(lease / 4):
		}
	}
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := p.acquire("x")
	if err := again.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.goTo("/#/lock/x")
	p.says(".part-history td", "ended, not seen how")
	p.says(".part-history td", "its lease, as last seen, ran until")
	p.says(".part-history td", "held meanwhile, not seen")
	if text := value[string](p, `document.querySelector('main').innerText`); strings.Contains(text, "lapsed") || strings.Contains(text, "handed") || !strings.Contains(text, "Looks do not show everything") {
		t.Errorf("the page says %s", text)
	}
	p.until(`document.querySelector('.timeline .span.unsure')`)
}

func TestBrowserShowsWhatIsDamagedAndTheRest(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	p.acquire("good")
	rdb := p.redis.Connect()
	if err := rdb.HSet(t.Context(), "redislock:{bad}", "s", "x", "y", "z").Err(); err != nil {
		t.Fatal(err)
	}
	if err := rdb.Set(t.Context(), "redislock:r:{cron:bad}", "junk", 0).Err(); err != nil {
		t.Fatal(err)
	}
	p.goTo("/")
	p.lists("bad", "good")
	p.says("tr[data-id=bad] .tag", "damaged")
	p.says("tr[data-id=bad] .c-holder", "damaged key")
	p.until(`document.getElementById('alert').hidden`)
	p.goTo("/#/cron")
	p.says("tbody tr", "damaged key")
	p.goTo("/#/lock/bad")
	p.says(".alert", "damaged key")
}
