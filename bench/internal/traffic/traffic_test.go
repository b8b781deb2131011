package traffic

import (
	"context"
	"math"
	"net"
	"testing"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/servertest"
)

func TestRequestsAreFoundWhereverAWriteEnds(t *testing.T) {
	t.Parallel()
	// The second argument of SET looks like a request of its own.
	stream := "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$14\r\n*1\r\n$4\r\nPING\r\n\r\n*1\r\n$4\r\nping\r\n*2\r\n$3\r\nget\r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n"
	for size := 1; size <= len(stream); size++ {
		var c Counter
		client, server := net.Pipe()
		go func() {
			conn := c.Wrap(client)
			for rest := stream; rest != ""; {
				n := min(size, len(rest))
				_, _ = conn.Write([]byte(rest[:n]))
				rest = rest[n:]
			}
			_ = conn.Close()
		}()
		got := make([]byte, len(stream)+1)
		n := 0
		for {
			more, err := server.Read(got[n:])
			n += more
			if err != nil {
				break
			}
		}
		if string(got[:n]) != stream {
			t.Fatalf("in pieces of %d: %q arrived", size, got[:n])
		}
		if s := c.Sent(); s["set"] != 1 || s["ping"] != 2 || s["get"] != 1 || s.Total() != 4 {
			t.Fatalf("in pieces of %d: %v", size, s)
		}
	}
}

func TestARequestIsCountedOnceAndWhatItsScriptCallsIsNot(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := servertest.Start(t)
	var c Counter
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr(), Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return c.Wrap(conn), nil
	}})
	t.Cleanup(func() { _ = rdb.Close() })
	const script = "for i = 1, 1000 do redis.call('SET', KEYS[1], i) end return 1"
	if err := rdb.Ping(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	sent := c.Sent()
	before, err := Read(ctx, s.Admin())
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := rdb.Eval(ctx, script, []string{"k"}).Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.Get(ctx, "k")
			p.Set(ctx, "k", 1, 0)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	after, err := Read(ctx, s.Admin())
	if err != nil {
		t.Fatal(err)
	}
	sent = c.Sent().Since(sent)
	if sent["eval"] != 10 || sent["get"] != 10 || sent["set"] != 10 {
		t.Errorf("sent: %v", sent)
	}
	used := after.Since(before)
	if n := used["set"].Calls; n != 10*1000+10 {
		t.Errorf("the server counts %d SET", n)
	}
	want := float64(used["eval"].Micros+used["get"].Micros) + float64(used["set"].Micros)*10/(10*1000+10)
	connected := float64(used["hello"].Micros + used["client"].Micros)
	if micros := used.Micros(sent); micros < want-0.001 || micros > want+connected+0.001 {
		t.Errorf("%v µs for the requests, and not %v, for the server says %v", micros, want, used)
	}
}

func TestSubcommandsAreOneCommand(t *testing.T) {
	t.Parallel()
	u, err := parse("# Commandstats\r\ncmdstat_client|setinfo:calls=2,usec=5,usec_per_call=2.50\r\ncmdstat_client|id:calls=1,usec=1,usec_per_call=1.00\r\n" +
		"cmdstat_set:calls=4,usec=8,usec_per_call=2.00\r\ncmdstat_evalsha:calls=3,usec=30,usec_per_call=10.00\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if u["client"] != (Cost{3, 6}) || len(u) != 3 {
		t.Errorf("%v", u)
	}
	// One of the four SET was a request, the others were in scripts.
	if m := u.Micros(Sent{"set": 1, "evalsha": 3}); math.Abs(m-32) > 1e-9 {
		t.Errorf("%v µs", m)
	}
	if _, err := parse("cmdstat_set:calls=many"); err == nil {
		t.Error("nonsense was understood")
	}
}
