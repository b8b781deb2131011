package riverlock_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"example.com/redislock"
	riverlock "example.com/redislock/adapters/river"
	"example.com/redislock/redislocktest"
)

var (
	_ rivertype.WorkerMiddleware = river.WorkerMiddlewareFunc(nil)
	_ rivertype.Plugin           = river.WorkerMiddlewareFunc(nil)
)

func TestWithoutTheLockNoWorkerRuns(t *testing.T) {
	t.Parallel()
	server := redislocktest.New(t)
	down := redislocktest.New(t)
	down.Miniredis.SetError("LOADING the data is not there yet")
	key := func(name string) func(*rivertype.JobRow) string {
		return func(*rivertype.JobRow) string { return name }
	}
	for name, test := range map[string]struct {
		client *redislock.Client
		key    func(*rivertype.JobRow) string
		opts   []riverlock.Option
		err    error // nil: the network's own
	}{
		"a nil Client":              {nil, key("k"), nil, redislock.ErrInvalid},
		"a nil Option":              {server.Client, key("k"), []riverlock.Option{nil}, redislock.ErrInvalid},
		"a negative wait":           {server.Client, key("k"), []riverlock.Option{riverlock.WithWait(-1)}, redislock.ErrInvalid},
		"a negative snooze":         {server.Client, key("k"), []riverlock.Option{riverlock.WithSnooze(-1)}, redislock.ErrInvalid},
		"an empty key":              {server.Client, key(""), nil, redislock.ErrInvalid},
		"arguments of another kind": {server.Client, byKey, nil, redislock.ErrInvalid},
		"a key that is too long":    {server.Client, key(strings.Repeat("k", redislock.MaxName+1)), nil, redislock.ErrInvalid},
		"a nil option of the lock":  {server.Client, key("k"), []riverlock.Option{riverlock.WithLock(nil)}, redislock.ErrInvalid},
		"a wrong one":               {server.Client, key("k"), []riverlock.Option{riverlock.WithLock(redislock.WithLease(0))}, redislock.ErrInvalid},
		"one that weakens the lock": {server.Client, key("k"), []riverlock.Option{riverlock.WithLock(redislock.WithFailOpen())}, redislock.ErrInvalid},
		"a Redis that refuses":      {down.Client, key("k"), []riverlock.Option{riverlock.WithDrop()}, nil},
	} {
		for form, middleware := range map[string]rivertype.WorkerMiddleware{
			"Unique": riverlock.Unique(test.client, test.key, test.opts...),
			"Once":   riverlock.Once(test.client, time.Hour, test.key, test.opts...),
		} {
			t.Run(form+" with "+name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := middleware.Work(ctx, &rivertype.JobRow{Kind: "other", EncodedArgs: []byte(`{"key":"k"}`)}, func(context.Context) error {
					t.Error("it ran")
					return nil
				})
				if err == nil || errors.Is(err, riverlock.ErrBusy) || test.err != nil && !errors.Is(err, test.err) {
					t.Errorf("error %v", err)
				}
			})
		}
	}
	err := riverlock.Once(server.Client, 0, key("k")).Work(t.Context(), &rivertype.JobRow{}, func(context.Context) error { return nil })
	if !errors.Is(err, redislock.ErrInvalid) {
		t.Errorf("no window: %v", err)
	}
}

func TestAJobComesBackAfterItsSnooze(t *testing.T) {
	t.Parallel()
	server := redislocktest.New(t)
	other := server.NewClient()
	lock, err := other.Acquire(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release(context.Background())
	for name, test := range map[string]struct {
		opts []riverlock.Option
		from time.Duration
	}{
		"by default": {nil, riverlock.DefaultSnooze},
		"as told":    {[]riverlock.Option{riverlock.WithDrop(), riverlock.WithSnooze(time.Minute)}, time.Minute},
		"at once":    {[]riverlock.Option{riverlock.WithSnooze(0)}, 0},
	} {
		later := map[bool]bool{}
		for range 50 {
			err := riverlock.Unique(server.Client, func(*rivertype.JobRow) string { return "k" }, test.opts...).
				Work(t.Context(), &rivertype.JobRow{}, func(context.Context) error { return nil })
			snooze, is := errors.AsType[*river.JobSnoozeError](err)
			if !is || snooze.Duration < test.from || snooze.Duration > test.from+test.from/2 {
				t.Fatalf("%s: %v", name, err)
			}
			later[snooze.Duration > test.from+test.from/4] = true
		}
		if test.from > 0 && len(later) != 2 {
			t.Errorf("%s: it is not spread", name)
		}
	}
}

type renamed struct {
	Account int `json:"account"`
}

func (renamed) Kind() string          { return "sync_account" }
func (renamed) KindAliases() []string { return []string{"sync"} }

func TestKeysTellJobsApart(t *testing.T) {
	t.Parallel()
	created := time.Unix(1_795_286_400, 0)
	job := func(kind, args string, id int64, created time.Time) *rivertype.JobRow {
		return &rivertype.JobRow{ID: id, Kind: kind, EncodedArgs: []byte(args), CreatedAt: created}
	}
	first := job("sync_account", `{"account": 7}`, 42, created)
	for name, other := range map[string]struct {
		*rivertype.JobRow
		sameWork, sameJob bool
	}{
		"the same job":               {job("sync_account", `{"account": 7}`, 42, created.UTC()), true, true},
		"another job":                {job("sync_account", `{"account": 7}`, 43, created), true, false},
		"a job of another database":  {job("sync_account", `{"account": 7}`, 42, created.Add(time.Microsecond)), true, false},
		"a job of other arguments":   {job("sync_account", `{"account": 8}`, 43, created), false, false},
		"a job of another kind":      {job("close_account", `{"account": 7}`, 43, created), false, false},
		"a kind and ID that run on":  {job("sync_account/42", `{"account": 7}`, 42, created), false, false},
		"a job without any argument": {job("sync_account", `{}`, 44, created), false, false},
	} {
		if (riverlock.ByArgs(first) == riverlock.ByArgs(other.JobRow)) != other.sameWork {
			t.Errorf("%s: %s, %s", name, riverlock.ByArgs(first), riverlock.ByArgs(other.JobRow))
		}
		if (riverlock.ByJob(first) == riverlock.ByJob(other.JobRow)) != other.sameJob {
			t.Errorf("%s: %s, %s", name, riverlock.ByJob(first), riverlock.ByJob(other.JobRow))
		}
	}

	by := riverlock.By(func(r renamed) string { return strings.Repeat("x", r.Account) })
	for kind, want := range map[string]string{"sync_account": "xxxxxxx", "sync": "xxxxxxx", "close_account": ""} {
		if got := by(job(kind, `{"account": 7}`, 1, created)); got != want {
			t.Errorf("%s: %q", kind, got)
		}
	}
	if got := by(job("sync", `{"account": "seven"}`, 1, created)); got != "" {
		t.Errorf("wrong arguments: %q", got)
	}
}
