package conformance

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"example.com/redislock/lua"
)

const (
	key     = "redislock:{k}"
	token   = "tttttttttttttttttttttt"
	request = "   30000    4600nonce-nonce-noncu" + "channel\n\ninfo"
)

// embedded is an embedded server, and what its Listener reports.
func embedded(t *testing.T) (*miniredis.Miniredis, *redis.Client, *Listener, *[]error) {
	m := miniredis.RunT(t)
	reported := new([]error)
	l := Listen(m, func(err error) { *reported = append(*reported, err) })
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr(), Protocol: 2})
	t.Cleanup(func() { _ = rdb.Close() })
	return m, rdb, l, reported
}

func run(t *testing.T, rdb *redis.Client, s *lua.Script, args ...any) {
	t.Helper()
	if err := rdb.Eval(context.Background(), s.Text, []string{key}, args...).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestEachScriptIsCompared(t *testing.T) {
	_, rdb, l, reported := embedded(t)
	run(t, rdb, lua.Acquire, token, request)
	run(t, rdb, lua.Acquire, strings.Repeat("u", 22), request)
	run(t, rdb, lua.Check, "channel", "u", "", strings.Repeat("u", 22))
	run(t, rdb, lua.Release, token)
	run(t, rdb, lua.Inspect, 10)
	if n := rdb.HDel(context.Background(), key, strings.Repeat("u", 22)).Val(); n != 1 {
		t.Errorf("released %d", n)
	}
	if accepted, skipped := l.Accepted(); accepted != 6 || skipped != 0 || len(*reported) > 0 {
		t.Errorf("%d were compared, %d skipped: %v", accepted, skipped, *reported)
	}
}

func TestADifferenceIsReportedWithTheCallTheStateAndBothAnswers(t *testing.T) {
	m, rdb, l, reported := embedded(t)
	run(t, rdb, lua.Acquire, token, request)
	m.HDel(key, token) // without the library
	run(t, rdb, lua.Release, token)
	if len(*reported) != 1 {
		t.Fatalf("reported: %v", *reported)
	}
	for _, says := range []string{"release", token, "hold " + token, "none", "  hold\n"} {
		if text := fmt.Sprint((*reported)[0]); !strings.Contains(text, says) {
			t.Errorf("%q is missing in\n%s", says, text)
		}
	}
	run(t, rdb, lua.Release, token) // the key is no longer followed
	if _, skipped := l.Accepted(); skipped != 1 || len(*reported) != 1 {
		t.Errorf("%d skipped: %v", skipped, *reported)
	}
}

func TestWhatIsWrittenByOtherCommandsIsNotFollowed(t *testing.T) {
	_, rdb, l, reported := embedded(t)
	ctx := context.Background()
	run(t, rdb, lua.Acquire, token, request)
	rdb.HSet(ctx, key, "x", "y")
	run(t, rdb, lua.Release, token)
	if _, skipped := l.Accepted(); skipped != 1 || len(*reported) > 0 {
		t.Errorf("%d skipped: %v", skipped, *reported)
	}
	rdb.FlushAll(ctx)
	run(t, rdb, lua.Acquire, token, request)
	if accepted, _ := l.Accepted(); accepted != 2 || len(*reported) > 0 {
		t.Errorf("after FLUSHALL %d were compared: %v", accepted, *reported)
	}
}
