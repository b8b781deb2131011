package redislock_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// Some promises are about processes. Those of a test are this test binary, in one of these roles.
var roles = map[string]func(p *part) error{"share": (*part).share, "cron": (*part).cron}

func TestMain(m *testing.M) {
	play, ok := roles[os.Getenv("REDISLOCK_TEST_ROLE")]
	if !ok {
		os.Exit(servertest.Main(m))
	}
	go func() { // it does not outlive the test
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	rdb := redis.NewClient(&redis.Options{Addr: os.Args[1]})
	c, err := redislock.New(rdb)
	if err == nil {
		err = play(&part{rdb, c, os.Args[2:]})
	}
	if err == nil {
		err = c.Close(context.Background())
	}
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// part is what a process knows of its role.
type part struct {
	rdb  *redis.Client
	c    *redislock.Client
	args []string
}

// process is another instance of the application.
type process struct {
	cmd  *exec.Cmd
	said *bufio.Reader
}

// process starts one.
func (e *env) process(role string, args ...string) *process {
	e.Helper()
	cmd := exec.Command(os.Args[0], append([]string{e.real.masters[0].Addr()}, args...)...)
	cmd.Env = append(os.Environ(), "REDISLOCK_TEST_ROLE="+role)
	cmd.Stderr = os.Stderr
	leash, err := cmd.StdinPipe()
	if err != nil {
		e.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		e.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() {
		_ = leash.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &process{cmd, bufio.NewReader(out)}
}

// says is the next line that it prints, empty when it has ended.
func (p *process) says() string {
	line, _ := p.said.ReadString('\n')
	return strings.TrimSpace(line)
}

func TestAThousandCallersInEightProcessesCauseOneFetch(t *testing.T) {
	for _, dies := range []bool{false, true} {
		t.Run(map[bool]string{false: "it lives", true: "it is killed"}[dies], func(t *testing.T) {
			t.Parallel()
			s := single(servertest.Start(t))
			e := &env{T: t, real: s, raw: s.raw}
			processes := make([]*process, 8)
			for i := range processes {
				processes[i] = e.process("share", "125", strconv.FormatBool(dies))
			}
			ctx := context.Background()
			fetcher := -1
			if dies {
				e.eventually("the first fetch has begun", func() bool {
					pid, _ := e.raw.Get(ctx, "fetching").Int()
					for i, p := range processes {
						if p.cmd.Process.Pid == pid {
							fetcher = i
						}
					}
					return fetcher >= 0
				})
				if err := processes[fetcher].cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			values := map[string]int{}
			for i, p := range processes {
				if i != fetcher {
					values[p.says()]++
				}
			}
			want := map[bool]string{false: "1", true: "2"}[dies]
			if got := e.raw.Get(ctx, "fetches").Val(); got != want {
				t.Errorf("%s fetches, not %s", got, want)
			}
			if lived := len(processes) - map[bool]int{true: 1}[dies]; len(values) != 1 || values["125 times fetch "+want] != lived {
				t.Errorf("the processes got %v", values)
			}
		})
	}
}

// share: so many callers ask for a value. The fetch lasts until all processes ask for it; the first one for ever, if it
// is to die.
func (p *part) share() error {
	ctx := context.Background()
	callers, err := strconv.Atoi(p.args[0])
	if err != nil {
		return err
	}
	fetch := func(ctx context.Context) (string, error) {
		n := p.rdb.Incr(ctx, "fetches").Val()
		for p.rdb.Get(ctx, "asking").Val() != "8" {
			time.Sleep(5 * time.Millisecond)
		}
		if p.args[1] == "true" && n == 1 {
			p.rdb.Set(ctx, "fetching", os.Getpid(), 0)
			<-ctx.Done()
		}
		return fmt.Sprint("fetch ", n), ctx.Err()
	}
	var all sync.WaitGroup
	results := make(chan string, callers)
	for range callers {
		all.Go(func() {
			v, err := redislock.Share(ctx, p.c, "report", time.Hour, fetch, redislock.WithLease(3*time.Second))
			if err != nil {
				v = err.Error()
			}
			results <- v
		})
	}
	p.rdb.Incr(ctx, "asking")
	all.Wait()
	close(results)
	got := map[string]int{}
	for v := range results {
		got[v]++
	}
	for v, n := range got {
		fmt.Println(n, "times", v)
	}
	return nil
}

// Time runs 25 times as fast for them, so that 200 ticks of 2 s take 16 s; the ticks are those of an hour ago, for the server's
// clock does not run as fast, and none is to be early for it. Each node fires each tick by a clock that is up
// to 5 s wrong in either direction, by another error for each tick: now this node is the first, now that one, and ticks
// come out of order.
const (
	cronSpeed = 25
	cronTicks = 200
	cronEvery = 2 * time.Second
	cronSkew  = 5 * time.Second
)

func TestFiveProcessesWithSkewedClocksRunEachTickOnce(t *testing.T) {
	t.Parallel()
	s := single(servertest.Start(t))
	e := &env{T: t, real: s, raw: s.raw}
	ctx := context.Background()
	begin := time.Now().Add(2 * time.Second) // when they are all there
	var processes []*process
	for range 5 {
		processes = append(processes, e.process("cron", strconv.FormatInt(begin.UnixNano(), 10)))
	}
	for _, p := range processes {
		if did := p.says(); !strings.Contains(did, "ran:") || !strings.Contains(did, "elsewhere:") {
			t.Errorf("a process did %q: the clocks were not skewed", did)
		}
	}
	for _, job := range []string{"wait", "retry"} {
		runs := e.raw.HGetAll(ctx, "runs:"+job).Val()
		for tick, n := range runs {
			if n != "1" {
				t.Errorf("%s: tick %s was run %s times", job, tick, n)
			}
		}
		if len(runs) != cronTicks {
			t.Errorf("%s: %d of %d ticks were run", job, len(runs), cronTicks)
		}
	}
	runs, skipped := len(e.raw.HGetAll(ctx, "runs:skip").Val()), len(e.raw.HGetAll(ctx, "skipped:skip").Val())
	for tick, n := range e.raw.HGetAll(ctx, "runs:skip").Val() {
		if n != "1" || e.raw.HExists(ctx, "skipped:skip", tick).Val() {
			t.Errorf("skip: tick %s was run %s times, and skipped: %v", tick, n, e.raw.HExists(ctx, "skipped:skip", tick).Val())
		}
	}
	if runs+skipped != cronTicks {
		t.Errorf("skip: %d ticks were run and %d left out, of %d", runs, skipped, cronTicks)
	}
	if n := e.raw.Get(ctx, "overlaps").Val(); n != "" {
		t.Errorf("%s runs overlapped", n)
	}
}

// cron: a node that fires each tick by its own clock.
func (p *part) cron() error {
	ctx := context.Background()
	begin, err := strconv.ParseInt(p.args[0], 10, 64)
	if err != nil {
		return err
	}
	first := time.Unix(0, begin).Add(-time.Hour).Truncate(cronEvery)
	jobs := map[string]*redislock.CronGuard{
		"wait":  p.c.Cron("wait", redislock.WithOverlap(redislock.OverlapWait)),
		"retry": p.c.Cron("retry", redislock.WithOverlap(redislock.OverlapWait), redislock.WithRetry(10*time.Second)),
		"skip":  p.c.Cron("skip"),
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	did := map[redislock.Outcome]int{}
	for k := range cronTicks {
		tick := first.Add(time.Duration(k) * cronEvery)
		skew := rand.N(2*cronSkew) - cronSkew
		fires := time.Unix(0, begin).Add((tick.Sub(first) - skew) / cronSpeed) // when this node's clock shows the tick
		for job, guard := range jobs {
			all.Go(func() {
				time.Sleep(time.Until(fires))
				field := tick.UTC().Format(time.RFC3339)
				outcome, err := guard.Run(ctx, tick, func(ctx context.Context) error {
					if p.rdb.Incr(ctx, "running:"+job).Val() != 1 {
						p.rdb.Incr(ctx, "overlaps")
					}
					p.rdb.HIncrBy(ctx, "runs:"+job, field, 1)
					p.rdb.Decr(ctx, "running:"+job)
					return nil
				})
				if err != nil {
					fmt.Println("failed:", job, tick, err)
				}
				if outcome == redislock.OutcomeSkipped {
					p.rdb.HIncrBy(ctx, "skipped:"+job, field, 1)
				}
				mu.Lock()
				defer mu.Unlock()
				did[outcome]++
			})
		}
	}
	all.Wait()
	fmt.Println(did)
	return nil
}
