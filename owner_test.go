package redislock_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// Whoever starts a program chooses what it is called.
func TestAnyArgumentsOfTheProgramGiveAName(t *testing.T) {
	was := os.Args
	defer func() { os.Args = was }()
	for _, args := range [][]string{
		nil, {""}, {"/usr/bin/api"}, {"api (pid 1 on node)\nforged\n1\n"}, {"a\x00b\x7f\u0085"}, {"\xff\xfe"}, {strings.Repeat("ä", 100)},
	} {
		embedded(t, 0, func(e *env, _ *fakenet.Network) {
			os.Args = args
			named, c := e.client(redislock.WithName("named")), e.client()
			e.release(e.acquire(named, "x"))
			l := e.acquire(c, "x")
			info, err := c.Inspect(context.Background(), "x")
			if err != nil || len(info.Holds) != 1 {
				t.Fatalf("%q: %+v, %v", args, info, err)
			}
			owner := info.Holds[0].Owner
			name := owner.Client
			if name == "" || len(name) > 128 || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
				t.Errorf("%q: the name is %q", args, name)
			}
			if owner.PID != os.Getpid() || owner.Metadata != "" {
				t.Errorf("%q: the owner is %+v", args, owner)
			}
			e.release(l)
		})
	}
}

// What others write cannot steer the terminal of who prints an error, nor add lines to a log.
func TestAnErrorShowsWhatOthersWroteOnOneLineWithoutControls(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		const nasty = "a\x1b]52;c;x\x07\nheld by root\u202e\u200b\xff"
		shown := func(text string) {
			t.Helper()
			if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("shown: %q", text)
			}
		}
		ctx := context.Background()
		a, b := e.client(redislock.WithName("api\u202e\u200b")), e.client()
		l := e.acquire(a, "x", redislock.WithMetadata(nasty))
		_, err := b.TryAcquire(ctx, "x")
		held, is := errors.AsType[*redislock.HeldError](err)
		if !is || held.Holder.Metadata != nasty { // who computes with it has it as it is
			t.Fatalf("%v", err)
		}
		shown(err.Error())
		shown(held.Holder.String())
		if _, err := b.Break(ctx, "x", nasty); err != nil {
			t.Fatal(err)
		}
		<-l.Context().Done()
		shown(l.Err().Error())
		shown(l.Release(ctx).Error())

		// A mode whose name no call of NewMode makes.
		key := "redislock:{y}"
		l = e.acquire(a, "y", redislock.WithMode(redislock.NewMode("shared", redislock.CompatibleWith("shared"))))
		for field, value := range e.raw.HGetAll(ctx, key).Val() {
			e.raw.HSet(ctx, key, field, strings.ReplaceAll(value, "shared", "sh\x1b[2J"))
		}
		info, err := b.Inspect(ctx, "y")
		if err != nil || len(info.Holds) != 1 {
			t.Fatalf("%+v, %v", info, err)
		}
		shown(info.Holds[0].Mode.String())
		shown(info.Holds[0].Mode.Name())
		e.raw.Del(ctx, key)
		_ = l.Release(ctx)
	})
}
