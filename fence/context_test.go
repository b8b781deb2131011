package fence_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/fence"
	"example.com/redislock/redislocktest"
)

// The late holder of the account's lock has a nested lock that is newer than any grant of the account's. Its number must
// not count as a fence of the account, and the rightful holder must not be refused because of it.
func TestTheFenceOfANestedLockIsNotTheAccounts(t *testing.T) {
	t.Parallel()
	var register fence.Memory
	mux := http.NewServeMux()
	mux.Handle("PUT /account/{id}", fence.Middleware(&register, byPath)(http.NotFoundHandler()))
	server := httptest.NewServer(mux)
	defer server.Close()
	transport := &http.Client{Transport: &fence.Transport{}}
	defer transport.CloseIdleConnections()
	put := func(ctx context.Context) int {
		req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPut, server.URL+"/account/7", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}

	client := redislocktest.New(t).Client
	acquire := func(ctx context.Context, name string) *redislock.Lock {
		lock, err := client.Acquire(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		return lock
	}
	late := acquire(t.Context(), "account/7")
	if _, err := client.Break(t.Context(), "account/7", "it does not answer"); err != nil {
		t.Fatal(err)
	}
	rightful := acquire(t.Context(), "account/7")
	defer rightful.Release(t.Context())
	nested := acquire(context.WithoutCancel(late.Context()), "rate/EUR") // newer than both; the late holder has not looked at its context
	defer nested.Release(t.Context())

	if status := put(rightful.Context()); status != http.StatusNotFound {
		t.Errorf("the rightful holder is answered with %d", status)
	}
	if status := put(nested.Context()); status != http.StatusConflict {
		t.Errorf("the late one, under another lock, is answered with %d", status)
	}
	if status := put(rightful.Context()); status != http.StatusNotFound {
		t.Errorf("the rightful holder, after the late one, is answered with %d", status)
	}
	other := acquire(t.Context(), "other")
	defer other.Release(t.Context())
	if status := put(other.Context()); status != http.StatusPreconditionRequired {
		t.Errorf("somebody with another lock is answered with %d", status)
	}
	if got := register.Highest("account/7"); got != rightful.Fence() {
		t.Errorf("the register has %d, want the rightful holder's %d", got, rightful.Fence())
	}
}

func TestEachLockOfAContextHasItsFence(t *testing.T) {
	t.Parallel()
	client := redislocktest.New(t).Client
	is := func(what string, ctx context.Context, lock string, want int64) {
		t.Helper()
		if got, ok := fence.Of(ctx, lock); got != want || ok != (want > 0) {
			t.Errorf("%s: the fence of %q is %d, %v, want %d", what, lock, got, ok, want)
		}
	}
	fences := func(ctx context.Context) map[string]int64 {
		all := map[string]int64{}
		for _, l := range redislock.LocksFromContext(ctx) {
			all[l.Name()] = l.Fence()
		}
		return all
	}
	came := fence.NewContextOf(t.Context(), fence.Fence{Lock: "came", Number: 7}, fence.Fence{Lock: "outer", Number: 8})
	is("as they came", came, "came", 7)
	is("as they came", came, "other", 0)
	if f, ok := fence.FromContext(came); ok {
		t.Errorf("of two that came together the innermost is %d", f)
	}
	err := client.Do(came, "outer", func(ctx context.Context) error {
		return client.DoAll(ctx, []string{"b", "a"}, func(ctx context.Context) error {
			held := fences(ctx)
			for _, name := range []string{"a", "b", "outer"} {
				is("under several", ctx, name, held[name])
			}
			is("under several", ctx, "came", 7)
			if f, ok := fence.FromContext(ctx); ok {
				t.Errorf("of several the innermost is %d", f)
			}
			inner := fence.NewContextOf(ctx, fence.Fence{Lock: "a", Number: 9})
			is("one that came later", inner, "a", 9)
			is("one that came later", inner, "b", held["b"])
			is("without a name", fence.NewContext(inner, 5), "unknown", 5)
			is("without a name", fence.NewContext(inner, 5), "a", 9)
			_, err := redislock.Share(ctx, client, "rate", time.Minute, func(ctx context.Context) (int, error) {
				is("in a fetch", ctx, "outer", held["outer"])
				return 1, nil
			})
			return err
		})
	})
	if err != nil {
		t.Error(err)
	}
}

func TestARequestCarriesTheFencesThatAreNamed(t *testing.T) {
	t.Parallel()
	ctx := fence.NewContextOf(t.Context(), fence.Fence{Lock: "a/ä,;", Number: 7}, fence.Fence{Lock: "b", Number: 8})
	var arrived []string
	server := httptest.NewServer(fence.Require(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived = nil
		for _, f := range fence.All(r.Context()) {
			arrived = append(arrived, f.Lock)
		}
	})))
	defer server.Close()
	many := ctx
	for i := range 40 {
		many = fence.NewContextOf(many, fence.Fence{Lock: string(rune('A' + i)), Number: 1})
	}
	for name, c := range map[string]struct {
		ctx     context.Context
		locks   func(*http.Request) []string
		arrived []string
		fails   bool
	}{
		"all":         {ctx, nil, []string{"a/ä,;", "b"}, false},
		"named":       {ctx, func(*http.Request) []string { return []string{"b", "unknown"} }, []string{"b"}, false},
		"too many":    {many, nil, nil, true},
		"one of many": {many, func(*http.Request) []string { return []string{"b"} }, []string{"b"}, false},
	} {
		client := &http.Client{Transport: &fence.Transport{Locks: c.locks}}
		req, err := http.NewRequestWithContext(c.ctx, http.MethodPut, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if (err != nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			_ = resp.Body.Close()
			if !slices.Equal(arrived, c.arrived) {
				t.Errorf("%s: %q arrived, want %q", name, arrived, c.arrived)
			}
		}
		client.CloseIdleConnections()
	}
}
