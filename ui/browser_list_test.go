package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"example.com/redislock"
)

// names are the visible names in the list, in order.
const names = `[...document.querySelectorAll('.list tbody a')].map((a) => a.textContent).join()`

func (p *page) lists(want ...string) {
	p.Helper()
	p.until(fmt.Sprintf("%s === %s", names, quote(strings.Join(want, ","))))
}

func TestBrowserListsLocksLive(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	a := p.acquire("job/10", redislock.WithMetadata("import of tuesday"))
	p.acquire("job/9")
	p.goTo("/")
	p.lists("job/9", "job/10") // numbers in names count as numbers
	p.says("tbody tr", "import of tuesday")
	p.says("#link-text", "live")
	p.says(".where", p.redis.Addr())

	// Changes show without a reload, and the focus stays where it is.
	value[int](p, `window.marker = 1`)
	value[bool](p, `(document.querySelector('.list a[href$="job%2F10"]').focus(), window.held = document.activeElement, true)`)
	p.acquire("job/1")
	p.lists("job/1", "job/9", "job/10")
	next := p.waits(p.client, "job/10")
	p.until(`document.querySelector('tr[data-id="job%2F10"] .c-waiting').textContent.startsWith('1')`)
	if !value[bool](p, `document.activeElement === window.held && window.held.isConnected`) {
		t.Error("the focus was lost")
	}
	for _, want := range [][]string{{"job/10", "job/9", "job/1"}, {"job/1", "job/9", "job/10"}} { // also when the rows change places
		value[bool](p, `(document.querySelector('th[data-key=name] button').click(), true)`)
		p.lists(want...)
		if !value[bool](p, `document.activeElement === window.held`) {
			t.Error("the focus was lost when the rows changed places")
		}
	}
	if err := a.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.until(`document.querySelector('tr[data-id="job%2F10"] .c-waiting').textContent === '–'`)
	if err := (<-next).Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.lists("job/1", "job/9")
	p.until(`document.activeElement.closest('tr')?.dataset.id === 'job%2F9'`) // the row in its place
	p.click("#show-idle")
	p.lists("job/1", "job/9", "job/10")
	p.says("#count", "3 of 3")
	p.says("#summary", "held")

	// Sorting, and what a screen reader says about it.
	sorted := func(key, want string) {
		t.Helper()
		p.until(fmt.Sprintf(`document.querySelector('th[data-key=%s]').getAttribute('aria-sort') === '%s'`, key, want))
	}
	sorted("name", "ascending")
	p.click("th[data-key=name] button")
	sorted("name", "descending")
	p.lists("job/10", "job/9", "job/1")
	p.click("th[data-key=since] button")
	sorted("since", "ascending")
	sorted("name", "none")
	p.lists("job/9", "job/1", "job/10")
	p.until(`document.querySelector('.list').getAttribute('aria-rowcount') === '4'`)

	// Kinds.
	p.acquire("cron:report")
	p.lists("job/9", "job/1", "cron:report", "job/10")
	p.click("#show-plain")
	p.lists("cron:report")
	if !value[bool](p, `window.marker === 1`) {
		t.Error("the page was loaded again")
	}
}

func TestBrowserByKeyboardAlone(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	for _, name := range []string{"alpha", "beta", "beta/2", "gamma"} {
		p.acquire(name)
	}
	p.goTo("/")
	p.lists("alpha", "beta", "beta/2", "gamma")
	p.types(kb.Tab)
	p.until(`document.activeElement.id === 'skip'`)
	p.press("/")
	p.until(`document.activeElement.id === 'search'`)
	p.types("beta")
	p.lists("beta", "beta/2")
	p.types(kb.ArrowDown)
	p.until(`document.activeElement.textContent === 'beta'`)
	p.types(kb.ArrowDown)
	p.until(`document.activeElement.textContent === 'beta/2'`)
	p.types(kb.Enter)
	p.until(`document.activeElement.matches('h1.name') && document.activeElement.textContent === 'beta/2'`)
	p.says(".part-held-by td", "app")
	p.until(`document.title.startsWith('beta/2')`)
	p.types(kb.Escape)
	p.lists("beta", "beta/2")
	p.until(`document.activeElement.textContent === 'beta/2'`)
	// Help is a dialog: it opens, closes, and gives the focus back.
	p.press("?")
	p.until(`document.getElementById('help').open`)
	p.types(kb.Escape)
	p.until(`!document.getElementById('help').open && document.activeElement.textContent === 'beta/2'`)
	p.press("/")
	p.until(`document.activeElement.id === 'search'`)
	p.types(kb.Escape)
	p.lists("alpha", "beta", "beta/2", "gamma")
	// The search is reached from every page.
	p.goTo("/#/health")
	p.says("h1", "Health")
	p.press("/")
	p.until(`document.activeElement.id === 'search'`)
	// Every element that the keyboard can reach has a name, and shows that it has the focus.
	if bare := value[string](p, `[...document.querySelectorAll('a, button, input, [tabindex="0"]')].filter((node) => node.checkVisibility() &&
		!(node.textContent.trim() || node.getAttribute('aria-label') || node.labels?.length)).map((node) => node.outerHTML).join()`); bare != "" {
		t.Errorf("without a name: %s", bare)
	}
}

func TestBrowserSurvivesTenThousandLocks(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	const n = 10_000
	held := make(chan error, 100)
	for g := range 100 {
		go func() {
			for i := g; i < n; i += 100 {
				if _, err := p.client.Acquire(t.Context(), fmt.Sprintf("lock/%d", i), redislock.WithLease(10*time.Minute)); err != nil {
					held <- err
					return
				}
			}
			held <- nil
		}()
	}
	for range 100 {
		if err := <-held; err != nil {
			t.Fatal(err)
		}
	}
	p.goTo("/")
	p.says("#count", "10,000 of 10,000")
	if rows := value[int](p, `document.querySelectorAll('.list tbody tr').length`); rows > 100 {
		t.Errorf("%d rows in the page", rows)
	}
	p.until(`document.querySelector('.list').getAttribute('aria-rowcount') === '10001'`)
	// The search covers all of them, and is quick.
	value[bool](p, `(document.getElementById('search').focus(), true)`)
	p.types("lock/7777")
	p.lists("lock/7777")
	p.types(kb.Escape)
	p.says("#count", "10,000 of")
	// The end of the list is there, and Tab and End find it.
	p.types(kb.ArrowDown)
	p.until(`document.activeElement.textContent === 'lock/0'`)
	p.types(kb.End)
	p.until(`document.activeElement.textContent === 'lock/9999' && document.activeElement.closest('tr').getAttribute('aria-rowindex') === '10001'`)
	if took := value[float64](p, `(() => { const begun = performance.now(); document.querySelector('th[data-key=name] button').click(); return performance.now() - begun; })()`); took > 5000 {
		t.Errorf("sorting takes %.0f ms", took)
	}
	p.types(kb.Home)
	p.until(`document.activeElement.textContent === 'lock/9999' && document.activeElement.closest('tr').getAttribute('aria-rowindex') === '2'`)
}

// A person follows a link, and before its page is there the list has news. The news do not take the person back.
func TestBrowserNewsOfTheListLeaveTheAddressAlone(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	p.acquire("first")
	p.goTo("/#/")
	p.lists("first")
	value[bool](p, `(history.pushState(null, '', '#/lock/first'), true)`) // pushState fires no hashchange, so the list stays
	p.acquire("second")
	p.lists("first", "second")
	if at := value[string](p, `location.hash`); at != "#/lock/first" {
		t.Errorf("the address is %q", at)
	}
}
