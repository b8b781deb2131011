package redislock_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// The real leg of every behaviour test runs on the topology that this variable names:
//
//	server        one redis-server, go-redis as it comes (the default)
//	resp2, resp3  the same with that version of the protocol
//	tls           one redis-server behind TLS, as a user with what redislock.ACL prints and nothing else
//	sentinel      a primary with two replicas and three Sentinels, as such a user
//	cluster       three masters with a replica each, as such a user
//	autopipeline  one redis-server through go-redis' AutoPipeliner
//
// "/resp2" behind one of them has it speak that version.
const topologyVariable = "REDISLOCK_TEST_TOPOLOGY"

// plainly is which behaviour tests run on the plain server on some topologies instead, and why.
var plainly = []struct{ topology, test, why string }{}

// service is the servers of a topology, and how to reach them.
type service struct {
	connect func(as *identity) redis.UniversalClient // to be closed by the caller
	raw     redis.UniversalClient
	masters []*servertest.Server
	others  []*servertest.Server // replicas
	secure  bool                 // clients are users with the rights of their prefix

	mu    sync.Mutex
	users map[string]*identity // by prefix
}

// identity is who a client is.
type identity struct {
	user, password string
	protocol       int // 0 is what go-redis chooses
}

func (i *identity) options(o *redis.Options) {
	o.Protocol = i.protocol
	if i.user != "" {
		o.Username, o.Password = i.user, i.password
	}
}

// topologies start their servers.
var topologies = map[string]func(t testing.TB) *service{
	"server": func(t testing.TB) *service { return single(servertest.Start(t)) },
	"tls": func(t testing.TB) *service {
		s := single(servertest.StartTLS(t, "-@all"))
		s.raw, s.secure = s.masters[0].Admin(), true
		return s
	},
	"autopipeline": func(t testing.TB) *service {
		s := single(servertest.Start(t))
		s.connect = func(as *identity) redis.UniversalClient {
			pipeliner, err := s.masters[0].Connect(as.options).AutoPipeline()
			if err != nil {
				t.Fatal(err)
			}
			return pipeliner
		}
		return s
	},
	"sentinel": func(t testing.TB) *service {
		w := servertest.StartSentinel(t)
		return &service{raw: w.Connect(), masters: w.Servers[:1], others: w.Servers[1:], secure: true, connect: func(as *identity) redis.UniversalClient {
			return w.Connect(func(o *redis.FailoverOptions) { o.Protocol, o.Username, o.Password = as.protocol, as.user, as.password })
		}}
	},
	"cluster": func(t testing.TB) *service {
		c := servertest.StartCluster(t, 3, func(c *servertest.ClusterConfig) { c.Replicas = 1 })
		return &service{raw: c.Connect(), masters: c.Masters, others: c.Replicas, secure: true, connect: func(as *identity) redis.UniversalClient {
			return c.Connect(func(o *redis.ClusterOptions) { o.Protocol, o.Username, o.Password = as.protocol, as.user, as.password })
		}}
	},
}

func single(s *servertest.Server) *service {
	return &service{raw: s.Connect(), masters: []*servertest.Server{s}, connect: func(as *identity) redis.UniversalClient {
		return s.Connect(as.options)
	}}
}

// topology is where a test is to run.
func topology(test string) (name string, protocol int) {
	name = os.Getenv(topologyVariable)
	name, version, _ := strings.Cut(name, "/")
	switch name {
	case "":
		name = "server"
	case "resp2", "resp3":
		name, version = "server", name
	}
	switch version {
	case "resp2":
		protocol = 2
	case "resp3":
		protocol = 3
	}
	for _, p := range plainly {
		if p.topology == name && p.test == strings.Split(test, "/")[0] {
			return "server", 0
		}
	}
	return name, protocol
}

// TestTheTopologyExists finds a mistyped topology, and checks the list of exceptions.
func TestTheTopologyExists(t *testing.T) {
	name, _ := topology("")
	if topologies[name] == nil {
		t.Errorf("%s=%s: there is no such topology", topologyVariable, os.Getenv(topologyVariable))
	}
	for _, p := range plainly {
		if topologies[p.topology] == nil || p.why == "" {
			t.Errorf("exception %+v", p)
		}
	}
}

// spare are services that took long to start, and which no test uses now.
var spare = struct {
	sync.Mutex
	by map[string][]*service
}{by: map[string][]*service{}}

// onReal makes the environment of a test on the topology that was asked for. One that starts fast is the test's own. The
// others go from test to test: a test has one to itself while it runs, and finds it empty.
func onReal(t *testing.T) *env {
	t.Helper()
	name, protocol := topology(t.Name())
	start := topologies[name]
	if start == nil {
		t.Fatalf("%s: there is no topology %q", topologyVariable, name)
	}
	var s *service
	if shared := name == "sentinel" || name == "cluster"; shared {
		spare.Lock()
		if free := spare.by[name]; len(free) > 0 {
			s, spare.by[name] = free[len(free)-1], free[:len(free)-1]
		}
		spare.Unlock()
		if s == nil {
			s = start(servertest.Lasting(t))
		}
		t.Cleanup(func() { // after all that the test cleans up
			if t.Failed() {
				return // who knows in which state it is
			}
			s.reset(t)
			spare.Lock()
			defer spare.Unlock()
			spare.by[name] = append(spare.by[name], s)
		})
	} else {
		s = start(t)
	}
	if n, err := s.raw.DBSize(t.Context()).Result(); n != 0 || err != nil {
		t.Fatalf("the test finds %d keys, %v", n, err)
	}
	e := &env{T: t, real: s, raw: s.raw}
	e.connectFor = func(prefix string) redis.UniversalClient {
		as := *s.user(t, prefix)
		as.protocol = protocol
		rdb := s.connect(&as)
		t.Cleanup(func() { _ = rdb.Close() }) // the test may have closed it
		return rdb
	}
	e.connect = func() redis.UniversalClient { return e.connectFor(redislock.DefaultPrefix) }
	return e
}

// user is the one who may use locks under a prefix.
func (s *service) user(t *testing.T, prefix string) *identity {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.secure {
		return &identity{}
	}
	if s.users == nil {
		s.users = map[string]*identity{}
	}
	if s.users[prefix] == nil {
		rules, err := redislock.ACLFor(servertest.Version(t), prefix)
		if err != nil {
			t.Fatal(err)
		}
		var o redis.Options
		for _, node := range slices.Concat(s.masters, s.others) {
			node.AddUser("user-of-"+prefix, rules)(&o)
		}
		s.users[prefix] = &identity{user: o.Username, password: o.Password}
	}
	return s.users[prefix]
}

// each does something on every master.
func (s *service) each(t testing.TB, do func(ctx context.Context, admin *redis.Client) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, master := range s.masters {
		if err := do(ctx, master.Admin()); err != nil {
			t.Fatal(err)
		}
	}
}

// reset makes the servers as if they were new: without keys, scripts and counts.
func (s *service) reset(t testing.TB) {
	t.Helper()
	s.each(t, func(ctx context.Context, admin *redis.Client) error {
		pipe := admin.Pipeline()
		pipe.FlushAll(ctx)
		pipe.ScriptFlush(ctx)
		pipe.ConfigResetStat(ctx)
		_, err := pipe.Exec(ctx)
		return err
	})
}

// channel is one that somebody listens to.
type channel struct {
	name    string
	sharded bool
}

// channels are the wake channels of all Clients, on all masters.
func (e *env) channels() (all []channel) {
	e.Helper()
	const pattern = redislock.DefaultPrefix + ":c:*"
	if e.mini != nil {
		for _, name := range e.raw.PubSubChannels(context.Background(), pattern).Val() {
			all = append(all, channel{name, false})
		}
		return all
	}
	e.real.each(e, func(ctx context.Context, admin *redis.Client) error {
		classic, err := admin.PubSubChannels(ctx, pattern).Result()
		if err != nil {
			return err
		}
		sharded, err := admin.PubSubShardChannels(ctx, pattern).Result()
		if err != nil && strings.Contains(strings.ToLower(err.Error()), "unknown subcommand") { // before Redis 7
			err = nil
		}
		for i, name := range append(classic, sharded...) {
			if c := (channel{name, i >= len(classic)}); !slices.Contains(all, c) {
				all = append(all, c)
			}
		}
		return err
	})
	return all
}

// subscriptions is how many connections listen, on all masters. On the embedded server a channel stands for one.
func (e *env) subscriptions() (n int) {
	e.Helper()
	if e.mini != nil {
		return len(e.channels())
	}
	e.real.each(e, func(ctx context.Context, admin *redis.Client) error {
		list, err := admin.Do(ctx, "client", "list", "type", "pubsub").Text()
		n += strings.Count(list, "\n") - strings.Count(list, " name=sentinel-") // Sentinels listen too
		return err
	})
	return n
}

// publish forges a message.
func (e *env) publish(c channel, text string) {
	e.Helper()
	send := e.raw.Publish
	if c.sharded {
		send = e.raw.SPublish
	}
	if err := send(context.Background(), c.name, text).Err(); err != nil {
		e.Error(err)
	}
}

// overhear passes on what is said on all channels that there are now. It returns when it hears.
func (e *env) overhear(heard func(text string)) {
	e.Helper()
	ctx := context.Background()
	for _, c := range e.channels() {
		listen := e.raw.Subscribe
		if c.sharded { // one connection each: they lie on different masters
			listen = e.raw.SSubscribe
		}
		ps := listen(ctx, c.name)
		e.Cleanup(func() { _ = ps.Close() })
		if _, err := ps.Receive(ctx); err != nil {
			e.stop(fmt.Errorf("%s: %w", c.name, err))
		}
		go func() {
			for m := range ps.Channel() {
				heard(m.Payload)
			}
		}()
	}
}

// Clients of other types than the plain one have the same behaviour, although some can do less.

func TestLocksOnACluster(t *testing.T) {
	t.Parallel()
	cluster := servertest.StartCluster(t, 3)
	passLocksAround(t, func() redis.UniversalClient { return cluster.Connect() })
	shareLocks(t, func() redis.UniversalClient { return cluster.Connect() })
}

func TestLocksThroughAnAutoPipeliner(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	passLocksAround(t, func() redis.UniversalClient {
		pipeliner, err := s.Connect().AutoPipeline()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = pipeliner.Close() })
		return pipeliner
	})
}

// shareLocks goes once through what the shared modes add, on names that lie on all shards.
func shareLocks(t *testing.T, connect func() redis.UniversalClient) {
	e := &env{T: t}
	ctx := context.Background()
	a, b := e.over(connect()), e.over(connect())
	var names []string
	for n := range 6 {
		name := fmt.Sprint("shared-", n)
		names = append(names, name)
		l, r := e.acquire(a, name, reading), e.acquire(b, name, reading)
		upgraded := make(chan error, 1)
		go func() { upgraded <- l.Upgrade(ctx) }()
		e.queued(a, name, 1)
		e.release(r)
		if err := <-upgraded; err != nil {
			t.Fatal(err)
		}
		e.refused(b, name, reading)
		e.change(l.Downgrade)
		e.release(e.acquire(b, name, reading, trying))
		ticket, err := l.Handoff()
		if err != nil {
			t.Fatal(err)
		}
		moved, err := b.Resume(ctx, ticket)
		if err != nil {
			t.Fatal(err)
		}
		e.release(moved)
	}
	all, err := a.AcquireAll(ctx, names)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.AcquireAll(ctx, names, trying); !errors.Is(err, redislock.ErrHeld) {
		t.Errorf("all of them a second time: %v", err)
	}
	if err := all.Release(ctx); err != nil {
		t.Error(err)
	}
}

// passLocksAround has instances contend for names that lie on all shards.
func passLocksAround(t *testing.T, connect func() redis.UniversalClient) {
	e := &env{T: t}
	ctx := context.Background()
	var clients []*redislock.Client
	for range 3 {
		c := e.over(connect())
		clients = append(clients, c)
	}

	const names, rounds = 12, 5
	var wg sync.WaitGroup
	var holders [names]atomic.Int32
	var fences [names]atomic.Int64
	for _, c := range clients {
		for n := range names {
			wg.Go(func() {
				for range rounds {
					l := e.acquire(c, fmt.Sprint("name-", n))
					if holders[n].Add(1) != 1 {
						t.Error("I1: two holders at once")
					}
					if fences[n].Swap(l.Fence()) >= l.Fence() {
						t.Error("I2: the fence did not rise")
					}
					time.Sleep(time.Millisecond)
					holders[n].Add(-1)
					e.release(l)
				}
			})
		}
	}
	wg.Wait()

	l := e.acquire(clients[0], "stolen")
	next := e.acquire(clients[1], "stolen", redislock.WithStealAfter(200*time.Millisecond))
	if !errors.Is(l.Err(), redislock.ErrStolen) {
		t.Errorf("the robbed holder says %v", l.Err())
	}
	_ = l.Release(ctx)
	if fence, err := clients[2].Break(ctx, "stolen", "test"); err != nil || fence != next.Fence() {
		t.Errorf("Break: fence %d of %d, %v", fence, next.Fence(), err)
	}
	<-next.Context().Done()
	_ = next.Release(ctx)

	keys := make([]string, 50)
	want := make([]bool, len(keys))
	for i := range keys {
		keys[i], want[i] = fmt.Sprint("key-", i), true
	}
	for _, c := range clients[:2] {
		if got, err := c.FirstOf(ctx, keys, time.Minute); err != nil || !slices.Equal(got, want) {
			t.Errorf("FirstOf: %v, %v", got, err)
		}
		want = make([]bool, len(keys))
	}
	for n := range names {
		info, err := clients[0].Inspect(ctx, fmt.Sprint("name-", n))
		if err != nil || len(info.Holds) > 0 || info.Waiting > 0 {
			t.Errorf("left behind: %+v, %v", info, err)
		}
	}
}

// go-redis asks for the map of a cluster's slots once a minute, and when a node redirects it, which a dead node does not.
func TestLocksOfAMasterThatDiedAreServedByItsReplica(t *testing.T) {
	t.Parallel()
	e := &env{T: t}
	cluster := servertest.StartCluster(t, 3, func(o *servertest.ClusterConfig) { o.Replicas = 1 })
	a, b := e.over(cluster.Connect()), e.over(cluster.Connect())
	held := e.acquire(a, "x", redislock.WithLease(time.Minute))
	got := make(chan *redislock.Lock)
	go func() { got <- e.acquire(b, "x") }()
	e.queued(a, "x", 1)
	cluster.Whole() // the replicas have the hold and the place
	cluster.KillMaster(cluster.Serving("redislock:{x}"))
	start := time.Now()
	e.release(held)
	next := <-got
	if took := time.Since(start); took > patience {
		t.Errorf("handed over %v after the failover", took)
	}
	if next.Fence() <= held.Fence() {
		t.Errorf("I2: fence %d after %d", next.Fence(), held.Fence())
	}
	e.release(next)
}

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

// says is the next line that the process prints, or empty when it has ended.
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

// Valkey 9 has numbered databases in a cluster. Channels know no databases, but each Client has its own.
func TestLocksInTheDatabasesOfAClusterAreApart(t *testing.T) {
	t.Parallel()
	e := &env{T: t}
	ctx := context.Background()
	cluster := servertest.StartCluster(servertest.Named(t, "valkey newest"), 3, func(o *servertest.ClusterConfig) {
		o.Args = []string{"--cluster-databases", "4"}
	})
	in := func(database int) *redislock.Client {
		rdb := cluster.Connect(func(o *redis.ClusterOptions) {
			o.OnConnect = func(ctx context.Context, conn *redis.Conn) error { return conn.Select(ctx, database).Err() }
		})
		return e.over(rdb)
	}
	a, b, other := in(1), in(1), in(2)
	for n := range 6 { // on all shards
		name := fmt.Sprint("name-", n)
		held, apart := e.acquire(a, name), e.acquire(other, name, trying)
		got := make(chan *redislock.Lock)
		go func() { got <- e.acquire(b, name) }()
		e.queued(a, name, 1)
		e.release(held)
		next := <-got
		if next.Fence() <= held.Fence() {
			t.Errorf("I2: fence %d after %d", next.Fence(), held.Fence())
		}
		if info, err := other.Inspect(ctx, name); err != nil || len(info.Holds) != 1 || info.Holds[0].Fence != apart.Fence() {
			t.Errorf("in the other database: %+v, %v", info, err)
		}
		e.release(next)
		e.release(apart)
	}
}
