package doctor

import (
	"context"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/servertest"
)

func TestTheMastersOfAQuorumAreIndependent(t *testing.T) {
	t.Parallel()
	a, b, c := servertest.Start(t), servertest.Start(t), servertest.StartWithClock(t)
	again := a.Connect(func(o *redis.Options) { o.Addr = "localhost" + strings.TrimPrefix(o.Addr, "127.0.0.1") })
	clocked := c.Connect()
	c.SetClock(3600e9)
	says := func(want string, level Level, masters ...redis.UniversalClient) {
		t.Helper()
		r := ExamineQuorum(context.Background(), masters, "redislock")
		for _, f := range r.Findings {
			if strings.Contains(f.Found, want) && f.Level == level && strings.HasPrefix(f.Check, "quorum") {
				return
			}
		}
		t.Errorf("%q is not said: %+v", want, r.Findings)
	}
	says("are one server", Danger, a.Connect(), b.Connect(), again)
	says("are on one host", Warning, a.Connect(), b.Connect(), clocked)
	says("have clocks that are", Warning, a.Connect(), b.Connect(), clocked)
	b.Follow(a)
	says("have a replication link", Danger, a.Connect(), b.Connect(), clocked)
	says("it is a replica", Danger, a.Connect(), b.Connect(), clocked)
}
