package riverlock_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"example.com/redislock"
	riverlock "example.com/redislock/adapters/river"
	"example.com/redislock/internal/servertest"
)

// patience bounds the wait for events that must come, on a busy machine.
const patience = 30 * time.Second

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

// work is the job of the tests.
type work struct {
	Key string `json:"key"`
}

func (work) Kind() string { return "work" }

var byKey = riverlock.By(func(w work) string { return w.Key })

// fleet is some River clients on a real PostgreSQL and a real Redis, each with a redislock Client of its own, as the
// instances of an application have them, and the means by which the test watches them.
type fleet struct {
	t        *testing.T
	redis    *servertest.Server
	database *pgxpool.Pool
	schema   string

	inserter *river.Client[pgx.Tx]
	outside  *redislock.Client // an instance without workers

	mu     sync.Mutex
	errors []error // of the middleware
}

var schemas atomic.Int64

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, redis: servertest.Start(t), schema: fmt.Sprintf("test%d", schemas.Add(1))}
	f.outside = f.client()
	pool, err := pgxpool.New(t.Context(), servertest.SharedPostgres(t).DSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	f.database = pool
	if _, err := pool.Exec(t.Context(), "CREATE SCHEMA "+f.schema); err != nil {
		t.Fatal(err)
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: f.schema, Logger: silent()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrator.Migrate(t.Context(), rivermigrate.DirectionUp, nil); err != nil {
		t.Fatal(err)
	}
	f.inserter, err = river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: f.schema, Logger: silent()})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func silent() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// client is the Client of one more instance.
func (f *fleet) client() *redislock.Client {
	f.t.Helper()
	client, err := redislock.New(f.redis.Connect())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := client.Close(ctx); err != nil {
			f.t.Errorf("a lock was not released: %v", err)
		}
	})
	return client
}

// serve starts one more River client with four workers, which run handle behind the middleware.
func (f *fleet) serve(middleware func(*redislock.Client) river.WorkerMiddlewareFunc, handle func(context.Context, *river.Job[work]) error) *river.Client[pgx.Tx] {
	f.t.Helper()
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(handle))
	client, err := river.NewClient(riverpgxv5.New(f.database), &river.Config{
		FetchCooldown:     5 * time.Millisecond,
		FetchPollInterval: 10 * time.Millisecond,
		Logger:            silent(),
		Plugins:           []rivertype.Plugin{river.WorkerMiddlewareFunc(f.record), middleware(f.client())},
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 4}},
		RetryPolicy:       soon{},
		Schema:            f.schema,
		TestOnly:          true,
		Workers:           workers,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	if err := client.Start(context.Background()); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { f.stop(client) })
	return client
}

// stop ends a client, even if its workers wait.
func (f *fleet) stop(client *river.Client[pgx.Tx]) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := client.StopAndCancel(ctx); err != nil {
		f.t.Errorf("stop: %v", err)
	}
}

// soon is the retry policy: at once.
type soon struct{}

func (soon) NextRetry(*rivertype.JobRow) time.Time { return time.Now().Add(20 * time.Millisecond) }

// record is a middleware around the one that is tested.
func (f *fleet) record(ctx context.Context, _ *rivertype.JobRow, doInner func(context.Context) error) error {
	err := doInner(ctx)
	if err != nil {
		f.mu.Lock()
		f.errors = append(f.errors, err)
		f.mu.Unlock()
	}
	return err
}

// told is what River was told of jobs that did not succeed.
func (f *fleet) told() []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.errors)
}

// count is how many of these errors were of a kind.
func (f *fleet) count(kind error) (n int) {
	for _, err := range f.told() {
		if errors.Is(err, kind) {
			n++
		}
	}
	return n
}

// insert adds a job.
func (f *fleet) insert(key string, attempts int) *rivertype.JobRow {
	f.t.Helper()
	inserted, err := f.inserter.Insert(f.t.Context(), work{key}, &river.InsertOpts{MaxAttempts: attempts})
	if err != nil {
		f.t.Fatal(err)
	}
	return inserted.Job
}

func (f *fleet) job(id int64) *rivertype.JobRow {
	f.t.Helper()
	job, err := f.inserter.JobGet(f.t.Context(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	return job
}

// becomes waits until a job is in a state.
func (f *fleet) becomes(id int64, state rivertype.JobState) *rivertype.JobRow {
	f.t.Helper()
	eventually(f.t, fmt.Sprintf("job %d is %s", id, state), func() bool { return f.job(id).State == state })
	return f.job(id)
}

// states is how many jobs are in each state, such as "completed 3".
func (f *fleet) states() string {
	f.t.Helper()
	rows, err := f.database.Query(f.t.Context(), "SELECT state::text || ' ' || count(*) FROM "+f.schema+".river_job GROUP BY state ORDER BY 1")
	if err != nil {
		f.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		f.t.Fatal(err)
	}
	return strings.Join(all, ", ")
}

// rescue makes a running job available again, as River does after RescueStuckJobsAfter.
func (f *fleet) rescue(id int64) {
	f.t.Helper()
	tag, err := f.database.Exec(f.t.Context(), "UPDATE "+f.schema+".river_job SET state = 'available', scheduled_at = now() WHERE id = $1 AND state = 'running'", id)
	if err != nil || tag.RowsAffected() != 1 {
		f.t.Fatalf("rescue: %v, %v", tag, err)
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// arrives waits for a message.
func arrives[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("not within %v: %s", patience, what)
		panic("unreachable")
	}
}

// counter counts runs, and the most that there were at a time.
type counter struct{ now, most, all atomic.Int64 }

func (c *counter) enter() (run int64) {
	n := c.now.Add(1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	return c.all.Add(1)
}

func (c *counter) leave() { c.now.Add(-1) }

// unique and once are the middlewares as the tests use them: a job whose key is held comes back soon.
func unique(opts ...riverlock.Option) func(*redislock.Client) river.WorkerMiddlewareFunc {
	return func(client *redislock.Client) river.WorkerMiddlewareFunc {
		return riverlock.Unique(client, byKey, append([]riverlock.Option{riverlock.WithSnooze(10 * time.Millisecond)}, opts...)...)
	}
}

func once(window time.Duration, key func(*rivertype.JobRow) string, opts ...riverlock.Option) func(*redislock.Client) river.WorkerMiddlewareFunc {
	return func(client *redislock.Client) river.WorkerMiddlewareFunc {
		return riverlock.Once(client, window, key, append([]riverlock.Option{riverlock.WithSnooze(10 * time.Millisecond)}, opts...)...)
	}
}
