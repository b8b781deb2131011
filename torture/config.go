package torture

import (
	"crypto/tls"
	"crypto/x509"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
)

// Connect says how a process reaches Redis.
type Connect struct {
	Addrs    []string // of the server, the sentinels or some nodes of the cluster
	Master   string   // the name that the sentinels know the primary by
	Cluster  bool
	Protocol int // 2 or 3, the version of RESP; 0: the default of go-redis

	User, Password string
	CA             string // PEM; TLS if it is set, to a server named "localhost"

	ReadTimeout, DialTimeout time.Duration // 0: those of go-redis
	PoolSize                 int
	MaxRetries               int

	ReadOnly, RouteByLatency, RouteRandomly bool
}

// Open makes the client.
func (c Connect) Open() redis.UniversalClient {
	o := &redis.UniversalOptions{
		Addrs: c.Addrs, MasterName: c.Master, IsClusterMode: c.Cluster, Protocol: c.Protocol, DisableIdentity: true,
		Username: c.User, Password: c.Password, ReadTimeout: c.ReadTimeout, DialTimeout: c.DialTimeout, PoolSize: c.PoolSize,
		MaxRetries: c.MaxRetries, ReadOnly: c.ReadOnly, RouteByLatency: c.RouteByLatency, RouteRandomly: c.RouteRandomly,
	}
	if c.CA != "" {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(c.CA))
		o.TLSConfig = &tls.Config{RootCAs: pool}
	}
	if c.Cluster && c.RouteByLatency {
		return byLatency(o.Cluster())
	}
	return redis.NewUniversalClient(o)
}

// Mix says in which modes a name is used.
type Mix string

// The mixes.
const (
	Exclusive  Mix = "exclusive"
	ReadWrite  Mix = "readwrite"  // one writer for three readers
	ReadMostly Mix = "readmostly" // one writer for 31 readers
	Semaphore  Mix = "semaphore"  // of Units units, in holds of one or two
	Kept       Mix = "kept"       // held only on the order of the injector
)

// units is the size of every semaphore.
const units = 3

// Name is a lock of the load, with the modes in which it is used.
type Name struct {
	Name string
	Mix  Mix
}

// Load describes what the workers do. Fields that are zero get the values of [Load.withDefaults].
type Load struct {
	Workers int // processes; at least eight
	Callers int // goroutines of each process, which take one lock after the other
	Names   []Name

	Lease    time.Duration
	Hold     Span // how long a lock is held
	Think    Span // the pause after it
	Try      int  // per cent of the operations that are TryAcquire
	Cancel   int  // per cent whose context is cancelled after CancelAfter
	CancelIn Span
	Upgrade  int // per cent of the readers that upgrade
	Handoff  int // per cent of the exclusive holds that move to another owner, in the same process

	Operations int // the greatest number of operations of one caller

	Replicas  int           // how many replicas must have a grant (WithReplicas); 0: none
	Turn      time.Duration // of exclusive locks and readers (WithTurn); 0: none
	Linger    time.Duration // of exclusive locks and readers (WithLinger); 0: none
	Retention time.Duration // of every other Client; 0: the library's default
	Margin    time.Duration // of every Client; 0: the library's default
}

// Span is a range of durations, evenly spread.
type Span struct{ From, To time.Duration }

func (l Load) withDefaults() Load {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	if l.Workers == 0 {
		l.Workers = 8
	}
	if l.Callers == 0 {
		l.Callers = 2
	}
	if l.Names == nil {
		l.Names = []Name{{"a", Exclusive}, {"b", Exclusive}, {"c", ReadWrite}, {"d", Semaphore}}
	}
	set(&l.Lease, 2*time.Second)
	if l.Hold == (Span{}) {
		l.Hold = Span{4 * time.Millisecond, 24 * time.Millisecond}
	}
	if l.Think == (Span{}) {
		l.Think = Span{0, 30 * time.Millisecond}
	}
	if l.CancelIn == (Span{}) {
		l.CancelIn = Span{0, 80 * time.Millisecond}
	}
	if l.Operations == 0 {
		l.Operations = 2000
	}
	return l
}

// turns reports whether a process passes exclusive locks on among its own callers, and lets its readers share a hold.
func (l Load) turns() bool { return l.Turn > 0 || l.Linger > 0 }

// Config is what a worker gets at its start.
type Config struct {
	Worker   int
	Connect  Connect
	Nodes    []Connect // the nodes of a quorum, in the place of Connect
	Prefix   string
	Load     Load
	Register string // address of the guarded resource
	Renew    string // digest of the script that renews
	Seed     uint64
}

// option is the mode of an acquire.
func option(mode string) redislock.Mode {
	switch mode {
	case "read":
		return redislock.Read
	case "write":
		return redislock.Write
	case "semaphore":
		return redislock.Semaphore(units)
	}
	return redislock.Exclusive
}
