package lua_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/lua"
)

// crowdOf is a lock with many holders, and a waiter that waits for all of them. Some of the holders die.
type crowdOf struct {
	*bench
	waiter string
	ends   map[string]time.Time // the ends of the holds that were not given back
	kept   map[string]bool      // holds that were given back and are kept
	said   time.Time            // the end of the first hold that the waiter was told
	looked int                  // how many holds the checks have looked at
}

const crowdLease = 30 * time.Second

// gathered lets n readers take the lock, one after the other within a third of a lease, and adds a waiter that excludes all others.
func gathered(t *testing.T, n int) *crowdOf {
	c := &crowdOf{bench: embeddedBench(t), waiter: pad("w"), ends: map[string]time.Time{}, kept: map[string]bool{}}
	for i := range n {
		token := fmt.Sprint("r", i)
		c.in(read, 1, token, crowdLease, protocol.NoWait, "c1")
		c.ends[token] = c.now.Add(crowdLease)
		c.pass(crowdLease / 3 / time.Duration(n))
	}
	return c
}

func (c *crowdOf) renew(token string) {
	c.eval(lua.Renew, pad(token), "0000000000000000")
	c.ends[token] = c.now.Add(crowdLease)
}

// check is a check of the waiter, repeated as long as the answer asks for it. It reports whether the waiter has the
// lock.
func (c *crowdOf) check() bool {
	counting := *lua.Check
	counting.Text = strings.Replace(counting.Text, "local function hold_of(token)\n", "local function hold_of(token)\nredis.call('INCR', 'looked')\n", 1)
	c.listener.Know("check", counting.Text)
	for {
		before, _ := c.rdb.Get(c.Context(), "looked").Int()
		reply := c.eval(&counting, "c2", protocol.Uncountable, "", c.waiter).([]any)
		after, _ := c.rdb.Get(c.Context(), "looked").Int()
		c.looked += after - before
		if reply[1] == int64(1) {
			c.pass(100 * time.Microsecond)
			continue
		}
		if reply[8] != "waiting" {
			return true
		}
		due, err := protocol.ParseMicros(reply[3].(string))
		if err != nil {
			c.Fatal(err)
		}
		c.said = time.UnixMicro(int64(due))
		return false
	}
}

// A waiter behind a crowd that lives costs the server nothing to speak of, whoever dies meanwhile: it looks at one of them.
func TestOneWaiterBehindManyHoldersLooksAtFewOfThem(t *testing.T) {
	t.Parallel()
	n := unlessShort(600, 300)
	c := gathered(t, n)
	if r := c.in(write, 1, "w", time.Minute, protocol.Uncountable, "c2"); r.Status != "waiting" {
		t.Fatal(r.Status)
	}
	checks := 0
	for round := range 4 { // a third of a lease each, in which all renew but those that die: in the second one a hundredth
		for i := range n {
			if round == 0 || i%100 != 0 {
				c.renew(fmt.Sprint("r", i))
			}
			c.pass(crowdLease / 3 / time.Duration(n))
			if i%(n/5) == 0 || c.now.After(c.said.Add(time.Millisecond)) {
				if c.check() {
					t.Fatal("it has the lock")
				}
				checks++
			}
		}
	}
	// A check always looks at the first hold, for its answer.
	if checks > 80 || c.looked > 12*checks {
		t.Errorf("%d checks looked at %d holds", checks, c.looked)
	}
}

// Holders of a crowd renew, give back, and die, in any order, and the clock goes back. A waiter that excludes all gets the lock as
// soon as nobody else has it, and not earlier.
func TestWhoeverWaitsForACrowdHasTheLockWhenTheLastOneEnds(t *testing.T) {
	t.Parallel()
	for seed := range uint64(unlessShort(12, 8)) {
		random := rand.New(rand.NewPCG(seed, 3))
		c := gathered(t, 33+random.IntN(60))
		mine := ""
		if seed%4 == 3 { // the waiter is one of the holders, which waits for an upgrade
			mine, c.waiter = "r0", change(1, "w")
			delete(c.ends, mine)
			request := c.requestIn(write, 1, time.Hour, 4600, protocol.Uncountable, "c2")
			request = strings.Replace(request, "1 0 write -", "1 0 write - "+pad(mine), 1)
			for c.parse(c.eval(lua.Convert, pad(mine), request, c.waiter)).Status == "more" {
				c.pass(time.Millisecond)
			}
		} else if r := c.in(write, 1, "w", time.Minute, protocol.Uncountable, "c2"); r.Status != "waiting" {
			t.Fatal(r.Status)
		}
		for steps, granted := 0, false; !granted; steps++ {
			alive := c.alive()
			if steps > 5000 {
				t.Fatalf("seed %d: it waits for %q", seed, alive)
			}
			slices.Sort(alive)
			switch token := append(alive, "")[random.IntN(len(alive)+1)]; {
			case token == "":
			case random.IntN(3) == 0:
				c.release(token)
				delete(c.ends, token)
			case steps%4 == 0: // the first one, at which the search may stand, is to end sooner than it was
				c.eval(lua.Keep, pad(alive[0]), "0000000000000000", "     900    4600")
				c.ends[alive[0]] = c.now.Add(900 * time.Millisecond)
				c.kept[alive[0]] = true
			case random.IntN(2+steps/40) == 0 && !c.kept[token]:
				c.renew(token)
			}
			if seed%3 == 2 && steps == 20 {
				c.set(c.now.Add(-time.Minute))
				for token, end := range c.ends { // its end is corrected when a script sees it
					if at := c.now.Add(crowdLease); end.After(at) {
						c.ends[token] = at
					}
				}
			}
			if mine != "" {
				c.eval(lua.Renew, pad(mine), "0000000000000000")
			}
			c.pass(time.Duration(random.IntN(1000)) * time.Millisecond)
			granted = c.check()
			if left := c.alive(); granted && len(left) > 0 {
				t.Fatalf("seed %d: I1: it has the lock beside %q", seed, left)
			} else if late := c.said.Sub(c.now); !granted && len(left) == 0 && late > 25*time.Millisecond {
				t.Fatalf("seed %d: nobody holds the lock, and the waiter looks again in %v", seed, late)
			}
		}
		c.mini.Close()
	}
}

// alive are the holders that have not ended.
func (c *crowdOf) alive() (all []string) {
	for token, end := range c.ends {
		if end.After(c.now) {
			all = append(all, token)
		}
	}
	return all
}
