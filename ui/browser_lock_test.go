package ui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/chromedp/chromedp/kb"

	"example.com/redislock"
	"example.com/redislock/internal/safetext"
	"example.com/redislock/ui/doctor"
)

const script = `<script>window.hacked = 1</script><img src=x onerror="window.hacked = 2">`

// harmless checks that no text of others became markup.
func (p *page) harmless() {
	p.Helper()
	if got := value[string](p, `String(window.hacked) + document.querySelectorAll('script').length + document.querySelectorAll('main img, dialog img').length`); got != "undefined10" {
		p.Errorf("a text has become markup: %s", got)
	}
}

func TestBrowserBreaksALock(t *testing.T) {
	t.Parallel()
	p := opens(t, func(c *Config) { c.AllowBreak = true })
	lock := p.acquire(script, redislock.WithMetadata(script+"\u202e\x1b[31m"))
	next := p.waits(p.connect("next"), script)
	p.goTo("/")
	p.says(".list a", script)
	p.says(".list .meta", `window.hacked = 2">\u202e\x1b[31m`) // the override and the escape as text
	p.harmless()
	p.until(`document.querySelector('tr[data-id] .c-waiting').textContent.startsWith('1')`)
	p.click(".list a")
	p.says("h1", script)
	p.says(".part-queue td", "next")

	// Without a reason and the typed word nothing is done.
	p.click("#break")
	p.says("dialog .target", script)
	p.says("dialog", "app (pid ")
	p.types(script)
	p.types(kb.Enter)
	p.types("more")
	p.until(`document.querySelector('dialog#act button[type=submit]').disabled`)
	p.types(kb.Tab)
	p.until(`document.activeElement.id === 'confirm'`)
	p.types("brea")
	p.until(`document.querySelector('dialog#act button[type=submit]').disabled`)
	p.types("k")
	p.until(`!document.querySelector('dialog#act button[type=submit]').disabled`)
	p.types(kb.Enter)
	p.says("#done", "Broken")
	select {
	case <-lock.Context().Done():
	case <-time.After(patience):
		t.Fatal("it was not broken")
	}
	if cause := context.Cause(lock.Context()); !errors.Is(cause, redislock.ErrStolen) || !strings.Contains(cause.Error(), "window.hacked") {
		t.Errorf("the holder is told %v", cause)
	}
	p.types(kb.Enter) // Close
	p.until(`document.activeElement.id === 'break'`)
	<-next
	p.says(".part-held-by td", "next")
	p.says(".part-history td", "broken from here")
	p.says(".part-history q", script)
	p.says(".part-history td", "handed over to")
	p.until(`document.querySelectorAll('.timeline .span').length === 2 && document.querySelector('.timeline .span.broken')`)
	p.harmless()
}

func TestBrowserSaysWhenOthersHoldTheLockByNow(t *testing.T) {
	t.Parallel()
	p := opens(t, func(c *Config) { c.AllowBreak = true })
	lock := p.acquire("x")
	p.goTo("/#/lock/x")
	p.says(".part-held-by td", "app")
	p.click("#break")
	p.until(`document.activeElement.id === 'why'`)
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := p.acquire("x")
	p.types("it is stuck")
	p.types(kb.Tab)
	p.types("break")
	p.expects("409")
	p.types(kb.Enter)
	p.says("dialog [role=alert]", "others hold the lock by now")
	if other.Err() != nil {
		t.Error("it was broken all the same")
	}
	p.types(kb.Escape)
	p.until(`!document.getElementById('act').open`)
	p.says(".part-history td", "released")
	p.says(".part-history td", "acquired")
}

func TestBrowserHasNoButtonsUnlessAllowed(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	p.acquire("x")
	p.goTo("/#/lock/x")
	p.says(".part-held-by td", "app")
	if value[bool](p, `['ask', 'break'].some((id) => document.getElementById(id).checkVisibility())`) {
		t.Error("there are buttons")
	}
	p.expects("403")
	if status := value[int](p, `(() => { const r = new XMLHttpRequest(); r.open('POST', '/api/break', false); r.setRequestHeader('Content-Type', 'application/json'); r.send('{}'); return r.status; })()`); status != 403 {
		t.Errorf("the route answers %d", status)
	}
}

func TestBrowserRefusesWithoutTheToken(t *testing.T) {
	t.Parallel()
	p := opens(t, func(c *Config) { c.Token = testToken })
	p.acquire("secret")
	p.goTo("/#/lock/secret")
	p.until(`location.pathname === '/login' && document.activeElement.id === 'token'`)
	p.types("wrong" + kb.Enter)
	p.says("#why", "not the token")
	if strings.Contains(value[string](p, `document.body.textContent`), "secret") {
		t.Error("it shows locks")
	}
	p.until(`document.activeElement.id === 'token'`)
	p.types(testToken + kb.Enter)
	p.until(`location.pathname === '/'`)
	p.says(".list a", "secret")
	if value[string](p, `document.cookie`) != "" {
		t.Error("scripts can read the cookie")
	}
	if hash := value[string](p, `location.hash`); hash != "#/" {
		t.Errorf("the key stays in the address: %s", hash)
	}
	p.goTo("/#/lock/secret") // as another page of the session
	p.says(".part-held-by td", "app")
	p.click("#logout button")
	p.until(`location.pathname === '/login' && localStorage.length === 0`)
	p.goTo("/")
	p.until(`location.pathname === '/login'`)
}

func TestBrowserShowsStrangeNamesHarmlessly(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	strange := map[string]string{
		"bad\xff\xfeutf8":                      `bad\xff\xfeutf8`,
		"evil\u202egnp.exe":                    `evil\u202egnp.exe`,
		"a\x00\x1b[31m\n\tb":                   `a\x00\x1b[31m\n\tb`,
		"zero\u200bwidth\ufeff":                `zero\u200bwidth\ufeff`,
		"tag\U000e0041":                        `tag\u{e0041}`,
		"#?&%2F/../<b>":                        `#?&%2F/../<b>`,
		"日本/🔒/مرحبا":                           "日本/🔒/مرحبا",
		strings.Repeat("\xf0\x9f\x94", 170):    strings.Repeat(`\xf0\x9f\x94`, 170),
		strings.Repeat("W", redislock.MaxName): strings.Repeat("W", redislock.MaxName),
	}
	for name := range strange {
		p.acquire(name)
	}
	p.goTo("/")
	p.until(`document.querySelectorAll('.list a').length === 9`)
	for _, shown := range strange {
		p.says(".list a", shown)
	}
	for name, shown := range strange {
		p.goTo("/#/lock/" + idOf(name))
		p.says("h1.name", shown)
		p.says(".part-held-by td", "app") // it is the same lock
	}
	p.harmless()
	if value[bool](p, `document.documentElement.scrollWidth > innerWidth`) {
		t.Error("the page is wider than the window")
	}
}

func TestBrowserSaysThatRedisIsGoneAndGoesOn(t *testing.T) {
	t.Parallel()
	examined := make(chan struct{}, 10)
	p := opens(t, func(c *Config) {
		c.Explain = func(err error) string { return "cannot reach Redis at " + c.Address + ": start it there" }
		c.Health = func(context.Context) doctor.Report { examined <- struct{}{}; return doctor.Report{} }
	})
	p.acquire("before")
	p.goTo("/")
	p.says(".list a", "before")
	p.redis.Kill()
	p.says("#alert", "cannot reach Redis at "+p.redis.Addr())
	p.says("#alert", "What is shown is as it was at ")
	p.says(".list a", "before") // the last known state
	for range len(examined) {
		<-examined
	}
	p.redis.Restart()
	select {
	case <-examined: // the findings of the outage are out of date
	case <-time.After(patience):
		t.Error("the server is not examined anew when it is back")
	}
	p.until(`document.getElementById('alert').hidden && document.getElementById('link-text').textContent === 'live'`)
	if _, err := p.connect("later").Acquire(t.Context(), "after"); err != nil {
		t.Fatal(err)
	}
	p.says(".list a", "after")
}

func TestBrowserShowsJobsElectionsAndHealth(t *testing.T) {
	t.Parallel()
	p := opens(t, func(c *Config) {
		c.Health = func(context.Context) doctor.Report {
			return doctor.Report{Findings: []doctor.Finding{
				{Check: "version", Level: doctor.OK, Found: "7.0"},
				{Check: "eviction policy", Level: doctor.Danger, Found: script, Why: "a lock may vanish", Fix: "CONFIG SET maxmemory-policy noeviction"},
				{Check: "memory", Level: doctor.Danger, Stops: doctor.NoMemory, Found: "full, most acquires are refused", Why: "OOM", Look: "redis-cli --bigkeys", Fix: "raise its limit", Command: "redis-cli CONFIG SET maxmemory 48mb", Cost: "a restart brings the old one back"},
			}}
		}
	})
	for name, err := range map[string]error{"good": nil, "bad/" + script: errors.New("disk full " + script)} {
		if _, err := p.client.Cron(name).Run(t.Context(), time.Now().Truncate(time.Minute), func(context.Context) error { return err }); err != nil && !strings.Contains(err.Error(), "disk full") {
			t.Fatal(err)
		}
	}
	leads := make(chan struct{})
	go func() {
		_ = p.connect("first").Elect(t.Context(), "scheduler", func(ctx context.Context) error { close(leads); <-ctx.Done(); return nil })
	}()
	<-leads
	second := p.connect("second")
	go func() {
		_ = second.Elect(t.Context(), "scheduler", func(ctx context.Context) error { <-ctx.Done(); return nil })
	}()

	p.goTo("/#/elections")
	p.says("tbody th", "scheduler")
	p.says("tbody td", "first")
	p.says(".candidates li", "second")
	p.goTo("/#/cron")
	p.says("tbody tr", "disk full "+script)
	p.says("tbody .tag.bad", "failed")
	p.says("tbody .tag.good", "ran")
	p.goTo("/#/health")
	p.says(".finding.bad", script)
	p.until(`document.querySelector('.finding').classList.contains('bad')`) // the worst comes first
	p.says("#health-badge", "2")
	// What only looks comes before what changes something, here and in what is said of a trouble in one line.
	for _, want := range []string{"full, most acquires", "Look first: this changes nothing", "See what fills it", "redis-cli --bigkeys", "What mends it", "Raise its limit", "A restart brings", "CONFIG SET maxmemory 48mb"} {
		p.says(".finding.bad + .finding.bad", want)
	}
	if order := value[[]string](p, `[...document.querySelectorAll('.finding.bad + .finding.bad code')].map((code) => code.textContent)`); !slices.Equal(order, []string{"redis-cli --bigkeys", "redis-cli CONFIG SET maxmemory 48mb"}) {
		t.Errorf("what looks like a command, and in which order: %q", order)
	}
	p.goTo("/#/")
	p.says(".trouble-list li:first-child .first", "Look first: See what fills it")
	p.harmless()
}

// The name of a property that every object has is not the name of a page.
func TestBrowserSaysThatThereIsNoSuchPage(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	for _, path := range []string{"__proto__", "constructor", "toString", "nothing/x"} {
		p.goTo("/#/" + path)
		p.says("h1", "No such page")
	}
	p.click("main a")
	p.says("h1", "Locks")
	p.expects("400")
	p.goTo("/#/lock/" + strings.Repeat("a", redislock.MaxName+1))
	p.says(".alert", "this cannot be the name of a lock")
}

// Others may write the name of a mode into the key, without the library.
func TestBrowserShowsWhatCannotBeSeenInEveryText(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	const hidden, boxed = "\u202e\u3164\u200b", `\u202e\u3164\u200b`
	p.acquire("x", redislock.WithMode(redislock.NewMode("nine-long")), redislock.WithMetadata("meta"+hidden))
	rdb := p.redis.Connect()
	for field, value := range rdb.HGetAll(t.Context(), "redislock:{x}").Val() {
		if err := rdb.HSet(t.Context(), "redislock:{x}", field, strings.ReplaceAll(value, "nine-long", hidden)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"pay", "pay\u200b", "pay\u3164", "pay\ufe0f", "pay\u034f", "pay ", " pay", "pay\u2800", "\u0301pay", "pay\xff", `pay\xff`} {
		p.acquire(name)
	}
	p.goTo("/")
	p.until(`document.querySelectorAll('.list a').length === 12`)
	// No two look the same: in their text and in the places of the boxes.
	if n := value[int](p, `new Set([...document.querySelectorAll('.list a')].map((a) => a.innerHTML)).size`); n != 12 {
		t.Errorf("12 names look like %d", n)
	}
	p.says(".c-holder .meta .esc", boxed)
	p.says(".c-mode", boxed)
	if n := value[int](p, `new Set([...document.querySelectorAll('.list tr[data-id]')].map((row) => row.offsetHeight)).size`); n != 1 {
		t.Errorf("rows of %d heights: the list counts on one", n)
	}
	p.goTo("/#/lock/x")
	p.says(".part-held-by td[data-column=Metadata] .esc", boxed)
	p.says(".part-held-by td[data-column=Mode]", boxed)
	p.harmless()
	for _, path := range []string{"/#/", "/#/lock/x"} {
		p.goTo(path)
		p.until(`document.querySelector('main td')`)
		if raw := value[string](p, `(() => {
			const found = /[\u200b-\u200f\u202a-\u202f\u2066-\u2069\u3164\ufe0f\u034f\u2800]/u;
			return [...document.querySelectorAll('*')].flatMap((node) => [...node.childNodes].filter(({ nodeType }) => nodeType === 3).map(({ data }) => data)
				.concat([...node.attributes].map(({ value }) => value))).filter((text) => found.test(text)).map(escape).join();
		})()`); raw != "" {
			t.Errorf("%s shows as it is: %s", path, raw)
		}
	}
}

// The page escapes the same characters as the command line.
func TestBrowserHidesWhatTheCommandLineHides(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	p.goTo("/")
	value[bool](p, `(import('/static/hidden.js').then(({ hidden }) => {
		let bits = '';
		for (let code = 0; code <= 0x10ffff; code++) bits += String.fromCodePoint(code).search(hidden) < 0 ? '0' : '1';
		window.bits = bits.replace(/0+|1+/g, (run) => run[0] + run.length + ' ');
	}), true)`)
	p.until(`window.bits`)
	got := value[string](p, `window.bits`)
	var want strings.Builder
	for from := rune(0); from <= unicode.MaxRune; {
		to := from
		for to <= unicode.MaxRune && safetext.Hidden(to) == safetext.Hidden(from) {
			to++
		}
		bit := 0
		if safetext.Hidden(from) {
			bit = 1
		}
		fmt.Fprintf(&want, "%d%d ", bit, to-from)
		from = to
	}
	if got != want.String() {
		t.Error("the page hides other characters than the command line")
	}
}

func TestBrowserShowsTheLimitOfALock(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	p.acquire("api", redislock.WithMode(redislock.Semaphore(5)))
	p.goTo("/#/lock/api")
	p.says(".part-held-by td", "app (pid ")
	if value[bool](p, `document.querySelector('.facts').innerText.includes('Limit')`) {
		t.Error("a limit where there is none")
	}
	if err := p.client.SetLimit(t.Context(), "api", time.Hour, redislock.AtMost(3, "semaphore"), redislock.AtMost(2000, "small", "large")); err != nil {
		t.Fatal(err)
	}
	p.until(`/^at most 2,000 large\+small, at most 3 semaphore, until .*\d:\d\d/.test([...document.querySelectorAll('.facts dd')].at(-1).textContent)`)
	p.until(`/^\d+:\d\d:\d\d/.test(document.getElementById('now').textContent)`)
}
