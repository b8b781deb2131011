package ui

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/redislocktest"
)

// hooked calls after when a script has been answered: with 1 for the first script, with 0 for a pipeline of scripts.
// The function may change the error that the caller gets.
type hooked struct {
	mu    sync.Mutex
	n     int
	after func(n int, err error) error
}

func (h *hooked) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *hooked) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.after(0, err)
	}
}

func (h *hooked) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if name := cmd.Name(); !strings.HasPrefix(name, "eval") || redis.HasErrorPrefix(err, "NOSCRIPT") {
			return err
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.n++
		changed := h.after(h.n, err)
		if changed != nil {
			cmd.SetErr(changed)
		}
		return changed
	}
}

// breaker is a site whose requests to Redis are hooked, and a Client that uses the locks.
type breaker struct {
	*site
	app   *redislock.Client
	whole []string
}

func newBreaker(t *testing.T, after func(n int, err error) error) *breaker {
	t.Helper()
	server := redislocktest.New(t)
	rdb := server.Connect()
	rdb.AddHook(&hooked{after: after})
	client, err := redislock.New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close(context.Background()) })
	b := &breaker{site: newSite(t, func(c *Config) { c.Client = client }), app: server.NewClient(redislock.WithName("app"))}
	cookie, csrf := b.login()
	b.whole = []string{"Cookie", cookie.Name + "=" + cookie.Value, "X-CSRF-Token", csrf, "Content-Type", "application/json"}
	return b
}

func (b *breaker) acquire(name string, opts ...redislock.Option) *redislock.Lock {
	b.Helper()
	lock, err := b.app.Acquire(b.Context(), name, opts...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = lock.Release(context.Background()) }) // it may be broken
	return lock
}

// breaks breaks x, for a page that showed these fences.
func (b *breaker) breaks(status int, fences ...int64) (text string, it broken) {
	b.Helper()
	got := b.wants(status, "POST", "/api/break", string(encode(wish{ID: "x", Why: "it is stuck", Confirm: "break", Fences: fences})), b.whole...)
	body, _ := io.ReadAll(got.Body)
	_ = json.Unmarshal(body, &it)
	return string(body), it
}

// kinds are the kinds of the history's items, once none of these holds is left.
func (b *breaker) kinds() (kinds string) {
	b.Helper()
	info, err := b.app.Inspect(b.Context(), "x")
	if err != nil {
		b.Fatal(err)
	}
	b.ui.hub.mu.Lock()
	defer b.ui.hub.mu.Unlock()
	b.ui.hub.see(info)
	for _, it := range b.ui.hub.histories["x"].items {
		kinds += " " + it.Kind
	}
	return kinds
}

// The lock gets another holder after it was looked at and before the break. The break must not affect that holder.
func TestABreakHitsNobodyElse(t *testing.T) {
	t.Parallel()
	var first, second *redislock.Lock
	var b *breaker
	b = newBreaker(t, func(n int, err error) error {
		if n == 1 { // the look
			if err := first.Release(t.Context()); err != nil {
				t.Error(err)
			}
			second = b.acquire("x")
		}
		return err
	})
	first = b.acquire("x")
	if text, _ := b.breaks(http.StatusConflict, first.Fence()); !strings.Contains(text, "nothing was broken") {
		t.Error(text)
	}
	if info, err := b.app.Inspect(t.Context(), "x"); err != nil || len(info.Holds) != 1 || info.Holds[0].Fence != second.Fence() {
		t.Fatalf("somebody was hit whom the page did not show: %+v, %v", info, err)
	}
	if kinds := b.kinds(); strings.Contains(kinds, "broken") || !strings.Contains(kinds, "ended") {
		t.Errorf("the history says%s", kinds)
	}
}

func TestABreakIsOfThoseThatWereShownAndTellsOfTheOthers(t *testing.T) {
	t.Parallel()
	b := newBreaker(t, func(_ int, err error) error { return err })
	const n = 5
	var locks []*redislock.Lock
	for range n {
		locks = append(locks, b.acquire("x", redislock.WithMode(redislock.Read)))
	}
	if _, it := b.breaks(http.StatusOK, locks[0].Fence(), locks[1].Fence(), 12345); it != (broken{locks[1].Fence(), 2, n - 2}) {
		t.Errorf("%+v", it)
	}
	for i, lock := range locks[:2] {
		select {
		case <-lock.Context().Done():
		case <-time.After(patience):
			t.Fatalf("reader %d was not broken", i)
		}
	}
	for i, lock := range locks[2:] {
		if lock.Err() != nil {
			t.Errorf("reader %d was broken", i+2)
		}
	}
	if kinds := b.kinds(); strings.Count(kinds, " broken") != 2 {
		t.Errorf("the history says%s", kinds)
	}
}

func TestTheHistoryDoesNotSayBrokenOfABreakThatWasRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err        error
		said, kind string
	}{
		"closed":    {redis.ErrClosed, "not known whether", " perhaps broken"},
		"refused":   {refusal("NOPERM this user has no permissions"), "NOPERM", " ended unseen"},
		"no answer": {context.DeadlineExceeded, "not known whether", " perhaps broken"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBreaker(t, func(n int, err error) error {
				if n <= 1 {
					return err
				}
				return c.err
			})
			lock := b.acquire("x")
			text, _ := b.breaks(http.StatusBadGateway, lock.Fence())
			if !strings.Contains(text, c.said) {
				t.Errorf("the page is told %s", text)
			}
			_ = lock.Release(t.Context()) // it may be broken
			if kinds := b.kinds(); !strings.HasSuffix(kinds, c.kind) {
				t.Errorf("the history says%s", kinds)
			}
		})
	}
}

// refusal is an answer of Redis.
type refusal string

func (r refusal) Error() string { return string(r) }
func (r refusal) RedisError()   {}

var _ redis.Error = refusal("")

func TestWhatIsAnAnswer(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		nil: true, refusal("ERR"): true, redislock.ErrInvalid: true, redislock.ErrPermission: true,
		context.Canceled: false, io.EOF: false, errors.New("connection reset"): false, redislock.ErrClosed: false,
	} {
		if got := isAnswer(err); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}
