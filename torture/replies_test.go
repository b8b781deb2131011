package torture

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/redislock/internal/servertest"
)

// impatient is a site whose workers do not wait long for an answer.
func impatient(topology Topology, timeout time.Duration) Topology {
	return func(t *testing.T) *Site {
		site := topology(t)
		connect := site.Connect
		site.Connect = func(worker int) Connect {
			c := connect(worker)
			c.ReadTimeout = timeout
			return c
		}
		return site
	}
}

// nameOf is the lock that a request is about.
func nameOf(args []string) string {
	return strings.TrimSuffix(strings.TrimPrefix(args[3], prefix+":{"), "}")
}

// tells wraps a match, and records the lock of the request that matched last.
func tells(match func([]string) bool, name *string) func([]string) bool {
	return func(args []string) bool {
		is := match(args)
		if is {
			*name = nameOf(args)
		}
		return is
	}
}

// caught waits until a fault has hit its request, as the load sends all kinds of requests.
func (x *Run) caught(what string, done <-chan struct{}) {
	x.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		x.Fatalf("not within %v: %s", patience, what)
	}
}

func TestALostReplyChangesNothing(t *testing.T) {
	// A break is an operator's, and nothing of the load is kept: the tests of the root package lose the replies of both.
	scripts := slices.DeleteFunc(slices.Clone(Scripts), func(s string) bool { return s == "break" || s == "keep" })
	Play(t, Row{
		Fault: "reply lost after execution, for every script of a lock",
		Promise: "A request whose reply was lost is sent again, and leaves the state of a single request. The lock that it was granted " +
			"is used or given back, and there is one fence.",
		Topology: impatient(Proxied(0), 500*time.Millisecond),
		Load:     Load{Lease: 1500 * time.Millisecond, Try: 5, Cancel: 10, Upgrade: 20, Handoff: 20, Retention: 2 * time.Hour},
		Inject: func(x *Run) {
			for i := 0; x.Injecting() || i < 2*len(scripts); i++ {
				script, lose := scripts[i%len(scripts)], x.Proxy.SwallowReply
				if i/len(scripts)%2 == 0 {
					lose = x.Proxy.SwallowReplyAndClose
				}
				w := x.Workers()[i%8]
				if script == "check" || script == "renew" { // these requests need a lock that is held for longer than a moment
					x.Hold(w, "a", "exclusive")
				}
				var name string
				f := lose(tells(Requests(x, script), &name), 1)
				x.caught("the reply of "+script+" is lost", f.Executed())
				x.Fault("the reply of "+script+" was lost", name)
				x.Drop(w, "a")
			}
		},
	})
}

func TestALateRenewalRevivesNothing(t *testing.T) {
	var names []Name
	for _, n := range []string{"a", "b", "c", "d", "e", "f"} {
		names = append(names, Name{n, Exclusive})
	}
	Play(t, Row{
		Fault: "renewal racing release",
		Promise: "A renewal that reaches the server after the release of its hold, or after the next grant, changes nothing, because it " +
			"names the token and the fence of its own hold. It does not change the lease of the next holder.",
		Topology: Proxied(0),
		// A renewal is due a third of the lease after the grant, or a quarter of the claim: about when the holds end.
		Load: Load{Lease: 900 * time.Millisecond, Names: names, Hold: Span{200 * time.Millisecond, 330 * time.Millisecond}},
		Inject: func(x *Run) {
			var late []*servertest.Fault
			for x.Every(5 * time.Millisecond) {
				var name string
				f := x.Proxy.DelayRequest(tells(Requests(x, "renew"), &name), time.Duration(10+rand.IntN(120))*time.Millisecond)
				x.caught("a renewal is held back", f.Caught())
				x.Fault("a renewal came late", name)
				late = append(late, f)
			}
			for _, f := range late {
				x.caught("a late renewal is executed", f.Executed())
			}
		},
	})
}
