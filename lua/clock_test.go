package lua_test

import (
	"strings"
	"testing"

	"example.com/redislock/internal/servertest"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

// Every script that reads the clock refuses a time that does not have 16 digits of µs, before it writes anything.
func TestScriptsRefuseAClockThatTheyCannotCompare(t *testing.T) {
	rdb := servertest.Start(t).Connect()
	for _, seconds := range []string{"0", "90000000", "10000000000", "100000000000"} {
		for _, s := range []*lua.Script{
			lua.Acquire, lua.AcquireOwn, lua.Release, lua.Renew, lua.Keep, lua.Check, lua.Break, lua.Confirm, lua.Convert,
			lua.Resume, lua.Inspect, lua.Watch, lua.Ask, lua.Limit, lua.Record,
		} {
			forged := "local real = redis\nlocal redis = {pcall = real.pcall, error_reply = real.error_reply, call = function(command, ...)\n" +
				"if command == 'TIME' then return {'" + seconds + "', '5'} end\nreturn real.call(command, ...)\nend}\n"
			keys := []string{"k", "r"}[:s.Keys]
			err := rdb.Eval(t.Context(), forged+s.Text, keys, "token", "request", "", "", "").Err()
			if err == nil || !strings.Contains(err.Error(), "CLOCK the server's clock says "+seconds+" s since 1970") || transport.Damaged(err) {
				t.Errorf("%s at %s s: %v", s.Name, seconds, err)
			}
		}
	}
	if n := rdb.DBSize(t.Context()).Val(); n > 0 {
		t.Errorf("%d keys were written", n)
	}
}
