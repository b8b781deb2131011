package torture

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// hostile is a server with settings that are bad for its clients: connections are closed after a second without traffic,
// buffers are tiny, and background work is delayed as far as possible. A buffer cannot be below 32 KiB: Redis 7 reserves
// 16 KiB for the shortest answer of more than one part.
func hostile(t *testing.T) *Site {
	site := OneServer(
		"--timeout", "1", "--tcp-keepalive", "1", "--tcp-backlog", "8", "--hz", "1", "--dynamic-hz", "no",
		"--client-output-buffer-limit", "normal 65536 40960 1", "--client-output-buffer-limit", "pubsub 16384 4096 1",
		"--client-query-buffer-limit", "1048576", "--maxclients", "90", "--busy-reply-threshold", "5",
		"--lazyfree-lazy-expire", "yes", "--lazyfree-lazy-server-del", "yes", "--lazyfree-lazy-user-del", "yes",
		"--hash-max-listpack-entries", "1", "--hash-max-listpack-value", "1", "--activerehashing", "no",
		"--notify-keyspace-events", "KEA", "--slowlog-log-slower-than", "0", "--active-expire-effort", "10",
	)(t)
	connect := site.Connect
	site.Connect = func(worker int) Connect {
		c := connect(worker)
		c.PoolSize = 4
		return c
	}
	return site
}

// slowScript blocks the server. ARGV[1] is the number of its rounds, so the time depends on the machine.
const slowScript = `local n = 0; for i = 1, tonumber(ARGV[1]) do n = n + i % 7 end; return n`

func TestAHostileConfigurationCostsTimeAndNoLock(t *testing.T) {
	cut := int64(0)
	played(t, Row{
		Fault: "hostile CONFIG, and scripts that block the server",
		Promise: "Settings that do not make the server forget what it has answered cost time and never the lock. The Client makes " +
			"closed connections anew, and asks a busy server again. An acquire that is refused four times returns the error.",
		Topology:    hostile,
		Load:        Load{Think: Span{0, 60 * time.Millisecond}},
		Bound:       8 * time.Second,
		Unreachable: true, // a server that is too busy may turn an acquire away
		Inject: func(x *Run) {
			ctx := context.Background()
			stranger := x.Server.Connect(func(o *redis.Options) { o.ReadTimeout = patience })
			for i := 0; x.Every(100 * time.Millisecond); i++ {
				x.Fault("a script blocked the server")
				x.notBusy(stranger.Eval(ctx, slowScript, nil, []int{1e6, 1e7}[i%2]).Err())
				if i%3 == 2 {
					x.Fault("connections were cut")
					n, err := x.Admin.ClientKillByFilter(ctx, "TYPE", "normal", "SKIPME", "yes").Result()
					x.notBusy(err)
					cut += n
				}
			}
		},
	})
	if t.Logf("%d connections were cut", cut); cut == 0 {
		t.Error("no connection was cut")
	}
}

// notBusy is done, but ignores a refusal that is due to a script of others.
func (x *Run) notBusy(err error) {
	x.Helper()
	if !redis.HasErrorPrefix(err, "BUSY") {
		x.done(err)
	}
}
