package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// patience is how long a condition may take on a busy machine.
const patience = 20 * time.Second

// chromium is one browser for all tests, started by the first that needs it; each page has cookies of its own.
var chromium struct {
	sync.Mutex
	ctx context.Context
	end []context.CancelFunc
}

func TestMain(m *testing.M) {
	status := m.Run()
	for _, end := range chromium.end {
		end()
	}
	os.Exit(status)
}

func startBrowser(t *testing.T) context.Context {
	t.Helper()
	chromium.Lock()
	defer chromium.Unlock()
	if chromium.ctx != nil {
		return chromium.ctx
	}
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Fatal("no browser: install Debian's package chromium to run this test")
	}
	// It must not depend on the machine: no sandbox if the tests run as root, no network but loopback.
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1280, 800),
		chromedp.Flag("disable-dev-shm-usage", true))
	allocator, end := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(allocator)
	chromium.end = []context.CancelFunc{cancel, end}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("the browser does not start: %v", err)
	}
	chromium.ctx = ctx
	return ctx
}

// page is a UI on a real Redis, and a browser that shows it.
type page struct {
	*testing.T
	ctx    context.Context
	redis  *servertest.Server
	client *redislock.Client // of the application
	url    string

	mu       sync.Mutex
	problems []string
	expected []string // errors that the browser may log
}

// opens serves a UI and opens its page.
func opens(t *testing.T, change func(*Config)) *page {
	t.Helper()
	browser := startBrowser(t)
	p := &page{T: t, redis: servertest.Start(t)}
	p.client = p.connect("app")
	config := Config{Client: p.connect("ui"), Address: p.redis.Addr(), Prefix: redislock.DefaultPrefix}
	if change != nil {
		change(&config)
	}
	u := New(config)
	srv := httptest.NewServer(u)
	p.url = srv.URL
	t.Cleanup(func() { u.Close(); srv.Close() })

	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.listen))
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, problem := range p.problems {
			t.Errorf("the browser complains: %s", problem)
		}
	})
	t.Cleanup(cancel)
	p.ctx = ctx
	if err := chromedp.Do(ctx); err != nil { // the tab ends with the context of its first command
		t.Fatal(err)
	}
	return p
}

// connect makes a Client of that name.
func (p *page) connect(name string) *redislock.Client {
	p.Helper()
	client, err := redislock.New(p.redis.Connect(), redislock.WithName(name))
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = client.Close(ctx) // its locks end with the server
	})
	return client
}

// listen records every uncaught error, and everything that the browser logs as an error, such as violations of the
// policy.
func (p *page) listen(event any) {
	problem := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		problem = fmt.Sprintf("%s %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" || e.Type == "assert" {
			text, _ := json.Marshal(e.Args)
			problem = string(text)
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" || e.Entry.Level == "warning" {
			problem = fmt.Sprintf("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, text := range p.expected {
		if strings.Contains(problem, text) {
			return
		}
	}
	if problem != "" {
		p.problems = append(p.problems, problem)
	}
}

// expects allows logged errors of the browser that contain this text.
func (p *page) expects(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = append(p.expected, text)
}

func (p *page) goTo(path string) {
	p.Helper()
	p.do(chromedp.Navigate(p.url + path))
}

func (p *page) do(actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.Fatal(err)
	}
}

// click clicks like a person, on a visible place.
func (p *page) click(selector string) {
	p.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// types types into the element that has the focus.
func (p *page) types(keys string) {
	p.Helper()
	p.do(chromedp.KeyEvent(keys))
}

// press presses the key of one character, as a keyboard does: a page that takes the key keeps the character from being
// typed.
func (p *page) press(char string) {
	p.Helper()
	for _, kind := range []input.DispatchKeyEventType{"keyDown", "keyUp"} {
		params := input.DispatchKeyEventParams{Type: kind, Key: char}
		if kind == "keyDown" {
			params.Text = char
		}
		if _, err := chromedp.Call(p.ctx, input.DispatchKeyEvent, params); err != nil {
			p.Fatal(err)
		}
	}
}

// value is the value of an expression.
func value[T any](p *page, expression string) T {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits until an expression is true.
func (p *page) until(expression string) {
	p.Helper()
	deadline := time.Now().Add(patience)
	for {
		ctx, cancel := context.WithTimeout(p.ctx, patience)
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		cancel()
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			p.Fatalf("not within %v: %s (%v); the page says: %s", patience, expression, err, value[string](p, "document.body.innerText.slice(0, 3000)"))
		}
		time.Sleep(15 * time.Millisecond)
	}
}

// says waits until the text of the element that a selector finds contains this text.
func (p *page) says(selector, text string) {
	p.Helper()
	p.until(fmt.Sprintf("[...document.querySelectorAll(%s)].some((node) => node.textContent.includes(%s))", quote(selector), quote(text)))
}

func quote(text string) string { return string(encode(text)) }

// acquire holds a lock until the test ends.
func (p *page) acquire(name string, opts ...redislock.Option) *redislock.Lock {
	p.Helper()
	lock, err := p.client.Acquire(p.Context(), name, opts...)
	if err != nil {
		p.Fatal(err)
	}
	return lock
}

// waits starts a waiter for a lock. The channel gets the lock once it is granted.
func (p *page) waits(client *redislock.Client, name string, opts ...redislock.Option) <-chan *redislock.Lock {
	got := make(chan *redislock.Lock, 1)
	go func() {
		if lock, err := client.Acquire(p.Context(), name, opts...); err == nil {
			got <- lock
		}
	}()
	return got
}
