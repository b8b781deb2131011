// Package local gives a [redislock.Client] that needs no Redis: the server is inside this process, in memory, on the real clock.
// It is for development, and for a program that runs once. The code that takes locks is the same over a real Redis:
//
//	func open(addr string) (*redislock.Client, error) {
//		if addr == "" {
//			server, err := local.New() // server.Close(ctx) at the end
//			if err != nil {
//				return nil, err
//			}
//			return server.Client, nil
//		}
//		return redislock.New(redis.NewClient(&redis.Options{Addr: addr}))
//	}
//
// Such a lock excludes the goroutines of this process from each other. It excludes nobody in another process: a process that does
// the same has locks of its own. Everything that the library does works, with the real scripts: leases, fences, queues, Once,
// Cron, Elect and the weak kind. Nothing is kept when the process ends, so Once runs again, and a tick of Cron too.
//
// An acquire and its release take longer than with a Redis on the same machine, some tenths of a millisecond
// (go test -bench Pair ./local). Each name is remembered for 77 minutes ([redislock.WithRetention]). In each millisecond in which
// something is sent, the server looks once at all names: with 10,000 of them a pair takes some milliseconds. For that many names use a
// Redis.
package local

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/embedded"
)

// Server is a server inside this process. Any goroutine may call its methods.
type Server struct {
	// Client is a Client on this server.
	Client *redislock.Client
	// Redis is the connection that Client uses, for package fence and the like. Close closes it.
	Redis *redis.Client

	server *miniredis.Miniredis
	clock  clock

	mu      sync.Mutex
	clients []*redislock.Client
	pools   []*redis.Client
	closed  bool
}

// New starts a server and makes a Client on it with these options. It returns [redislock.ErrInvalid] for an option that cannot work;
// nothing is left behind then.
func New(opts ...redislock.ClientOption) (*Server, error) {
	s := &Server{server: embedded.New()}
	client, err := s.NewClient(opts...)
	if err != nil {
		_ = s.Close(context.Background())
		return nil, err
	}
	s.Client, s.Redis = client, s.pools[0]
	return s, nil
}

var errUnmade = fmt.Errorf("redislock: local: %w: a Server that New has not made", redislock.ErrInvalid)

func (s *Server) made() bool { return s != nil && s.server != nil }

// NewClient makes another Client on the server, as another instance of the application would have. They share their locks, if they have
// the same prefix. After Close it returns [redislock.ErrClosed].
func (s *Server) NewClient(opts ...redislock.ClientOption) (*redislock.Client, error) {
	if !s.made() {
		return nil, errUnmade
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("redislock: local: %w", redislock.ErrClosed)
	}
	rdb := embedded.Connect(s.dial)
	client, err := redislock.New(rdb, opts...)
	if err != nil {
		_ = rdb.Close()
		return nil, err
	}
	s.clients, s.pools = append(s.clients, client), append(s.pools, rdb)
	return client, nil
}

// Close closes the Clients as [redislock.Client.Close] does, and then ends the server with all that is in it. It returns when all
// locks have been released, or when ctx ends; the error then names the locks that are still held. The server has ended in any
// case, and locks that are still held are lost. A second Close does nothing and returns nil.
func (s *Server) Close(ctx context.Context) error {
	if !s.made() {
		return errUnmade
	}
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	errs := make([]error, len(s.clients))
	var all sync.WaitGroup
	for i, client := range s.clients {
		all.Go(func() { errs[i] = client.Close(ctx) })
	}
	all.Wait()
	for _, rdb := range s.pools {
		_ = rdb.Close()
	}
	s.server.Close()
	return errors.Join(errs...)
}
