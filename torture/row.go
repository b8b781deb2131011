package torture

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/servertest"
)

// Row is one row of the matrix: a fault, and what must hold under it.
type Row struct {
	Fault   string // a few words, lower case: the row's name in the report
	Promise string // short sentences: what is promised under the fault, and what the promise depends on

	Topology Topology // nil: OneServer()
	Load     Load
	// Inject makes the faults, until x.Every or x.Injecting reports that the time is over. It runs in the test's
	// goroutine.
	Inject func(x *Run)

	Short, Full time.Duration // of the injection; 0: 2.5 s and 18 s
	Bound       time.Duration // nobody waits for longer for a lock that nobody has; 0: 5 s
	// Unreachable says that Redis may be out of reach for a while: acquires and releases may fail with a network error.
	Unreachable bool
	// Unheard, if not empty, says why the scripts cannot be compared with the model.
	Unheard string
	// Physics, if not empty, says why two may rely on the lock at the same time: data is lost. Then that time is
	// measured, and losses must be announced by [Run.Loss].
	Physics string
}

// Topology starts servers for a row; they end with the test.
type Topology func(t *testing.T) *Site

// Site is where a row takes place.
type Site struct {
	Connect func(worker int) Connect   // how each worker reaches Redis
	Admin   redis.UniversalClient      // a connection without faults
	Nodes   func(worker int) []Connect // how each worker reaches the nodes of a quorum, in the place of Connect; nil if there is one server
	Admins  []redis.UniversalClient    // for a quorum: connections without faults to each node; the first is Admin
	Server  *servertest.Server         // nil if there are several
	Proxy   *servertest.Proxy          // nil if there is none
	More    any                        // what else a row needs
}

// OneServer is a redis-server with these arguments.
func OneServer(args ...string) Topology {
	return func(t *testing.T) *Site {
		s := servertest.Start(t, args...)
		return &Site{
			Connect: func(int) Connect { return Connect{Addrs: []string{s.Addr()}} },
			Admin:   s.Connect(), Server: s,
		}
	}
}

// Proxied is a redis-server and a proxy in front of it for the first of the workers; 0: for all.
func Proxied(workers int, args ...string) Topology {
	return func(t *testing.T) *Site {
		s := servertest.Start(t, args...)
		p := servertest.NewProxy(t, s.Addr())
		return &Site{
			Connect: func(worker int) Connect {
				if workers == 0 || worker < workers {
					return Connect{Addrs: []string{p.Addr()}}
				}
				return Connect{Addrs: []string{s.Addr()}}
			},
			Admin: s.Connect(), Server: s, Proxy: p,
		}
	}
}
