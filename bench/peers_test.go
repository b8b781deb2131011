package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/bench/internal/traffic"
	"example.com/redislock/internal/servertest"
)

// patient takes a free lock. rueidislock gives an attempt 20 ms, and does not try again by itself if that was too
// short, as can happen under the race detector.
func patient(t *testing.T, l peer.Locker, name string) peer.Release {
	t.Helper()
	var err error
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		stuck := time.AfterFunc(time.Second, cancel)
		var release peer.Release
		if release, err = l.Lock(ctx, name); err == nil && stuck.Stop() {
			t.Cleanup(cancel)
			return release
		}
		cancel()
	}
	t.Fatalf("a free lock was not to be had: %v", err)
	return nil
}

func TestTheConnectionsOfEveryPeerAreWrapped(t *testing.T) {
	t.Parallel()
	addr := addresses([]*servertest.Server{servertest.Start(t), servertest.Start(t), servertest.Start(t)})
	for _, p := range slices.Concat(peer.All(), peer.Majorities(), peer.Turns()) {
		addr := addr
		if !slices.ContainsFunc(peer.Majorities(), func(m peer.Peer) bool { return m.Name == p.Name }) {
			addr, _, _ = strings.Cut(addr, ",")
		}
		var c traffic.Counter
		l, err := p.Open(addr, peer.Options{Wrap: c.Wrap})
		if err != nil {
			t.Fatal(err)
		}
		pair := func() traffic.Sent {
			before := c.Sent()
			if err := patient(t, l, p.Name)(t.Context()); err != nil {
				t.Fatalf("%s: %v", p.Name, err)
			}
			return c.Sent().Since(before)
		}
		pair() // connections, scripts
		if sent := pair(); sent["evalsha"] < 1 || sent.Total() < 2 {
			t.Errorf("%s: a lock and its release sent %v", p.Name, sent)
		}
		l.Close()
	}
}
