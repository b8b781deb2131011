package servertest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/servertest"
)

// command matches requests by their first words.
func command(words ...string) func([]string) bool {
	return func(args []string) bool {
		if len(args) < len(words) {
			return false
		}
		for i, word := range words {
			if args[i] != word {
				return false
			}
		}
		return true
	}
}

// within waits for a fault, at most ten seconds.
func within(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("not within ten seconds: %s", what)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not within ten seconds: %s", what)
		}
	}
}

// protocols runs a test with both versions of RESP, on a server and a proxy of its own.
func protocols(t *testing.T, test func(t *testing.T, s *servertest.Server, p *servertest.Proxy, protocol func(*redis.Options))) {
	t.Parallel()
	for _, version := range []int{2, 3} {
		t.Run(fmt.Sprintf("RESP%d", version), func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t)
			test(t, s, servertest.NewProxy(t, s.Addr()), func(o *redis.Options) { o.Protocol = version })
		})
	}
}

func TestWithoutFaultsEverythingPasses(t *testing.T) {
	protocols(t, func(t *testing.T, _ *servertest.Server, p *servertest.Proxy, protocol func(*redis.Options)) {
		ctx := context.Background()
		rdb := p.Connect(protocol)
		pipe := rdb.Pipeline()
		for i := range 500 {
			pipe.HSet(ctx, "h", fmt.Sprint(i), strings.Repeat("x\r\n", i))
		}
		pipe.HGetAll(ctx, "h") // a map in RESP3
		pipe.Get(ctx, "none")  // a null
		pipe.Do(ctx, "nonsense")
		pipe.ZAdd(ctx, "z", redis.Z{Score: 1.5, Member: "m"})
		pipe.ZScore(ctx, "z", "m") // a double in RESP3
		pipe.Eval(ctx, "return {1,{'two',{}},false}", nil)
		pipe.SMembers(ctx, "none") // an empty set in RESP3
		pipe.Ping(ctx)
		cmds, _ := pipe.Exec(ctx)
		cmds = cmds[500:]
		if got := cmds[0].(*redis.MapStringStringCmd).Val(); len(got) != 500 || got["499"] != strings.Repeat("x\r\n", 499) {
			t.Errorf("HGETALL has %d fields", len(got))
		}
		if err := cmds[1].Err(); !errors.Is(err, redis.Nil) {
			t.Errorf("GET of nothing: %v", err)
		}
		if err := cmds[2].Err(); !redis.HasErrorPrefix(err, "unknown command") {
			t.Errorf("an unknown command: %v", err)
		}
		if got := cmds[4].(*redis.FloatCmd).Val(); got != 1.5 {
			t.Errorf("ZSCORE = %v", got)
		}
		if got := fmt.Sprint(cmds[5].(*redis.Cmd).Val()); got != "[1 [two []] <nil>]" {
			t.Errorf("EVAL = %v", got)
		}
		if got := cmds[7].(*redis.StatusCmd).Val(); got != "PONG" {
			t.Errorf("the last of the pipeline = %q", got)
		}

		sub := rdb.Subscribe(ctx, "c", "d")
		t.Cleanup(func() { _ = sub.Close() })
		for range 2 {
			if _, err := sub.Receive(ctx); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 100 {
			rdb.Publish(ctx, "d", i)
		}
		for i := range 100 {
			m, err := sub.ReceiveMessage(ctx)
			if err != nil || m.Payload != fmt.Sprint(i) {
				t.Fatalf("message %d: %v, %v", i, m, err)
			}
		}
		if st := p.Stats(); st.Subscribed != 1 || st.Open != st.Accepted || st.Requests < 608 || st.Replies < 608 || st.Swallowed+st.Dropped != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestTheNthReplyIsSwallowedAndTheRequestExecuted(t *testing.T) {
	protocols(t, func(t *testing.T, s *servertest.Server, p *servertest.Proxy, protocol func(*redis.Options)) {
		ctx := context.Background()
		direct := s.Connect()
		for name, swallow := range map[string]func(func([]string) bool, int) *servertest.Fault{
			"mute": p.SwallowReply, "closed": p.SwallowReplyAndClose,
		} {
			rdb := p.Connect(protocol, impatient)
			f := swallow(command("incr", name), 3)
			for i := 1; i <= 5; i++ {
				err := rdb.Incr(ctx, name).Err()
				var timeout net.Error
				switch {
				case i != 3 && err != nil:
					t.Errorf("%s: INCR %d: %v", name, i, err)
				case i == 3 && name == "mute" && !(errors.As(err, &timeout) && timeout.Timeout()):
					t.Errorf("mute: the reply of INCR 3: %v, want a timeout", err)
				case i == 3 && name == "closed" && !errors.Is(err, io.EOF):
					t.Errorf("closed: the reply of INCR 3: %v, want EOF", err)
				}
			}
			within(t, "the reply is swallowed", f.Executed())
			if got, _ := direct.Get(ctx, name).Int(); got != 5 {
				t.Errorf("%s: %d INCRs executed, want all 5", name, got)
			}
		}
	})
}

func TestAReplyIsSwallowedInTheMiddleOfAPipeline(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := servertest.Start(t)
	p := servertest.NewProxy(t, s.Addr())
	rdb := p.Connect(impatient)
	p.SwallowReply(command("incr"), 3)
	pipe := rdb.Pipeline()
	for range 5 {
		pipe.Incr(ctx, "n")
	}
	cmds, err := pipe.Exec(ctx)
	if err == nil {
		t.Error("the pipeline succeeded")
	}
	for i, cmd := range cmds {
		if got := cmd.(*redis.IntCmd).Val(); i < 2 && got != int64(i+1) || i >= 2 && cmd.Err() == nil {
			t.Errorf("INCR %d of the pipeline = %d, %v", i+1, got, cmd.Err())
		}
	}
	if got, _ := s.Connect().Get(ctx, "n").Int(); got != 5 {
		t.Errorf("%d INCRs executed, want 5", got)
	}
}

func TestTwoFaultsNeedTwoRequests(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := servertest.Start(t)
	p := servertest.NewProxy(t, s.Addr())
	rdb := p.Connect(impatient)
	p.SwallowReply(command("incr"), 1)
	p.SwallowReply(command("incr"), 1)
	for i, fails := range []bool{true, true, false, false} {
		rdb.Get(ctx, "n") // no fault is about this command
		if err := rdb.Incr(ctx, "n").Err(); (err != nil) != fails {
			t.Errorf("INCR %d: %v", i+1, err)
		}
	}
}

func TestALateRequestArrivesAlthoughItsClientIsGone(t *testing.T) {
	protocols(t, func(t *testing.T, s *servertest.Server, p *servertest.Proxy, protocol func(*redis.Options)) {
		ctx := context.Background()
		direct := s.Connect()
		rdb := p.Connect(protocol, impatient)

		late := p.HoldRequest(command("set", "k"))
		if err := rdb.Set(ctx, "k", "late", 0).Err(); err == nil {
			t.Error("a request that is held back was answered")
		}
		within(t, "the request is caught", late.Caught())
		if err := rdb.Set(ctx, "k", "soon", 0).Err(); err != nil {
			t.Errorf("the second copy: %v", err)
		}
		if got := direct.Get(ctx, "k").Val(); got != "soon" {
			t.Errorf("k = %q before the late copy", got)
		}
		_ = rdb.Close()
		late.Deliver()
		within(t, "the late copy is executed", late.Executed())
		if got := direct.Get(ctx, "k").Val(); got != "late" {
			t.Errorf("k = %q after the late copy", got)
		}

		timed := p.DelayRequest(command("incr", "n"), 30*time.Millisecond)
		start := time.Now()
		if err := p.Connect(protocol).Incr(ctx, "n").Err(); err != nil || time.Since(start) < 30*time.Millisecond {
			t.Errorf("INCR after %v: %v", time.Since(start), err)
		}
		within(t, "the delayed copy is executed", timed.Executed())
	})
}

func TestMuteDropsInBothDirectionsAndKeepsConnections(t *testing.T) {
	protocols(t, func(t *testing.T, s *servertest.Server, p *servertest.Proxy, protocol func(*redis.Options)) {
		ctx := context.Background()
		direct := s.Connect()
		rdb := p.Connect(protocol, impatient)
		sub := rdb.Subscribe(ctx, "c")
		t.Cleanup(func() { _ = sub.Close() })
		if _, err := sub.Receive(ctx); err != nil {
			t.Fatal(err)
		}

		p.Mute()
		if err := rdb.Incr(ctx, "n").Err(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("INCR: %v, want a timeout", err)
		}
		if got := direct.Publish(ctx, "c", "lost").Val(); got != 1 {
			t.Errorf("%d receivers, want the one that does not know that it is cut off", got)
		}
		if got := direct.Exists(ctx, "n").Val(); got != 0 {
			t.Error("a request went through")
		}
		eventually(t, "request and message are dropped", func() bool { return p.Stats().Dropped >= 2 })

		p.Unmute()
		if err := rdb.Incr(ctx, "n").Err(); err != nil {
			t.Errorf("after Unmute: %v", err)
		}
		direct.Publish(ctx, "c", "found")
		m, err := sub.ReceiveTimeout(ctx, 10*time.Second)
		if got, ok := m.(*redis.Message); !ok || got.Payload != "found" {
			t.Errorf("received %v, %v, want what was sent after Unmute, on the same connection", m, err)
		}
	})
}

func TestMuteSubscriptionsLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := servertest.Start(t)
	p := servertest.NewProxy(t, s.Addr())
	direct, rdb := s.Connect(), p.Connect(impatient)
	old := rdb.Subscribe(ctx, "c")
	t.Cleanup(func() { _ = old.Close() })
	if _, err := old.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	if n := p.MuteSubscriptions(); n != 1 {
		t.Errorf("%d muted, want 1", n)
	}
	if err := rdb.Ping(ctx).Err(); err != nil {
		t.Errorf("another connection: %v", err)
	}
	fresh := rdb.Subscribe(ctx, "c")
	t.Cleanup(func() { _ = fresh.Close() })
	if _, err := fresh.Receive(ctx); err != nil {
		t.Errorf("a new subscription: %v", err)
	}
	if got := direct.Publish(ctx, "c", "m").Val(); got != 2 {
		t.Errorf("%d receivers, want 2", got)
	}
	if m, err := fresh.ReceiveMessage(ctx); err != nil || m.Payload != "m" {
		t.Errorf("the new subscription received %v, %v", m, err)
	}
	if m, err := old.ReceiveTimeout(ctx, 50*time.Millisecond); err == nil {
		t.Errorf("the mute subscription received %v", m)
	}
	_ = old.Close() // the server does not learn of the close
	if got := direct.Publish(ctx, "c", "m").Val(); got != 2 {
		t.Errorf("%d receivers, want the half-open one among them", got)
	}
	p.Unmute()
	eventually(t, "the server learns that the client is gone", func() bool { return direct.Publish(ctx, "c", "m").Val() == 1 })
}

func TestClosedConnectionsAreMadeAnew(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := servertest.Start(t)
	p := servertest.NewProxy(t, s.Addr())
	rdb := p.Connect()
	sub := rdb.Subscribe(ctx, "c")
	t.Cleanup(func() { _ = sub.Close() })
	if _, err := sub.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	rdb.Ping(ctx)
	before := p.Stats().Accepted
	if n := p.CloseSubscriptions(); n != 1 {
		t.Errorf("%d closed, want 1", n)
	}
	eventually(t, "the server counts no receiver", func() bool { return s.Connect().Publish(ctx, "c", "m").Val() == 0 })
	if err := rdb.Ping(ctx).Err(); err != nil || p.Stats().Accepted != before {
		t.Errorf("another connection: %v, %d made anew", err, p.Stats().Accepted-before)
	}
	p.CloseAll()
	eventually(t, "no connection is open", func() bool { return p.Stats().Open == 0 })
	if err := rdb.Ping(ctx).Err(); err != nil { // resent by the client
		t.Errorf("after CloseAll: %v", err)
	}
	if got := p.Stats().Accepted; got == before {
		t.Error("no connection was made anew")
	}
}

func TestTheProxyOutlivesItsServer(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := servertest.Start(t)
	p := servertest.NewProxy(t, s.Addr())
	rdb := p.Connect(impatient)
	rdb.Ping(ctx)
	s.Kill()
	if err := rdb.Ping(ctx).Err(); err == nil {
		t.Error("a killed server answers")
	}
	s.Restart()
	eventually(t, "the server answers again", func() bool { return rdb.Ping(ctx).Err() == nil })
}

func TestAPipelineIsExecutedToItsEndWhenAReplyBreaksTheConnection(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := servertest.Start(t)
	p := servertest.NewProxy(t, s.Addr())
	direct := s.Connect()
	for i := range 50 {
		f := p.SwallowReplyAndClose(command("incr"), 1)
		g := p.SwallowReplyAndClose(command("incr"), 2)
		rdb := p.Connect(func(o *redis.Options) { o.MaxRetries = -1 })
		pipe := rdb.Pipeline()
		for range 3 {
			pipe.Incr(ctx, fmt.Sprint("n", i))
		}
		if _, err := pipe.Exec(ctx); err == nil {
			t.Error("the pipeline succeeded")
		}
		within(t, "the first reply is lost", f.Executed())
		within(t, "the second reply is lost", g.Executed())
		eventually(t, "all are executed", func() bool {
			n, _ := direct.Get(ctx, fmt.Sprint("n", i)).Int()
			return n == 3
		})
		_ = rdb.Close()
	}
}
