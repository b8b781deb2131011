package ui

import (
	"context"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"example.com/redislock"
)

func TestBrowserTellsOfADeadlockAndHowItIsBroken(t *testing.T) {
	t.Parallel()
	p := opens(t, func(c *Config) { c.AllowBreak = true })
	api, web := p.connect("api"), p.connect("web")
	asks := func(c *redislock.Client, under *redislock.Lock, name string) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if l, err := c.Acquire(under.With(ctx), name); err == nil {
				_ = l.Release(context.Background())
			}
		}()
		t.Cleanup(func() {
			cancel()
			<-done
		})
	}
	orders, err := api.Acquire(p.Context(), "orders", redislock.WithMetadata("the <b>import</b>"))
	if err != nil {
		t.Fatal(err)
	}
	stock, err := web.Acquire(p.Context(), "stock")
	if err != nil {
		t.Fatal(err)
	}
	p.goTo("/")
	asks(api, orders, "stock")
	p.until(`document.querySelector('tr[data-id=stock] .c-waiting')?.textContent.startsWith('1')`)
	asks(web, stock, "orders")
	p.says(".trouble-list li:first-child summary", "deadlock: ")
	p.says(".trouble-list li:first-child .about", "stock")
	for _, want := range []string{"holds orders (the <b>import</b>), for ", "and has waited for stock for ", "redislock break stock --reason '...'", "redislock deadlocks"} {
		p.says(".trouble-list li:first-child", want)
	}
	p.until(`document.querySelector('tr[data-id=stock] .c-trouble .level.danger') && document.querySelector('tr[data-id=orders] .c-trouble .level.danger')`)
	p.goTo("/#/lock/orders")
	p.says(".part-advice", "Deadlock: ")
	p.says(".part-advice .command", "redislock break stock")
	p.click("#break")
	p.says("#act .warning", "the lock to break is another: stock")
	p.types(kb.Escape)
	p.goTo("/#/lock/stock")
	p.says("h1", "stock")
	p.says(".part-advice", "Deadlock: ")
	p.click("#break")
	p.until(`document.getElementById('act').open && !document.querySelector('#act .warning')`)
	p.types(kb.Escape)
	if err := stock.Release(p.Context()); err != nil {
		t.Fatal(err)
	}
	p.goTo("/#/")
	p.says(".well", "Nothing needs a person")
}
