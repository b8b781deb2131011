package redislock

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/protocol"
)

func FuzzOwnersSurviveTheJourney(f *testing.F) {
	f.Add("api", "node-3", 12, "line\nbreaks\n\n")
	f.Fuzz(func(t *testing.T, client, host string, pid int, metadata string) {
		_ = parseOwner(client + "\n" + host + "\n" + metadata).String() // whatever it is
		if strings.Contains(client+host, "\n") {
			return // names and hosts are one line: New sees to it
		}
		o := Owner{Client: client, Host: host, PID: pid, Metadata: metadata}
		if got := parseOwner(o.info()); got != o {
			t.Errorf("%+v came back as %+v", o, got)
		}
	})
}

// What a caller says about itself goes through the scripts, which look into the record it is part of.
func FuzzNamesAndMetadataSurviveTheScripts(f *testing.F) {
	f.Add("invoice/42", "nightly\nrun", byte(0), "second")
	f.Add("{%}\x00", "\n\n1 0 read read=*\n", byte(1), "\x00")
	f.Add("a b", "%d %s %(", byte(2), strings.Repeat("-", 22))
	rdb := redis.NewClient(&redis.Options{Addr: miniredis.RunT(f).Addr()})
	c, err := New(rdb)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		_ = c.Close(context.Background())
		_ = rdb.Close()
	})
	modes := []Mode{Exclusive, Read, Semaphore(7), NewMode("a.b-c_d", AtMost(3, "a.b-c_d"), CompatibleWith("read"))}
	f.Fuzz(func(t *testing.T, name, metadata string, which byte, second string) {
		if name == "" || len(name) > MaxName || len(metadata) > MaxMetadata || len(second) > MaxMetadata {
			return // refused before anything is sent
		}
		ctx := context.Background()
		m := modes[int(which)%len(modes)]
		var held []*Lock
		for _, text := range []string{metadata, second} {
			l, err := c.Acquire(ctx, name, WithMode(m), WithMetadata(text), WithWait(0))
			if err == nil {
				held = append(held, l)
			} else if m != Exclusive || len(held) == 0 {
				t.Fatal(err)
			}
		}
		info, err := c.Inspect(ctx, name)
		if err != nil || len(info.Holds) != len(held) {
			t.Fatalf("%+v, %v", info, err)
		}
		for i, text := range []string{metadata, second}[:len(held)] {
			if h := info.Holds[i]; h.Owner.Metadata != text || h.Mode != m || h.Fence != held[i].Fence() {
				t.Errorf("%q in %v came back as %+v", text, m, h)
			}
		}
		for _, l := range held {
			if err := l.Release(ctx); err != nil {
				t.Error(err)
			}
		}
	})
}

func FuzzModesSurviveTheJourney(f *testing.F) {
	f.Add("IS", "IX", 3, 2, 0)
	f.Add("a=1,b", "read", -1, 1, 5)
	f.Fuzz(func(t *testing.T, name, other string, most, weight, size int) {
		for _, m := range []Mode{NewMode(name, AtMost(most, other), CompatibleWith(name)), Semaphore(size)} {
			if m.check(weight) != nil || weight < 1 {
				continue // refused before anything is sent
			}
			line := m.wire.Line(weight, "")
			if strings.Contains(line, "\n") || strings.Count(line, " ") != 3 {
				t.Errorf("the line %q is not one of four words", line)
			}
			if got, w := protocol.ParseMode(line); got != m.wire || w != weight {
				t.Errorf("%+v, weight %d, came back as %+v, %d", m, weight, got, w)
			}
			if !m.covers(weight, m, weight) {
				t.Errorf("%v does not cover itself", m)
			}
		}
		_, _ = protocol.ParseMode(name + " " + other) // whatever it is
	})
}

func FuzzTicketsAreTheirOwnOrInvalid(f *testing.F) {
	f.Add("name", "redislock", "redislock1.AAAA")
	f.Fuzz(func(t *testing.T, name, prefix, garbage string) {
		c, err := New(redis.NewClient(&redis.Options{}), WithPrefix(prefix))
		if err != nil || checkName(name) != nil {
			return
		}
		want := handoff{name: name, token: protocol.NewToken(), fence: time.Unix(1795247725, 0).Format("20060102150405") + "00"}
		if got, err := c.parseTicket(want.ticket(prefix)); err != nil || got != want {
			t.Errorf("%+v came back as %+v, %v", want, got, err)
		}
		if got, err := c.parseTicket(garbage); err == nil && got.ticket(prefix) != garbage {
			t.Errorf("%q was taken for %+v", garbage, got)
		}
	})
}
