package ui

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Browsers send a cookie to every port of its host. A cookie that was taken there is of no use alone.
func TestACookieAloneOpensNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	cookie, key := s.login()
	alone := []string{"Cookie", cookie.Name + "=" + cookie.Value}
	for _, path := range []string{"/api/session", "/api/stream", "/nothing"} {
		s.wants(401, "GET", path, "", alone...)
		s.wants(401, "GET", path, "", append(alone, keyHeader, cookie.Value)...)
		s.wants(401, "GET", path, "", keyHeader, key)
	}
	for _, path := range []string{"/api/look", "/api/break", "/api/ask"} {
		s.wants(401, "POST", path, breakIt, append(alone, "Content-Type", "application/json")...)
	}
	s.wants(204, "GET", "/api/session", "", append(alone, keyHeader, key)...)
	if got := s.wants(200, "GET", "/", "", alone...); len(got.Cookies()) != 0 {
		t.Error("the page itself gives a session away")
	}
}

func TestALogoutEndsTheSessionAndItsStreams(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	srv := httptest.NewServer(s.ui)
	t.Cleanup(srv.Close)
	t.Cleanup(s.ui.Close) // first
	cookie, key := s.login()
	whole := []string{"Cookie", cookie.Name + "=" + cookie.Value, keyHeader, key}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	req, _ := http.NewRequestWithContext(ctx, "GET", srv.URL+"/api/stream", nil)
	req.AddCookie(cookie)
	req.Header.Set(keyHeader, key)
	got, err := http.DefaultClient.Do(req)
	if err != nil || got.StatusCode != 200 {
		t.Fatal(got, err)
	}
	t.Cleanup(func() { _ = got.Body.Close() })
	lines := bufio.NewScanner(got.Body)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		t.Fatal("no stream")
	}
	s.wants(303, "POST", "/logout", "", whole...)
	over := false
	for lines.Scan() {
		over = over || lines.Text() == "event: over"
	}
	if err := lines.Err(); !over || err != nil {
		t.Errorf("the stream goes on after the logout, or does not say why it ends: %v", err)
	}
	s.wants(401, "GET", "/api/session", "", whole...)
}

func TestASessionEndsAfterItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var all sessions
		one, cookie := all.open(t.Context())
		time.Sleep(sessionLife - time.Second)
		if found, ok := all.find(cookie); !ok || found != one {
			t.Error("it ends too early")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if _, ok := all.find(cookie); ok || len(all.of) != 0 {
			t.Error("it does not end")
		}
		for range maxSessions + 10 {
			one, _ = all.open(t.Context())
		}
		synctest.Wait()
		if len(all.of) > maxSessions || one.ended.Err() != nil {
			t.Errorf("%d are kept", len(all.of))
		}
	})
}

// heard are the lines of an audit.
type heard struct {
	mu    sync.Mutex
	lines []string
}

func (h *heard) line(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, text)
}

func TestEachAskBreakAndWrongTokenIsAudited(t *testing.T) {
	t.Parallel()
	var audit heard
	s := newSite(t, func(c *Config) { c.Audit = audit.line })
	lock, err := s.client.Acquire(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	s.wants(303, "POST", "/login", "token=guessed", "Content-Type", "application/x-www-form-urlencoded")
	s.wants(401, "GET", "/api/session", "", "Authorization", "Bearer guessed", "X-Forwarded-For", "192.0.2.7\x1b]0;evil")
	cookie, key := s.login()
	whole := []string{"Cookie", cookie.Name + "=" + cookie.Value, keyHeader, key, "Content-Type", "application/json"}
	s.wants(200, "POST", "/api/ask", `{"id":"x","why":"please \u202e"}`, whole...)
	s.wants(409, "POST", "/api/break", breakIt, whole...)
	s.wants(200, "POST", "/api/break", string(encode(wish{ID: "x", Why: "it is stuck", Confirm: "break", Fences: []int64{lock.Fence()}})), whole...)
	s.wants(303, "POST", "/logout", "", whole...)
	for i, want := range []string{
		"wrong token from=", "wrong token from=", "login from=", `ask lock=x why="please \u202e" `, `break lock=x why="it is stuck" fences=[] status=409 result="`,
		`break lock=x why="it is stuck" fences=[`, "logout from=",
	} {
		if i >= len(audit.lines) || !strings.HasPrefix(audit.lines[i], want) {
			t.Errorf("line %d of the audit is not %q: %q", i, want, audit.lines)
			break
		}
	}
	all := strings.Join(audit.lines, "\n")
	for _, secret := range []string{"guessed", testToken, key, cookie.Value, "\x1b", "\u202e"} {
		if strings.Contains(all, secret) {
			t.Errorf("the audit has %q in it: %s", secret, all)
		}
	}
	if session := audit.lines[2][strings.LastIndex(audit.lines[2], " "):]; len(audit.lines) != 7 || strings.Count(all, session) != 5 {
		t.Errorf("who it was: %s", all)
	}
	if !strings.Contains(audit.lines[1], `forwarded="192.0.2.7\x1b]0;evil"`) || !strings.Contains(audit.lines[5], "status=200 result=\"1 broken up to fence ") {
		t.Error(all)
	}
}
