package redislock_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
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

// TestTheTopologyExists is for the one who mistypes it, and for the list of exceptions.
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
		rules := redislock.ACL(prefix)
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
