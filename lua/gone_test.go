package lua_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/lua"
)

// unchecked sets the last check of a Client back.
func (b *bench) unchecked(channel string, ago time.Duration) {
	b.Helper()
	value := b.rdb.HGet(context.Background(), b.key, "c"+channel).Val()
	seen, err := protocol.ParseMicros(value[:16])
	if err != nil {
		b.Fatal(err)
	}
	b.rdb.HSet(context.Background(), b.key, "c"+channel, fmt.Sprintf("%016d%s", seen.Add(-ago), value[16:]))
}

// claim is how long the first hold still lasts.
func (b *bench) claim() time.Duration {
	b.Helper()
	f, err := protocol.FieldsOf(b.eval(lua.Inspect, 1))
	if err != nil || f.Int(4) == 0 {
		b.Fatalf("no hold: %v, %v", f, err)
	}
	return f.Micros(6).Sub(f.Micros(0))
}

// gone runs a test with each kind of channel on which receivers are counted. The embedded server has no sharded
// channels.
func gone(t *testing.T, test func(b *bench, mode string)) {
	for name, mode := range map[string]string{"classic": protocol.Countable, "sharded": protocol.Sharded} {
		t.Run(name, func(t *testing.T) {
			scripts(t, func(b *bench) {
				if b.mini == nil || mode != protocol.Sharded {
					test(b, mode)
				}
			})
		})
	}
}

func TestHandOverPassesOverWaitersThatAreGone(t *testing.T) {
	gone(t, func(b *bench, mode string) {
		b.subscribe("live")
		b.acquire("holder", time.Minute, protocol.NoWait, "c1")
		for _, channel := range []string{"nobody1", "nobody2"} {
			b.acquire(channel, time.Minute, mode, channel)
			b.unchecked(channel, 2600*time.Millisecond)
		}
		b.acquire("w", time.Minute, protocol.Countable, "live")
		b.release("holder")
		if owner := b.owner(); owner != "w" {
			b.Errorf("the lock went to %q", owner)
		}
		if claim := b.claim(); claim < 4*time.Second {
			b.Errorf("the claim of who is subscribed lasts %v", claim)
		}
	})
}

// All subscriptions may end at once and be made anew. No place is lost by that.
func TestAWaiterWithoutASubscriptionKeepsItsPlaceUntilItsCheckIsOverdue(t *testing.T) {
	gone(t, func(b *bench, mode string) {
		b.subscribe("live")
		b.acquire("holder", time.Minute, protocol.NoWait, "c1")
		b.acquire("first", time.Minute, mode, "away")
		b.acquire("second", time.Minute, protocol.Countable, "live")
		b.unchecked("away", 2*time.Second)
		b.release("holder")
		if owner := b.owner(); owner != "first" {
			b.Fatalf("the lock went to %q", owner)
		}
		if claim := b.claim(); claim <= 0 || claim > 500*time.Millisecond {
			b.Errorf("the claim lasts %v, its check is due in half a second", claim)
		}
		if got := b.check("away", mode, "first"); got[0] != "granted" {
			b.Fatalf("its check says %v", got)
		}
		if lease := b.claim(); lease < 50*time.Second {
			b.Errorf("confirmed, and the lease lasts %v", lease)
		}
	})
}

func TestAProcessThatDiedCostsItsQueueNoMoreThanACheck(t *testing.T) {
	b := embeddedBench(t)
	b.subscribe("live")
	b.acquire("holder", time.Minute, protocol.NoWait, "c1")
	for i := range 20 {
		b.acquire(fmt.Sprint("dead", i), time.Minute, protocol.Countable, "dead")
	}
	b.acquire("w", time.Minute, protocol.Countable, "live")
	b.release("holder") // a moment after the process died
	begun := b.now
	for b.owner() != "w" {
		b.pass(max(b.claim(), time.Millisecond))
		b.check("live", protocol.Countable, "w")
	}
	if passed := b.now.Sub(begun); passed > 2510*time.Millisecond {
		t.Errorf("the dead ones cost %v", passed)
	}
}

func TestALostPlaceFarBackIsFoundAgain(t *testing.T) {
	const waiters = 502
	b := embeddedBench(t)
	b.acquire("holder", time.Hour, protocol.NoWait, "c1")
	var tickets, tokens []string
	for i := range waiters {
		tokens = append(tokens, fmt.Sprint("w", i))
		tickets = append(tickets, b.acquire(tokens[i], time.Minute, protocol.Uncountable, "c").Ticket)
		b.pass(time.Millisecond)
	}
	queue := b.dump()
	for _, place := range []int{0, 1, 62, 63, 64, 250, 436, 437, 438, 500} {
		b.key = fmt.Sprintf("redislock:{k%d}", place) // a copy
		b.rdb.HSet(context.Background(), b.key, queue)
		b.rdb.Expire(context.Background(), b.key, 4600*time.Second)
		b.release(tokens[place])
		if r := b.acquire("back", time.Minute, protocol.Uncountable, "c", "", tickets[place]); r.Status != "waiting" || r.Ticket != tickets[place] {
			t.Fatalf("got %s, ticket %s", r.Status, r.Ticket)
		}
		f, err := protocol.FieldsOf(b.eval(lua.Inspect, waiters))
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		for i := 13; i < len(f.Values); i += 4 { // behind the one hold
			order = append(order, strings.TrimRight(f.Text(i+1), "."))
		}
		got := slices.Index(order, "back")
		want := place
		if place >= 64 && place < waiters-66 {
			want = waiters - 66 // too far from both ends of the queue: it passes no earlier waiter
		}
		if got != want || len(order) != waiters {
			t.Errorf("number %d of %d came back as number %d, want %d", place, len(order), got, want)
		}
	}
}
