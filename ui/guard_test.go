package ui

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"example.com/redislock"
	"example.com/redislock/redislocktest"
)

const testToken = "a-token-of-the-tests-3141592653"

// site is a UI without a browser.
type site struct {
	*testing.T
	ui     *UI
	client *redislock.Client
}

func newSite(t *testing.T, change func(*Config)) *site {
	t.Helper()
	client := redislocktest.New(t).NewClient()
	config := Config{Client: client, Address: "127.0.0.1:6379", Prefix: "redislock", AllowBreak: true, Token: testToken}
	if change != nil {
		change(&config)
	}
	s := &site{T: t, ui: New(config), client: client}
	t.Cleanup(s.ui.Close)
	return s
}

// do sends a request as curl would, with these headers added.
func (s *site) do(method, path, body string, headers ...string) *http.Response {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience) // a stream has no end of its own
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	r.Host = "127.0.0.1:8047"
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		} else {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	s.ui.ServeHTTP(w, r)
	return w.Result()
}

// wants sends a request, and checks its status and the headers that every answer must have.
func (s *site) wants(status int, method, path, body string, headers ...string) *http.Response {
	s.Helper()
	got := s.do(method, path, body, headers...)
	if got.StatusCode != status {
		text, _ := io.ReadAll(got.Body)
		s.Errorf("%s %s %v: %d, want %d: %s", method, path, headers, got.StatusCode, status, text)
	}
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';", "X-Content-Type-Options": "nosniff",
		"Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
	} {
		if !strings.Contains(got.Header.Get(name), want) {
			s.Errorf("%s %s: %s: %q, want %q", method, path, name, got.Header.Get(name), want)
		}
	}
	if strings.Contains(got.Header.Get("Content-Security-Policy"), "unsafe") {
		s.Errorf("the policy is not strict: %s", got.Header.Get("Content-Security-Policy"))
	}
	if !strings.HasPrefix(path, "/static/") && got.Header.Get("Cache-Control") != "no-store" {
		s.Errorf("%s %s may be kept: %q", method, path, got.Header.Get("Cache-Control"))
	}
	return got
}

// login returns the cookie of a session, and the key of its pages.
func (s *site) login() (cookie *http.Cookie, key string) {
	s.Helper()
	got := s.wants(303, "POST", "/login", "token="+testToken, "Content-Type", "application/x-www-form-urlencoded")
	key, ok := strings.CutPrefix(got.Header.Get("Location"), "./#/enter/")
	if !ok || len(got.Cookies()) != 1 {
		s.Fatalf("no session: %v", got.Header)
	}
	return got.Cookies()[0], key
}

var breakIt = `{"id":"x","why":"it is stuck","confirm":"break","fences":[]}`

func TestEveryRefusal(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	cookie, csrf := s.login()
	session := []string{"Cookie", cookie.Name + "=" + cookie.Value}
	with := func(more ...string) []string { return append(append([]string{}, session...), more...) }
	whole := with("X-CSRF-Token", csrf, "Content-Type", "application/json")

	// Without a token, or with a wrong one.
	for _, path := range []string{"/api/stream", "/api/session", "/nothing"} {
		s.wants(401, "GET", path, "")
		s.wants(401, "GET", path, "", "Cookie", cookie.Name+"=forged.99999999999.forged")
	}
	if got := s.wants(303, "GET", "/", ""); got.Header.Get("Location") != "login" || len(got.Cookies()) != 0 {
		t.Errorf("without a token: %v", got.Header)
	}
	s.wants(401, "GET", "/", "", "Authorization", "Bearer wrong")
	s.wants(401, "GET", "/", "", "Authorization", "Basic YWRtaW46d3Jvbmc=")
	for _, path := range []string{"/api/break", "/api/ask", "/api/look"} {
		s.wants(401, "POST", path, breakIt, "Content-Type", "application/json")
	}
	// A cookie that was changed, or is of another process.
	elsewhere, _ := newSite(t, nil).login()
	for _, forged := range []string{cookie.Value + "x", cookie.Value[1:], "", elsewhere.Value} {
		s.wants(401, "GET", "/api/session", "", "Cookie", cookie.Name+"="+forged, "X-CSRF-Token", csrf)
	}
	// Another Host: a name that somebody bound to this address.
	for _, host := range []string{"evil.example", "evil.example:8047", "127.0.0.1.evil.example", "localhost.evil.example", "192.0.2.1", "", "[2001:db8::1]:8047", "127.0.0.1@evil.example"} {
		s.wants(403, "GET", "/", "", "Host", host)
		s.wants(403, "GET", "/static/app.js", "", "Host", host)
		s.wants(403, "POST", "/api/break", breakIt, append(whole, "Host", host)...)
	}
	for _, host := range []string{"localhost", "LOCALHOST:1", "localhost.", "127.0.0.1", "127.5.5.5:80", "[::1]:8047", "::1"} {
		s.wants(200, "GET", "/", "", with("Host", host)...)
	}
	// Another origin.
	for _, other := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
		s.wants(403, "POST", "/api/break", breakIt, append(whole, other...)...)
		s.wants(403, "POST", "/login", "token="+testToken, append(other, "Content-Type", "application/x-www-form-urlencoded")...)
	}
	s.wants(403, "GET", "/api/stream", "", append(whole, "Sec-Fetch-Site", "cross-site")...)
	// No CSRF token, a wrong one, another session's, another body.
	_, others := s.login()
	for _, path := range []string{"/api/break", "/api/ask", "/api/look"} {
		s.wants(401, "POST", path, breakIt, with("Content-Type", "application/json")...)
		s.wants(401, "POST", path, breakIt, with("Content-Type", "application/json", "X-CSRF-Token", "wrong")...)
		s.wants(401, "POST", path, breakIt, with("Content-Type", "application/json", "X-CSRF-Token", others)...)
		s.wants(403, "POST", path, breakIt, with("Content-Type", "application/json", "X-CSRF-Token", others, "Authorization", "Bearer "+testToken)...)
		s.wants(403, "POST", path, breakIt, "Authorization", "Bearer "+testToken, "Content-Type", "application/json", "X-CSRF-Token", csrf)
		s.wants(415, "POST", path, breakIt, with("Content-Type", "text/plain", "X-CSRF-Token", csrf)...)
		// Actions are POST only.
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
			s.wants(405, method, path, "", whole...)
		}
		for _, body := range []string{"", "{", `{"id":"%zz"}`, `{"id":"` + strings.Repeat("a", 513) + `"}`, `{"other":1}`, strings.Repeat(" ", maxBody+1) + "{}"} {
			s.wants(400, "POST", path, body, whole...)
		}
	}
	// A break without a confirmation, or without a reason.
	s.wants(400, "POST", "/api/break", `{"id":"x","why":"it is stuck","confirm":""}`, whole...)
	s.wants(400, "POST", "/api/break", `{"id":"x","why":" ","confirm":"break"}`, whole...)
	s.wants(400, "POST", "/api/break", `{"id":"x","why":"`+strings.Repeat("a", redislock.MaxReason+1)+`","confirm":"break"}`, whole...)
	s.wants(400, "POST", "/api/ask", `{"id":"x","why":""}`, whole...)
	s.wants(400, "POST", "/api/ask", `{"id":"","why":"a"}`, whole...)
}

func TestWithoutAllowBreakNothingIsDone(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) { c.AllowBreak = false })
	lock, err := s.client.Acquire(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	cookie, csrf := s.login()
	for _, path := range []string{"/api/break", "/api/ask"} {
		s.wants(403, "POST", path, breakIt, "Cookie", cookie.Name+"="+cookie.Value, "X-CSRF-Token", csrf, "Content-Type", "application/json")
	}
	if lock.Err() != nil {
		t.Error("it was broken")
	}
	_ = lock.Release(t.Context())
}

func TestABreakIsOfTheHoldThatWasShown(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	lock, err := s.client.Acquire(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	cookie, csrf := s.login()
	whole := []string{"Cookie", cookie.Name + "=" + cookie.Value, "X-CSRF-Token", csrf, "Content-Type", "application/json"}
	s.wants(409, "POST", "/api/break", breakIt, whole...)
	if lock.Err() != nil {
		t.Fatal("a hold that the page did not show was broken")
	}
	s.wants(200, "POST", "/api/break", string(encode(wish{ID: "x", Why: "it is stuck", Confirm: "break", Fences: []int64{lock.Fence()}})), whole...)
	<-lock.Context().Done()
	s.wants(409, "POST", "/api/break", breakIt, whole...) // nobody holds it any more
}

func TestCookieIsForThisPageAlone(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		cookie, _ := newSite(t, func(c *Config) { c.Secure = secure }).login()
		if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Secure != secure || cookie.Path != "/" || cookie.Domain != "" || strings.Contains(cookie.Value, testToken) {
			t.Errorf("%+v", cookie)
		}
	}
}

func TestTokenOpensThePage(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) { c.Hosts = []string{"locks.example.com", "192.0.2.7"} })
	for _, authorization := range []string{"Bearer " + testToken, "bearer " + testToken, "Basic YW55Ym9keTphLXRva2VuLW9mLXRoZS10ZXN0cy0zMTQxNTkyNjUz"} {
		if got := s.wants(200, "GET", "/", "", "Authorization", authorization); len(got.Cookies()) != 1 {
			t.Error("no session")
		}
	}
	s.wants(200, "GET", "/login", "", "Host", "Locks.Example.com:8047")
	s.wants(200, "GET", "/login", "", "Host", "192.0.2.7")
	s.wants(403, "GET", "/login", "", "Host", "192.0.2.8")
	any := newSite(t, func(c *Config) { c.AnyAddress = true })
	any.wants(200, "GET", "/login", "", "Host", "192.0.2.8:80")
	any.wants(403, "GET", "/login", "", "Host", "evil.example")
	s.wants(303, "POST", "/logout", "")

	free := newSite(t, func(c *Config) { c.Token = "" })
	if got := free.wants(200, "GET", "/", ""); len(got.Cookies()) != 1 {
		t.Error("no session, so no action can be allowed")
	}
}

// Cookies have no port: a browser sends those of one page to every other port of the host.
func TestTwoPagesOfAHostHaveSessionsOfTheirOwn(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		kept := map[string]string{}
		sites := []*site{newSite(t, func(c *Config) { c.Secure = secure }), newSite(t, func(c *Config) { c.Secure = secure })}
		keys := map[*site]string{}
		for _, s := range sites {
			cookie, key := s.login()
			keys[s] = key
			if kept[cookie.Name] = cookie.Value; strings.HasPrefix(cookie.Name, "__Host-") != secure {
				t.Errorf("secure %v: %s", secure, cookie.Name)
			}
		}
		sent := ""
		for name, value := range kept {
			sent += name + "=" + value + "; "
		}
		for _, s := range sites {
			s.wants(204, "GET", "/api/session", "", "Cookie", sent, "X-CSRF-Token", keys[s])
		}
		if out := sites[0].wants(303, "POST", "/logout", "", "Cookie", sent).Cookies(); len(out) != 1 || kept[out[0].Name] == "" || out[0].Name == sites[1].ui.cookie || out[0].Secure != secure {
			t.Errorf("logging out of one: %v", out)
		}
	}
}

func TestPagesHaveNoMarkupFromTexts(t *testing.T) {
	t.Parallel()
	entries, err := static.ReadDir("static")
	if err != nil {
		t.Fatal(err)
	}
	sinks := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setHTML|DOMParser|createContextualFragment|javascript:|https?://[^w]`)
	outputs := regexp.MustCompile(`\.(append|prepend|before|after|replaceWith|replaceChildren|insertBefore|appendChild|setAttribute|insertAdjacentText|createTextNode)\(|\.(textContent|innerText|nodeValue|data|title|placeholder|ariaLabel|alt) = `)
	inline := regexp.MustCompile(`(?i)<[^>]+\s(style|on[a-z]+)=|<script(?:[^>]*)>[^<]|<style`)
	for _, e := range entries {
		text, err := static.ReadFile("static/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if name := e.Name(); strings.HasSuffix(name, ".js") && name != "dom.js" {
			if found := outputs.Find(text); found != nil { // such a sink could show a text without the escapes of dom.js
				t.Errorf("%s writes to the page by itself: %s", name, found)
			}
		}
		if found := sinks.Find(text); found != nil {
			t.Errorf("%s uses %s", e.Name(), found)
		}
		if strings.HasSuffix(e.Name(), ".html") {
			if found := inline.Find(text); found != nil {
				t.Errorf("%s: %s", e.Name(), found)
			}
		}
	}
}
