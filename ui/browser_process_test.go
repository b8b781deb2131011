package ui

import (
	"os"
	"strconv"
	"testing"
)

// TestBrowserShowsAProcessAndWhoKeepsItWaiting: all Clients of a test are one process, which waits for itself.
func TestBrowserShowsAProcessAndWhoKeepsItWaiting(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	p.acquire("a")
	p.acquire("b")
	second := p.connect("second")
	p.waits(second, "a")
	p.goTo("/#/processes")
	host, _ := os.Hostname()
	// All Clients of this test are one process: it waits for itself, in a ring.
	p.says(".part-processes td", "app, second (pid "+strconv.Itoa(os.Getpid())+" on "+host+")")
	p.says(".part-processes td", "1 waiter")
	p.click(".part-processes a")
	p.says("h1", "(pid "+strconv.Itoa(os.Getpid()))
	p.says(".lead", "It holds 2 locks and waits for 1 lock.")
	p.says(".part-waits-for td", "a ring: it waits")
	p.says(".part-holds td", "second")
	// The search finds waiters too, not only the first holder.
	p.goTo("/#/?q=second")
	p.lists("a")
	p.click(".list a")
	p.says(".part-queue a.process", "second")
	p.click(".part-queue a.process")
	p.says("h1", "(pid ")
	p.goTo("/#/process/no%2Fsuch%2F7")
	p.says(".lead", "It holds nothing and waits for nothing now")
	p.says("h1", "(pid 7 on no/such)")
	p.goTo("/#/process/%FF%1b/9")
	p.says("h1", `(pid 9 on \xff\x1b)`)
}
