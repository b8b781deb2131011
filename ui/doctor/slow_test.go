package doctor

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestTheAdviceForSlowCommandsFitsThoseThatAreNamed(t *testing.T) {
	const machine, sent = "the machine of Redis has too little processor time", "SLOWLOG GET shows when they ran and which clients sent them"
	for _, c := range []struct {
		commands string // one in each line
		named    string
		fix      string
	}{
		{"KEYS *", "KEYS", sent + "; use SCAN for KEYS"},
		{"DEL a b\nunlink c", "DEL, UNLINK", sent + "; use UNLINK for DEL; have UNLINK do less at a time, or use another server for it"},
		{"FLUSHALL", "FLUSHALL", sent + "; give FLUSHALL the word ASYNC"},
		{"SCAN 0 COUNT 100000", "SCAN", sent + "; give SCAN a smaller COUNT"},
		{"SCAN 0 MATCH session:* COUNT 100000", "SCAN", sent + "; give SCAN a smaller COUNT"},
		{"EVALSHA 0123 1 shop:1", "EVALSHA", sent + "; have the script of EVALSHA do less at a time"},
		{"EVAL text", "EVAL", sent + "; have the script of EVAL do less at a time"},
		{"scan 0 match lock:{* count 1000\nevalsha 0123 1 lock:{orders/7}", "EVALSHA (redislock's), SCAN (redislock's)", machine},
		{"XRANGE lock:h - +\nXRANGE lockers - +", "XRANGE, XRANGE (redislock's)", machine},
	} {
		f := facts{settings: settings{prefix: "lock"}}
		for line := range strings.Lines(c.commands) {
			f.slow = append(f.slow, redis.SlowLog{Time: time.Now(), Duration: time.Second, Args: strings.Fields(line)})
		}
		got := one(t, slowCommands(&f))
		if !strings.HasSuffix(got.Found, ": "+c.named) || c.fix != machine && got.Fix != c.fix || strings.Contains(got.Fix, machine) != (c.fix == machine) {
			t.Errorf("%q: %s, %s", c.commands, got.Found, got.Fix)
		}
		if c.named == "EVALSHA (redislock's), SCAN (redislock's)" && (strings.Contains(got.Fix, "COUNT") || strings.Contains(got.Fix, "script")) {
			t.Errorf("redislock's own need no advice for their sender: %s", got.Fix)
		}
	}
}
