package history

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

func (l *Log) all(t *testing.T, after string) (found []Entry) {
	t.Helper()
	if err := l.Read(t.Context(), after, func(e Entry) { found = append(found, e) }); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestTheHistoryIsBoundedAndExpires(t *testing.T) {
	t.Parallel()
	rdb := servertest.Start(t).Connect()
	l, other := Open(rdb, "p"), Open(rdb, "p")
	other.src = "other"
	if err := l.AddIfThere(t.Context(), Entry{Kind: "broken", Name: "x"}); err != nil {
		t.Fatal(err)
	}
	if n, err := rdb.Exists(t.Context(), "p:h").Result(); err != nil || n != 0 {
		t.Errorf("a history began that nobody has asked for: %d, %v", n, err)
	}
	var many []Entry
	for i := range Most + 3*page {
		many = append(many, Entry{Kind: "acquired", Name: fmt.Sprint(i), Fence: int64(i)})
	}
	if err := l.Add(t.Context(), many...); err != nil {
		t.Fatal(err)
	}
	found := l.all(t, "")
	if len(found) < Most || len(found) > Most+2*page || found[len(found)-1].Fence != int64(len(many)-1) || !found[0].Mine {
		t.Errorf("%d entries, the last %+v", len(found), found[len(found)-1])
	}
	if ttl, err := rdb.PTTL(t.Context(), "p:h").Result(); err != nil || ttl <= 0 || ttl > Life {
		t.Errorf("it expires in %v, %v", ttl, err)
	}
	// A read continues after the last ID, names may have any bytes, and entries of other programs are left out.
	last := found[len(found)-1].ID
	if err := rdb.XAdd(t.Context(), xadd("p:h", "nonsense")).Err(); err != nil {
		t.Fatal(err)
	}
	if err := other.AddIfThere(t.Context(), Entry{Kind: "broken", Name: "a\xff{}%\n", By: "me\xff", Why: "b\xffc", Owner: OwnerOf(redislock.Owner{Client: "c\xff", Host: "h", PID: 3, Metadata: "secret"}), Told: true}); err != nil {
		t.Fatal(err)
	}
	found = l.all(t, last)
	if len(found) != 1 || found[0].Name != "a\xff{}%\n" || found[0].By != "me?" || found[0].Why != "b?c" || found[0].Mine || !found[0].Told || found[0].Owner.Owner() != (redislock.Owner{Client: "c?", Host: "h", PID: 3}) || time.Since(found[0].At).Abs() > time.Minute {
		t.Errorf("%+v", found)
	}
}

func TestAnObserverTellsWhatIsLostAndAskedAndByWhom(t *testing.T) {
	t.Parallel()
	rdb := servertest.Start(t).Connect()
	l := Open(rdb, redislock.DefaultPrefix)
	me := redislock.Owner{Client: "app", Host: "node-1", PID: 7}
	observer, end := l.Observer(me)
	client, err := redislock.New(rdb, redislock.WithObserver(observer), redislock.WithName("app"))
	if err != nil {
		t.Fatal(err)
	}
	lock, err := client.Acquire(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	asking, err := redislock.New(rdb, redislock.WithName("operator"))
	if err != nil {
		t.Fatal(err)
	}
	asked := lock.Asked()
	for told := 0; told == 0; { // the holder may not be subscribed yet
		if told, err = asking.Ask(t.Context(), "x", "the hotfix"); err != nil {
			t.Fatal(err)
		}
	}
	<-asked
	if _, err := asking.Break(t.Context(), "x", "stuck"); err != nil {
		t.Fatal(err)
	}
	<-lock.Context().Done()
	short, err := client.Acquire(t.Context(), "y", redislock.WithMaxHold(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	<-short.Context().Done()
	for _, c := range []*redislock.Client{client, asking} {
		if err := c.Close(t.Context()); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	end(t.Context())
	end(t.Context())
	observer.Observe(redislock.Event{Kind: redislock.EventLost, Name: "too late"})
	said := map[string]Entry{}
	for _, e := range l.all(t, "") {
		said[e.Kind] = e
	}
	if e := said["asked"]; e.Why != "the hotfix" || e.Name != "x" || e.By == "" || !e.Told {
		t.Errorf("asked: %+v", e)
	}
	if e := said["broken"]; e.Why != "stuck" || e.Owner.Owner() != me || e.Fence == 0 {
		t.Errorf("broken: %+v", e)
	}
	if e := said["lost"]; e.Name != "y" || e.Why == "" || len(said) != 3 {
		t.Errorf("lost: %+v; all: %v", e, said)
	}
}

func xadd(key, text string) *redis.XAddArgs {
	return &redis.XAddArgs{Stream: key, Values: []any{"e", text}}
}
