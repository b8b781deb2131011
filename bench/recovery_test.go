package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/internal/servertest"
)

func TestAHolderHoldsUntilItsInputEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	s := servertest.Start(t)
	in, end := io.Pipe()
	said, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- hold(ctx, []string{peer.Ours, s.Addr()}, in, out)
		_ = out.Close()
	}()
	if line, err := bufio.NewReader(said).ReadString('\n'); line != readyLine {
		t.Fatalf("it says %q, %v", line, err)
	}
	c, err := redislock.New(s.Connect())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.TryAcquire(ctx, recoveryName); !errors.Is(err, redislock.ErrHeld) {
		t.Errorf("the lock is not held: %v", err)
	}
	_ = end.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := c.TryAcquire(ctx, recoveryName); err != nil {
		t.Errorf("it was not given back: %v", err)
	}
	for _, args := range [][]string{nil, {"nobody", s.Addr()}} {
		if err := hold(ctx, args, in, out); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

func TestWhatIsLeftOfALeaseIsKnownOfEveryPeer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s := servertest.Start(t)
	for _, p := range peer.All() {
		if err := s.Admin().FlushAll(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		l, err := p.Open(s.Addr(), peer.Options{TTL: recoveryTTL})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := leaseLeft(ctx, p, l, s); err == nil {
			t.Errorf("%s: a lease that nobody has", p.Name)
		}
		release := patient(t, l, recoveryName)
		if left, err := leaseLeft(ctx, p, l, s); err != nil || left > recoveryTTL || left < recoveryTTL/2 {
			t.Errorf("%s: %v is left, %v", p.Name, left, err)
		}
		if err := release(ctx); err != nil {
			t.Error(err)
		}
		l.Close()
	}
}
