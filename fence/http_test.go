package fence_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/fence"
	"example.com/redislock/redislocktest"
)

// sent sends a request with that context through a Transport, and returns the header that arrives.
func sent(t *testing.T, ctx context.Context, explicit ...string) []string {
	t.Helper()
	var arrived []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived = r.Header.Values(fence.Header)
	}))
	defer server.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, server.URL, strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range explicit {
		req.Header.Set(fence.Header, value)
	}
	client := &http.Client{Transport: &fence.Transport{Base: server.Client().Transport}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := req.Header.Values(fence.Header); len(got) != len(explicit) {
		t.Errorf("the caller's request has %q now", got)
	}
	return arrived
}

func TestARequestUnderALockCarriesItsFence(t *testing.T) {
	t.Parallel()
	client := redislocktest.New(t).Client
	if got := sent(t, t.Context()); len(got) != 0 {
		t.Errorf("without a lock %q is sent", got)
	}
	if err := client.Do(t.Context(), "a", func(ctx context.Context) error {
		lock, _ := redislock.FromContext(ctx)
		if got := sent(t, ctx); len(got) != 1 || got[0] != strconv.FormatInt(lock.Fence(), 10)+";lock=a" {
			t.Errorf("%q is sent, want the lock's fence %d", got, lock.Fence())
		}
		if got := sent(t, ctx, "7"); len(got) != 1 || got[0] != "7" {
			t.Errorf("%q is sent, want what the caller had set", got)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestTheInnermostFenceOfAContextCounts(t *testing.T) {
	t.Parallel()
	client := redislocktest.New(t).Client
	is := func(what string, ctx context.Context, want int64) {
		t.Helper()
		if got, ok := fence.FromContext(ctx); got != want || !ok {
			t.Errorf("%s: %d, %v, want %d", what, got, ok, want)
		}
	}
	if got, ok := fence.FromContext(t.Context()); got != 0 || ok {
		t.Errorf("a context without one has %d, %v", got, ok)
	}
	came := fence.NewContext(t.Context(), 7)
	is("as it came", came, 7)
	is("a later one", fence.NewContext(came, 8), 8)
	if err := client.Do(came, "a", func(ctx context.Context) error {
		lock, _ := redislock.FromContext(ctx)
		is("a lock taken by the handler", ctx, lock.Fence())
		is("one that came under a lock", fence.NewContext(ctx, 9), 9)
		return client.Do(fence.NewContext(ctx, 9), "b", func(ctx context.Context) error {
			lock, _ := redislock.FromContext(ctx)
			is("a lock under that", ctx, lock.Fence())
			return nil
		})
	}); err != nil {
		t.Error(err)
	}
}

// micros is the fence of a grant at that time from now.
func micros(from time.Duration) string {
	return strconv.FormatInt(time.Now().Add(from).UnixMicro(), 10)
}

// broken is a register that cannot compare.
type broken struct{}

func (broken) Accept(context.Context, string, int64) error { return io.ErrUnexpectedEOF }

// answer sends a request with these values of the header through the middleware, and returns the status and the fence
// that the handler sees, 0 if the handler does not run.
func answer(m func(http.Handler) http.Handler, path string, values ...string) (resp *http.Response, seen int64) {
	r := httptest.NewRequest(http.MethodPut, path, nil)
	for _, value := range values {
		r.Header.Add(fence.Header, value)
	}
	w := httptest.NewRecorder()
	m(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen, _ = fence.FromContext(r.Context()) })).ServeHTTP(w, r)
	return w.Result(), seen
}

func byPath(r *http.Request) string { return strings.TrimPrefix(r.URL.Path, "/") }

func TestAHandlerRunsForAFenceThatIsNotStale(t *testing.T) {
	t.Parallel()
	var m fence.Memory
	guard := fence.Middleware(&m, byPath)
	for _, step := range []struct {
		path   string
		fence  string
		status int
		seen   int64
	}{
		{"/a", "5", http.StatusOK, 5},
		{"/a", "5", http.StatusOK, 5},
		{"/a", "9", http.StatusOK, 9},
		{"/a", "8", http.StatusConflict, 0},
		{"/b", "8", http.StatusOK, 8},
		{"/a", "10;lock=a", http.StatusOK, 10},
		{"/a", "5;lock=b, 11;lock=a", http.StatusOK, 11},
		{"/a", "99;lock=b, 10;lock=a", http.StatusConflict, 0},
	} {
		if resp, seen := answer(guard, step.path, step.fence); resp.StatusCode != step.status || seen != step.seen {
			t.Errorf("%s with %s: %s, the handler sees %d; want %d and %d", step.path, step.fence, resp.Status, seen, step.status, step.seen)
		}
	}
}

func TestAHandlerDoesNotRunWithoutAFence(t *testing.T) {
	t.Parallel()
	var m fence.Memory
	for name, c := range map[string]struct {
		guard  func(http.Handler) http.Handler
		path   string
		values []string
		status int
	}{
		"none":             {fence.Middleware(&m, byPath), "/a", nil, http.StatusPreconditionRequired},
		"empty":            {fence.Middleware(&m, byPath), "/a", []string{""}, http.StatusBadRequest},
		"zero":             {fence.Middleware(&m, byPath), "/a", []string{"0"}, http.StatusBadRequest},
		"signed":           {fence.Middleware(&m, byPath), "/a", []string{"+5"}, http.StatusBadRequest},
		"negative":         {fence.Middleware(&m, byPath), "/a", []string{"-5"}, http.StatusBadRequest},
		"not decimal":      {fence.Middleware(&m, byPath), "/a", []string{"0x5"}, http.StatusBadRequest},
		"a list":           {fence.Middleware(&m, byPath), "/a", []string{"5, 6"}, http.StatusBadRequest},
		"two of one lock":  {fence.Middleware(&m, byPath), "/a", []string{"5;lock=a", "6;lock=a"}, http.StatusBadRequest},
		"an empty name":    {fence.Middleware(&m, byPath), "/a", []string{"5;lock="}, http.StatusBadRequest},
		"a broken name":    {fence.Middleware(&m, byPath), "/a", []string{"5;lock=%zz"}, http.StatusBadRequest},
		"too many":         {fence.Middleware(&m, byPath), "/a", []string{strings.TrimSuffix(strings.Repeat("5,", 33), ",")}, http.StatusBadRequest},
		"no such lock":     {fence.Middleware(&m, byPath), "/", []string{"5;lock=a"}, http.StatusBadRequest},
		"another lock's":   {fence.Middleware(&m, byPath), "/a", []string{"5;lock=b"}, http.StatusPreconditionRequired},
		"17 digits":        {fence.Middleware(&m, byPath), "/a", []string{"10000000000000000"}, http.StatusBadRequest},
		"two days ahead":   {fence.Middleware(&m, byPath), "/a", []string{micros(48 * time.Hour)}, http.StatusBadRequest},
		"two":              {fence.Middleware(&m, byPath), "/a", []string{"5", "6"}, http.StatusBadRequest},
		"too large":        {fence.Middleware(&m, byPath), "/a", []string{"9223372036854775808"}, http.StatusBadRequest},
		"no resource":      {fence.Middleware(&m, byPath), "/", []string{"5"}, http.StatusBadRequest},
		"nobody knows":     {fence.Middleware(broken{}, byPath), "/a", []string{"5"}, http.StatusServiceUnavailable},
		"required, none":   {fence.Require, "/a", nil, http.StatusPreconditionRequired},
		"required, broken": {fence.Require, "/a", []string{"x"}, http.StatusBadRequest},
	} {
		if resp, seen := answer(c.guard, c.path, c.values...); resp.StatusCode != c.status || seen != 0 {
			t.Errorf("%s: %s, the handler sees %d, want %d and not to be run", name, resp.Status, seen, c.status)
		}
	}
	if m.Highest("a") != 0 {
		t.Errorf("%d was remembered", m.Highest("a"))
	}
}

func TestARefusalIsAnErrorOnTheOtherSide(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want error
	}{
		"stale":            {&fence.StaleError{Resource: "a", Fence: 5, Seen: 9}, &fence.StaleError{Fence: 5, Seen: 9}},
		"stale, wrapped":   {errors.Join(io.EOF, &fence.StaleError{Fence: 5, Seen: 9}), &fence.StaleError{Fence: 5, Seen: 9}},
		"stale, no number": {fence.ErrStale, &fence.StaleError{Fence: 5}},
		"another conflict": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if !fence.Refuse(w, c.err) {
					http.Error(w, "the handler's own", http.StatusConflict)
				}
			}))
			defer server.Close()
			client := &http.Client{Transport: &fence.Transport{Base: server.Client().Transport}}
			req, err := http.NewRequestWithContext(fence.NewContext(t.Context(), 5), http.MethodPut, server.URL+"/a", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			switch got := fence.CheckResponse(resp).(type) {
			case nil:
				if c.want != nil || resp.StatusCode != http.StatusConflict {
					t.Errorf("%s is no refusal", resp.Status)
				}
			case *fence.StaleError:
				if want, ok := c.want.(*fence.StaleError); !ok || got.Fence != want.Fence || got.Seen != want.Seen || got.Resource != server.URL+"/a" {
					t.Errorf("%v, want %v", got, c.want)
				}
			default:
				t.Errorf("%v", got)
			}
		})
	}
	w := httptest.NewRecorder()
	if fence.Refuse(w, io.EOF) || len(w.Header()) > 0 || w.Body.Len() > 0 {
		t.Errorf("another error was answered: %v %s", w.Header(), w.Body)
	}
	if err := fence.CheckResponse(&http.Response{StatusCode: http.StatusOK, Header: http.Header{fence.Header: {"5"}}}); err != nil {
		t.Errorf("a success is %v", err)
	}
}

// The fence goes from a holder through one service to another, and neither has code for that.
func TestAFenceIsPassedOn(t *testing.T) {
	t.Parallel()
	var m fence.Memory
	last := httptest.NewServer(fence.Middleware(&m, byPath)(http.NotFoundHandler()))
	defer last.Close()
	client := &http.Client{Transport: &fence.Transport{}}
	call := func(ctx context.Context, url string) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, nil)
		if err != nil {
			t.Error(err)
			return
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		_ = resp.Body.Close()
	}
	first := httptest.NewServer(fence.Require(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { call(r.Context(), last.URL+"/a") })))
	defer first.Close()
	defer client.CloseIdleConnections()
	if err := redislocktest.New(t).Client.Do(t.Context(), "a", func(ctx context.Context) error {
		call(ctx, first.URL)
		if f, _ := fence.FromContext(ctx); m.Highest("a") != f {
			t.Errorf("%d arrived, want %d", m.Highest("a"), f)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// The doc comment of Middleware warns of this: a check before the handler is not one step with the write.
func TestOnlyACheckAtTheWriteRefusesAHandlerThatIsHeldUp(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]int{"in front alone": 5, "at the write too": 9} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var (
				front, data fence.Memory
				written     int64
			)
			held, goOn := make(chan struct{}), make(chan struct{})
			handler := fence.Middleware(&front, byPath)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				f, _ := fence.FromContext(r.Context())
				if f == 5 {
					close(held)
					<-goOn
				}
				write := func() error {
					written = f
					return nil
				}
				if name == "in front alone" {
					_ = write()
				} else if err := data.Do(r.Context(), "a", f, write); err != nil {
					fence.Refuse(w, err)
				}
			}))
			request := func(f string) *httptest.ResponseRecorder {
				r := httptest.NewRequest(http.MethodPut, "/a", nil)
				r.Header.Set(fence.Header, f)
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				return w
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				request("5")
			}()
			within(t, "the first request was let through", held)
			if w := request("9"); w.Code != http.StatusOK || written != 9 {
				t.Errorf("the later holder gets %d, and %d is written", w.Code, written)
			}
			close(goOn)
			within(t, "the first request is answered", done)
			if written != int64(late) {
				t.Errorf("written last was %d, want %d", written, late)
			}
		})
	}
}
