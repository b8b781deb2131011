package redislock_test

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// noticing is a connection to a server that announces its maintenance, as some services do: go-redis then waits for answers for
// RelaxedTimeout, 10 s, in the place of its ReadTimeout.
type noticing struct {
	net.Conn
	all *notices

	mu  sync.Mutex
	due bytes.Buffer // what is read before anything of the server's
}

// notices are the connections of a client.
type notices struct {
	mu    sync.Mutex
	conns []*noticing
}

func (n *notices) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &noticing{Conn: conn, all: n}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns = append(n.conns, c)
	return c, nil
}

// tell has every connection announce something before its next answer.
func (n *notices) tell(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.mu.Lock()
		c.due.WriteString(text)
		c.mu.Unlock()
	}
}

func (c *noticing) Write(b []byte) (int, error) {
	if bytes.Contains(bytes.ToLower(b), []byte("maint_notifications")) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.due.WriteString("+OK\r\n")
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *noticing) Read(b []byte) (int, error) {
	c.mu.Lock()
	if c.due.Len() > 0 {
		defer c.mu.Unlock()
		return c.due.Read(b)
	}
	c.mu.Unlock()
	return c.Conn.Read(b)
}

// I7: whatever timeouts a client has in its maintenance, a context ends by the clock, and nobody waits longer than is promised.
func TestI7ARelaxedTimeoutOutlastsNoBound(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	all := &notices{}
	rdb := s.Connect(func(o *redis.Options) { o.Dialer = all.dial })
	c, err := redislock.New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = c.Close(ctx)
	})
	e := &env{T: t}
	const lease = 2 * time.Second
	held, other := e.acquire(c, "held", redislock.WithLease(lease)), e.acquire(c, "other", redislock.WithLease(time.Minute))
	all.tell(">3\r\n$9\r\nMIGRATING\r\n:1\r\n:60\r\n")
	for range 3 { // on each connection that is kept
		e.release(e.acquire(c, "x"))
	}
	if rdb.GetMaintNotificationsManager() == nil {
		t.Fatal("the client knows of no maintenance")
	}
	s.Pause()
	paused := time.Now()
	released := make(chan time.Duration, 1)
	go func() {
		_ = other.Release(context.Background())
		released <- time.Since(paused)
	}()
	<-held.Context().Done()
	if took := time.Since(paused); took > lease {
		t.Errorf("the context ended %v after the last answer, with a lease of %v", took, lease)
	}
	if took := <-released; took > 7*time.Second { // resends for 5 s
		t.Errorf("the release returned after %v", took)
	}
	s.Resume()
}
