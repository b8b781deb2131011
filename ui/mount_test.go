package ui

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"example.com/redislock"
)

// TestBrowserFindsThePageUnderAnyPath mounts the page as an application would, behind its own login.
func TestBrowserFindsThePageUnderAnyPath(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	p.acquire("a")
	mounted := func(config Config) string {
		config.Client, config.Prefix, config.AnyHost = p.connect("ui"), redislock.DefaultPrefix, true
		u := New(config)
		mux := http.NewServeMux()
		mux.Handle("/admin/locks/", http.StripPrefix("/admin/locks", u))
		srv := httptest.NewServer(mux)
		t.Cleanup(func() { u.Close(); srv.Close() })
		return srv.URL + "/admin/locks/"
	}
	var audited []string
	p.url = mounted(Config{AllowBreak: true, Who: func(*http.Request) string { return "anna" }, Audit: func(line string) { audited = append(audited, line) }})
	p.goTo("")
	p.lists("a")
	p.click(".list a")
	p.says(".part-held-by td", "app")
	p.click("#break")
	p.types("stuck")
	p.types(kb.Tab + "break")
	p.click("#act button.danger")
	p.says("#done", "Broken")
	p.goTo("#/")
	p.says(".trouble-list", "was broken by anna")
	if line := strings.Join(audited, "\n"); !strings.Contains(line, "by=anna") {
		t.Errorf("the audit: %s", line)
	}
	// With a token of its own too.
	p.url = mounted(Config{Token: testToken})
	p.goTo("")
	p.until(`location.pathname === '/admin/locks/login' && document.activeElement.id === 'token'`)
	p.types(testToken + kb.Enter)
	p.until(`location.pathname === '/admin/locks/' && document.querySelector('#link-text').textContent === 'live'`)
	p.click("#logout button")
	p.until(`location.pathname === '/admin/locks/login'`)
	for path, want := range map[string]int{"static/app.js": 200, "login": 200, "api/stream": 401, "nothing": 404} {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", p.url+path, nil)
		req.Host = "any.example"
		if path == "nothing" {
			req.Header.Set("Authorization", "Bearer "+testToken)
		}
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, answer.StatusCode, want)
		}
	}
}
