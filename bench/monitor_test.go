package main

import (
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/servertest"
)

func TestMonitoredIsWhatClientsSentAndNotWhatTheirScriptsDid(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	rdb := s.Connect()
	odd := "a \"b\"\\ \r\n\x00\xff é"
	all, err := monitored(t.Context(), s.Addr(), func() error {
		if err := rdb.Set(t.Context(), "k", odd, 0).Err(); err != nil {
			return err
		}
		return rdb.Eval(t.Context(), "return redis.call('GET', KEYS[1])", []string{"k"}, odd).Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	sent := about(all, "k")
	if len(sent) != 2 || !slices.Equal(sent[0].args, []string{"set", "k", odd}) || sent[1].args[0] != "eval" {
		t.Errorf("%v", sent)
	}
	if names := commandsAbout(all, odd); !slices.Equal(names, []string{"set", "eval"}) {
		t.Errorf("commands %q", names)
	}
	if !slices.ContainsFunc(all, func(r request) bool { return r.script && r.args[0] == "GET" }) {
		t.Errorf("no script called GET: %v", all)
	}
	if _, err := monitored(t.Context(), s.Addr(), func() error { return redis.Nil }); err != redis.Nil {
		t.Errorf("its error is %v", err)
	}
	if _, err := parseMonitor("+OK"); err == nil {
		t.Error("a line that is none is taken for one")
	}
}
