// Package redislocktest gives tests of code that uses redislock a working server in memory, with a Client on it. It
// needs no network and works inside [testing/synctest], where leases and waits pass in fake time.
package redislocktest

import (
	"context"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/embedded"
)

// Server is a Redis server in memory, for one test.
type Server struct {
	// Client is a Client on this server.
	Client *redislock.Client
	// Redis is the connection it uses.
	Redis *redis.Client
	// Miniredis is the server itself, to break it on purpose or look into it.
	Miniredis *miniredis.Miniredis

	t testing.TB
}

// New starts a server and a Client with these options. Both end with the test, which fails if the Client does not close within
// ten seconds: then a lock was not released, and the failure names it. Keys expire with the clock, also with the fake clock of
// testing/synctest, where New must be called inside the bubble.
func New(t testing.TB, opts ...redislock.ClientOption) *Server {
	t.Helper()
	m := embedded.New()
	s := &Server{Miniredis: m, t: t}
	t.Cleanup(m.Close)
	s.Redis = s.Connect()
	s.Client = s.NewClient(opts...)
	return s
}

// Connect makes another connection pool on the server, which ends with the test.
func (s *Server) Connect() *redis.Client {
	rdb := embedded.Connect(s.Miniredis.Dial)
	s.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// NewClient makes another Client on the server, as another instance of an application would have. It is closed at the
// end of the test.
func (s *Server) NewClient(opts ...redislock.ClientOption) *redislock.Client {
	s.t.Helper()
	client, err := redislock.New(s.Connect(), opts...)
	if err != nil {
		s.t.Fatalf("redislocktest: %v", err)
	}
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := client.Close(ctx); err != nil {
			s.t.Errorf("redislocktest: at the end of the test: %v", err)
		}
	})
	return client
}
