package ui

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"example.com/redislock"
	"example.com/redislock/ui/doctor"
)

// axe is axe-core by Deque, under the MPL 2.0. testdata has its license and its source.
//
//go:embed testdata/axe-core-4.14.1.min.js.gz
var axe []byte

// wide and narrow are a desktop and a phone.
var widths = map[string]int64{"wide": 1280, "narrow": 390}

// TestBrowserHasNothingThatKeepsPeopleOut checks every page by axe-core, light and dark, on a desktop and on a phone. No
// page may need to be scrolled sideways.
func TestBrowserHasNothingThatKeepsPeopleOut(t *testing.T) {
	t.Parallel()
	unzipped, err := gzip.NewReader(bytes.NewReader(axe))
	if err != nil {
		t.Fatal(err)
	}
	audit, err := io.ReadAll(unzipped)
	if err != nil {
		t.Fatal(err)
	}
	p := opens(t, func(c *Config) {
		c.AllowBreak = true
		c.Health = func(context.Context) doctor.Report {
			return doctor.Report{Findings: []doctor.Finding{
				{Check: "version", Level: doctor.OK, Found: "7.0"},
				{Check: "persistence", Level: doctor.Warning, Found: "no", Why: "a restart forgets all", Fix: "CONFIG SET appendonly yes"},
				{Check: "eviction policy", Level: doctor.Danger, Found: "allkeys-lru", Why: "a lock may vanish", Fix: "CONFIG SET maxmemory-policy noeviction"},
			}}
		}
	})
	p.lived()
	for width, pixels := range widths {
		for _, scheme := range []string{"light", "dark"} {
			p.looksLike(pixels, scheme)
			for path, ready := range map[string]string{
				"/#/":                "document.querySelectorAll('.list tbody tr').length > 3",
				"/#/lock/orders%2F1": "document.querySelector('.part-held-by td') && document.querySelector('svg')",
				"/#/cron":            "document.querySelectorAll('tbody tr').length > 1",
				"/#/elections":       "document.querySelector('.candidates li')",
				"/#/health":          "document.querySelector('.finding.bad')",
				"/login":             "document.querySelector('input')",
				"/#/lock/never":      "document.querySelector('main').innerText.includes('Nobody waits.')",
			} {
				p.goTo(path)
				p.until(ready)
				p.audited(string(audit), width+", "+scheme+", "+path)
			}
			p.goTo("/#/")
			p.click("#help-button")
			p.until("document.getElementById('help').open")
			p.audited(string(audit), width+", "+scheme+", help")
			p.goTo("/#/lock/orders%2F1")
			p.click("#break")
			p.until("document.getElementById('act').open")
			p.audited(string(audit), width+", "+scheme+", break")
		}
	}
}

// lived makes locks, waiters, jobs and an election, of all kinds.
func (p *page) lived() {
	p.Helper()
	other := p.connect("other")
	p.acquire("orders/1", redislock.WithMetadata("deploy 42"))
	p.waits(other, "orders/1")
	p.acquire("report", redislock.WithMode(redislock.Read))
	p.waits(other, "report", redislock.WithMode(redislock.Write))
	if err := p.acquire("tick").ReleaseAfter(p.Context(), time.Minute); err != nil {
		p.Fatal(err)
	}
	if err := p.acquire("idle").Release(p.Context()); err != nil {
		p.Fatal(err)
	}
	for name, failure := range map[string]error{"good": nil, "bad": errors.New("disk full")} {
		_, err := p.client.Cron(name).Run(p.Context(), time.Now().Truncate(time.Minute), func(context.Context) error { return failure })
		if !errors.Is(err, failure) {
			p.Fatal(err)
		}
	}
	for _, c := range []*redislock.Client{p.client, other} {
		go func() {
			_ = c.Elect(p.Context(), "scheduler", func(ctx context.Context) error { <-ctx.Done(); return nil })
		}()
	}
}

func (p *page) looksLike(width int64, scheme string) {
	p.Helper()
	p.do(chromedp.EmulateViewport(width, 800))
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}, // no colour is in a transition
	}}
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, media); err != nil {
		p.Fatal(err)
	}
}

// audited returns what axe-core finds in the present page, and whether the page is wider than the window.
func (p *page) audited(axe, where string) {
	p.Helper()
	if !value[bool](p, "'axe' in window") {
		value[bool](p, axe+"\n; true")
	}
	value[bool](p, `(window.found = null, axe.run(document).then(
		(r) => { window.found = r.violations.map((v) => v.id + ': ' + v.help + ': ' + v.nodes.map((n) => n.html + ' ' + n.failureSummary).join('; ')); },
		(e) => { window.found = [String(e)]; }), true)`)
	p.until("window.found")
	for _, found := range value[[]string](p, "window.found") {
		p.Errorf("%s: %s", where, found)
	}
	if wide := value[string](p, `document.documentElement.scrollWidth <= innerWidth ? '' : [...document.querySelectorAll('body *')]
		.filter((node) => node.getBoundingClientRect().right > innerWidth).map((node) => node.tagName + '.' + node.getAttribute('class')).join(' ')`); wide != "" {
		p.Errorf("%s: wider than the window: %s", where, wide)
	}
}
