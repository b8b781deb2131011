package torture

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// A primary that becomes a replica still passes messages to its subscribers, as it gets them from the new primary. The
// new primary does not count these receivers.
func TestAWaiterWhoseSubscriptionStayedBehindIsNotGrantedByTheWay(t *testing.T) {
	ctx := context.Background()
	r := servertest.StartReplicated(t, 1)
	old, heir := r.Primary, r.Replicas[0]
	front := NewFront(t, old.Addr())
	open := func() *redislock.Client {
		rdb := redis.NewClient(&redis.Options{Addr: front.Addr(), DisableIdentity: true})
		c, err := redislock.New(rdb, redislock.WithPrefix(prefix))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			end, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			if err := c.Close(end); err != nil {
				t.Error(err)
			}
			_ = rdb.Close()
		})
		return c
	}
	held, err := open().Acquire(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	const waiters = 4
	granted := make(chan *redislock.Lock, waiters)
	looking := open()
	for i := range waiters {
		c := open()
		go func() {
			l, err := c.Acquire(ctx, "a")
			if err != nil {
				t.Error(err)
			}
			granted <- l
		}()
		for until := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
			info, err := looking.Inspect(ctx, "a")
			if err == nil && info.Waiting == i+1 {
				break
			}
			if time.Now().After(until) {
				t.Fatal("it does not wait", err)
			}
		}
	}
	r.InSync()
	heir.Promote()
	old.Follow(heir)
	front.Turn(heir.Addr())
	// Commands go to the new primary from now on, subscriptions stay.
	if err := old.Admin().ClientKillByFilter(ctx, "type", "normal", "skipme", "yes").Err(); err != nil {
		t.Fatal(err)
	}
	if err := held.Release(ctx); err != nil {
		t.Fatal(err)
	}
	for range waiters {
		l := <-granted
		begin := time.Now()
		for time.Since(begin) < 300*time.Millisecond && l.Err() == nil {
			select {
			case other := <-granted:
				if l.Err() == nil && other.Err() == nil {
					t.Fatalf("I1: two hold it, with the fences %d and %d", l.Fence(), other.Fence())
				}
				granted <- other
			case <-time.After(time.Millisecond):
			}
		}
		if err := l.Release(ctx); err != nil {
			t.Error(err)
		}
	}
	// Those that were passed over have noticed that they listen to the wrong server.
	for until := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		channels, err := heir.Admin().PubSubChannels(ctx, prefix+":c:*").Result()
		if err == nil && len(channels) >= waiters {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("%d Clients are subscribed at the new primary, of %d: %v", len(channels), waiters, err)
		}
	}
}
