package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"example.com/redislock"
	"example.com/redislock/cmd/redislock/internal/safetext"
)

// as is a separate Client, as another process has one.
func (f *fixture) as(name string) *redislock.Client {
	f.Helper()
	c, err := redislock.New(f.rdb, redislock.WithPrefix(f.prefix), redislock.WithName(name))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// under lets a Client that holds one lock ask for another, in the background, and give both back. It returns when the wait has
// begun.
func (f *fixture) under(c *redislock.Client, held *redislock.Lock, name, metadata string) (ended <-chan error) {
	f.Helper()
	before, err := f.client.Inspect(f.Context(), name)
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		l, err := c.Acquire(held.With(ctx), name, redislock.WithMetadata(metadata))
		if err == nil {
			err = l.Release(context.Background())
		}
		done <- errors.Join(err, held.Release(context.Background()))
	}()
	f.Cleanup(func() {
		cancel()
		<-finished
	})
	f.until(name, waiting(before.Waiting+1))
	return done
}

func (f *fixture) acquires(c *redislock.Client, name, metadata string) *redislock.Lock {
	f.Helper()
	l, err := c.Acquire(f.Context(), name, redislock.WithMetadata(metadata))
	if err != nil {
		f.Fatal(err)
	}
	return l
}

func TestDeadlocksDrawsWhoWaitsNamesTheCircleAndHowItIsBroken(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	if out := f.wants(0, []string{"deadlocks"}); out != "" {
		t.Errorf("where nobody waits: %q", out)
	}
	f.wants(0, []string{"deadlocks", "--color", "always"}, "nobody waits in a circle, and nobody holds a lock and waits for another, under the prefix ")
	f.wants(0, []string{"deadlocks", "-o", "json"}, `{"waits":[],"deadlocks":[]}`)
	api, web, app := f.as("api"), f.as("web"), f.as("app")
	orders, stock, mail := f.acquires(api, "orders/7", "the import"), f.acquires(web, "stock/9", "the inventory"), f.acquires(app, "mail", "")
	f.under(app, mail, "orders/7", "the letter")
	first := f.under(api, orders, "stock/9", "take one")
	f.wants(0, []string{"deadlocks"}, "Who waits for whom\n", "stock/9 (the inventory) is held by web (pid ", "\n  ← api (pid ", "it holds orders/7", "\n    ← app (pid ", "it holds mail")
	if out := f.wants(0, []string{"show", "stock/9"}); strings.Contains(out, "Deadlock:") {
		t.Errorf("of a chain: %s", out)
	}
	second := f.under(web, stock, "orders/7", "check one")

	out := f.wants(1, []string{"deadlocks"})
	flat := strings.Join(strings.Fields(out), " ")
	for _, want := range []string{
		"Deadlock: ", " wait for each other, for ", "holds orders/7 (the import), for ", "has waited for stock/9 (take one) for ", "holds stock/9 (the inventory), for ", "has waited for orders/7 (check one) for ",
		"Break stock/9, which web (pid ", ") holds: it began to wait last, and", "redislock break stock/9 --reason '...' --redis " + strings.TrimPrefix(f.url, "redis://") + " --prefix " + f.prefix, "Who waits for whom", "(see above)", "Behind them waits app (pid ",
	} {
		if !strings.Contains(flat, want) {
			t.Errorf("it does not say %q: %s", want, out)
		}
	}
	for line := range strings.Lines(out) {
		if ansi.StringWidth(strings.TrimSpace(line)) > 80 && !strings.Contains(line, "redislock break") {
			t.Errorf("wider than 80 columns: %q", line)
		}
	}
	for _, name := range []string{"orders/7", "stock/9"} {
		f.wants(0, []string{"show", name}, "Deadlock: ", "redislock break stock/9 --reason '...'")
	}
	if out := f.wants(0, []string{"ls", "--color", "always"}); !strings.Contains(out, "stock/9 and 1 more: deadlock: ") || strings.Contains(out, "for long") {
		t.Errorf("ls: %s", out)
	}
	if out := f.wants(0, []string{"show", "mail"}); strings.Contains(out, "Deadlock:") {
		t.Errorf("of a lock that is in no circle: %s", out)
	}
	var g graphJSON
	if err := json.Unmarshal([]byte(f.wants(1, []string{"deadlocks", "-o", "json"})), &g); err != nil || len(g.Waits) != 3 || len(g.Deadlocks) != 1 || g.Deadlocks[0].Break != "stock/9" || g.Deadlocks[0].Fence != stock.Fence() {
		t.Fatalf("%+v, %v", g, err)
	}
	for _, e := range g.Deadlocks[0].Waits {
		if e.Hold.Client == "" || e.Blocker.Client == e.Hold.Client || e.Place.Client != e.Hold.Client || e.WaitedSeconds <= 0 || e.Hold.Metadata == "" {
			t.Errorf("%+v", e)
		}
	}
	if _, _, stderr := f.cli(f.url, "deadlocks", "x"); !strings.Contains(stderr, "unknown command") && !strings.Contains(stderr, "accepts") {
		t.Errorf("an argument: %q", stderr)
	}

	f.wants(0, []string{"break", "--yes", "--reason", "deadlock", "stock/9"})
	if err := <-first; err != nil {
		t.Errorf("the one that was let go on: %v", err)
	}
	if err := <-second; !errors.Is(err, redislock.ErrLost) {
		t.Errorf("the one that was broken: %v", err)
	}
	f.wants(0, []string{"deadlocks"})
}

func TestDeadlocksShowsHostileNamesSafely(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	names := []string{hostile + "1", hostile + "2"}
	clients := []*redislock.Client{f.as("p0"), f.as("p1")}
	locks := []*redislock.Lock{f.acquires(clients[0], names[0], hostile), f.acquires(clients[1], names[1], hostile)}
	f.under(clients[0], locks[0], names[1], hostile)
	f.under(clients[1], locks[1], names[0], hostile)
	for _, args := range [][]string{{"deadlocks"}, {"deadlocks", "--color", "always"}, {"deadlocks", "-o", "json"}} {
		out := colours.ReplaceAllString(f.wants(1, args), "")
		for _, r := range out {
			if safetext.Hidden(r) && r != '\n' {
				t.Errorf("%v: writes %U in %q", args, r, out)
			}
		}
		if args[len(args)-1] != "json" && !strings.Contains(out, "redislock break NAME --reason") {
			t.Errorf("%v: a command that cannot be typed: %q", args, out)
		}
	}
}

func TestTheDrawingOfALongChainAndOfALoneCircleEnds(t *testing.T) {
	now := time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)
	edge := func(i, next int) redislock.WaitEdge {
		hold := func(i int) redislock.Hold {
			return redislock.Hold{ID: string(rune('A' + i)), Owner: redislock.Owner{Client: "app", Host: "node-3", PID: i + 1}, Since: now.Add(-time.Hour)}
		}
		return redislock.WaitEdge{
			Lock: "lock-" + string(rune('a'+i)), Hold: hold(i), For: "lock-" + string(rune('a'+next)), Blocker: hold(next),
			Place: redislock.Place{ID: string(rune('a' + i)), Owner: hold(i).Owner, Since: now.Add(-time.Minute)}, Waited: time.Minute,
		}
	}
	var chain, circle redislock.WaitGraph
	for i := range 25 {
		chain.Edges = append(chain.Edges, edge(i, i+1))
		circle.Edges = append(circle.Edges, edge(i, (i+1)%25))
	}
	for name, g := range map[string]redislock.WaitGraph{"chain": chain, "circle": circle} {
		out := drawWaits(g, 80)
		if strings.Count(out, "←") != 25 {
			t.Errorf("%s: not each wait is drawn once: %s", name, out)
		}
		for line := range strings.Lines(out) {
			if ansi.StringWidth(strings.TrimSuffix(line, "\n")) > 80 {
				t.Errorf("%s: wider than 80 columns: %q", name, line)
			}
		}
	}
}
