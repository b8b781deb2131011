package redislock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

const (
	// MaxReplicas and MaxReplicaTimeout bound [WithReplicas], whose timeout is at least [MinReplicaTimeout].
	MaxReplicas       = 100
	MinReplicaTimeout = time.Millisecond
	MaxReplicaTimeout = time.Minute

	// maxWait is how long one WAIT blocks its connection: one whose caller has gone is soon free again.
	maxWait = time.Second
)

// WithReplicas makes the acquire count only when n replicas have the hold, from 1 to [MaxReplicas]. If fewer have said so
// within the timeout, from 1 ms to a minute, the lock is given back, and the error is [ErrNotReplicated]. It costs one
// request more, and a WAIT, which blocks a connection of the Redis client meanwhile; a Client blocks half of those to
// a node at the most, for other requests need some too: who comes then waits for its turn, and a pool of one is [ErrInvalid]. The timeout is counted from the grant: [WithWait] bounds the waiting
// for the lock, not this. No grant waits for replicas longer than its lease lasts.
//
// It makes it less likely that a failover forgets a hold and gives the lock to a second owner. It does not exclude that:
// WAIT does not make Redis strongly consistent, as its own documentation says (https://redis.io/docs/latest/commands/wait/).
// A failover may promote a replica that is not among the n, and one that has acknowledged the hold may have lost it in a
// restart. Renewals are not waited for: a replica that lags may have the hold with an earlier deadline. The fence remains
// what protects the resource. An error does not say that no replica has the hold: one that is promoted before it has heard
// of the giving back keeps it until its lease ends.
//
// An upgrade of the hold is waited for likewise: one that is not replicated is undone, and the lock is held in Read as
// before. Renewals and releases are not.
//
// It needs a *redis.Client or a *redis.ClusterClient: the write and the WAIT that counts it must be on one connection. On
// any other client, such as *redis.AutoPipeliner or a wrapper, which would not see them, it is [ErrInvalid]. Off by default; as a default of the Client it counts
// for the locks of Once, Share, Cron and Elect too.
func WithReplicas(n int, timeout time.Duration) Option {
	return func(s *settings) error {
		if n < 1 || n > MaxReplicas {
			return invalid("WithReplicas(%d, %v): the replicas must be from 1 to %d", n, timeout, MaxReplicas)
		}
		if timeout < MinReplicaTimeout || timeout > MaxReplicaTimeout {
			return invalid("WithReplicas(%d, %v): the timeout must be from %v to %v", n, timeout, MinReplicaTimeout, MaxReplicaTimeout)
		}
		s.replicas, s.replicaTime = n, timeout
		return nil
	}
}

// sticky refuses WithReplicas where a write and its WAIT may be sent on two connections: WAIT would then answer for the
// writes of somebody else, or for none, which every replica has.
func (c *Client) sticky(s *settings) error {
	if s.replicas == 0 {
		return nil
	}
	if b := c.behind; !b.Wrapped && (b.Single != nil || b.Cluster != nil) {
		if size := transport.PoolSize(b); size < 2 {
			return invalid("WithReplicas(%d, %v) over a pool of %d: renewals would have to stand behind the WAIT", s.replicas, s.replicaTime, size)
		}
		return nil
	}
	return invalid("WithReplicas(%d, %v) over a %T: it needs the write and the WAIT on one connection, and so a *redis.Client or a *redis.ClusterClient",
		s.replicas, s.replicaTime, c.rdb)
}

// unreplicated is for a hold that guards nothing.
func unreplicated(s *settings) error {
	s.replicas = 0
	return nil
}

// replication is a script whose write replicas are to have.
type replication struct {
	client  *Client
	call    *transport.Call
	want    int
	timeout time.Duration
	begun   time.Time

	redirect string // the node that another one has named
	asking   bool   // it is to be asked this once: the slot is on its way there
	have     int    // replicas, at the last count
}

// replicated is ask for a write that replicas must have: ErrNotReplicated if they do not have it in time. The answer may
// be one that wrote nothing; that is not waited for.
func (c *Client) replicated(ctx context.Context, s settings, script *lua.Script, key string, args []any) transport.Answer {
	r := &replication{
		client: c, call: transport.NewCall(script, key, args...),
		want: s.replicas, timeout: s.replicaTime, begun: time.Now(),
	}
	result := make(chan transport.Answer, 1)
	c.background.Add()
	go func() { // go-redis does not interrupt a read
		defer c.background.Done()
		result <- r.inTurn(ctx)
	}()
	select {
	case a := <-result:
		return a
	case <-ctx.Done():
		return transport.Answer{Err: fmt.Errorf("%w: %w", ErrNotReplicated, ctx.Err())}
	case <-c.closing:
		return transport.Answer{Err: c.cause}
	}
}

// over says why there is no use in going on, nil if there is.
func (r *replication) over(ctx context.Context) error {
	if r.client.isClosed() {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrNotReplicated, err)
	}
	if clock.Elapsed(r.begun) >= r.timeout {
		return fmt.Errorf("%w: %d of %d have it after %v", ErrNotReplicated, r.have, r.want, r.timeout)
	}
	return nil
}

// inTurn is run when it may block one connection more.
func (r *replication) inTurn(ctx context.Context) transport.Answer {
	patience := time.NewTimer(r.timeout)
	defer patience.Stop()
	turns := r.client.transport.Executor(r.call.KeyText()).Turns
	select {
	case turns <- struct{}{}:
		defer func() { <-turns }()
		return r.run(ctx)
	case <-patience.C:
		return transport.Answer{Err: fmt.Errorf("%w: others have waited for all of %v", ErrNotReplicated, r.timeout)}
	case <-ctx.Done():
		return transport.Answer{Err: ctx.Err()}
	case <-r.client.closing:
		return transport.Answer{Err: r.client.cause}
	}
}

// run sends the script and the WAIT until both are answered.
func (r *replication) run(ctx context.Context) transport.Answer {
	detached := context.WithoutCancel(ctx)
	for attempt := 1; ; attempt++ {
		node, err := r.node(detached)
		if err == nil {
			err = r.attempt(ctx, detached, node)
		}
		r.call.Answer.Err = err
		if err == nil || !r.again(detached, err) || !sleep(ctx, transport.Backoff(attempt)) {
			return r.call.Answer
		}
		if over := r.over(ctx); over != nil {
			r.call.Answer.Err = fmt.Errorf("%w: %w", over, err)
			return r.call.Answer
		}
	}
}

// attempt does it on one connection, which a Conn does not leave: once it has failed it refuses everything, so no WAIT
// counts for another's writes.
func (r *replication) attempt(ctx, detached context.Context, node *redis.Client) error {
	conn := node.Conn()
	defer conn.Close()
	var wait transport.Command
	slice := r.slice(node)
	for again := true; again; {
		var cmds []transport.Command
		if r.asking {
			cmds = append(cmds, transport.NewCommand(detached, 0, "asking"))
		}
		r.call.Prepare(detached, time.Now())
		wait = r.wait(detached, slice)
		_ = transport.Pipelined(detached, conn, append(cmds, r.call.Cmd, wait)) // each command has its own error
		again = r.call.Settle()
	}
	r.asking = false
	if err := r.call.Answer.Err; err != nil {
		if transport.Refused(err) {
			return fmt.Errorf("%w: %w", ErrPermission, err)
		}
		return err
	}
	written, err := protocol.ParseReply(r.call.Answer.Value)
	if err != nil || written.Status != "granted" {
		return err
	}
	valid := clock.Until(r.call.Answer.Sent, written.Now, written.At+written.Lease, r.client.margin)
	for asked := r.call.Answer.Sent; ; {
		if err := r.counted(wait); err != nil || r.have >= r.want {
			return err
		}
		if err := r.over(ctx); err != nil {
			return err
		}
		if valid.Left() <= 0 {
			return fmt.Errorf("%w: %d of %d had it when the lease was over", ErrNotReplicated, r.have, r.want)
		}
		if early := slice - clock.Elapsed(asked); early > 0 && !sleep(ctx, early) { // a server that does not block
			continue
		}
		asked, slice = time.Now(), r.slice(node)
		wait = r.wait(detached, slice)
		transport.Process(detached, conn, wait)
	}
}

// slice is how long the next WAIT may block: a part of the time that is left, for go-redis would take a WAIT that is as
// long as its read timeout for a reply that was lost.
func (r *replication) slice(node *redis.Client) time.Duration {
	slice := min(r.timeout-clock.Elapsed(r.begun), maxWait)
	if limit := node.Options().ReadTimeout; limit > 0 {
		slice = min(slice, limit/2)
	}
	return max(slice, time.Millisecond) // 0 would be for ever
}

func (r *replication) wait(ctx context.Context, slice time.Duration) transport.Command {
	return transport.NewCommand(ctx, 0, "wait", r.want, slice.Milliseconds())
}

// counted takes the answer of a WAIT: how many replicas have what this connection wrote.
func (r *replication) counted(wait transport.Command) error {
	have, err := wait.Int()
	if transport.Refused(err) {
		return fmt.Errorf("%w: %w (WithReplicas uses wait)", ErrPermission, err)
	}
	if err == nil {
		r.have = have
	}
	return err
}

// again reports whether another attempt may come to more, and where: on a cluster, by the node that this one has named.
func (r *replication) again(ctx context.Context, err error) bool {
	cluster := r.client.behind.Cluster
	r.redirect = ""
	if errors.Is(err, ErrNotReplicated) || errors.Is(err, ErrPermission) || errors.Is(err, ErrClosed) {
		return false
	}
	if cluster != nil {
		defer cluster.ReloadState(ctx)
		if to, moved := redis.IsMovedError(err); moved {
			r.redirect = to
			return true
		}
		if to, ask := redis.IsAskError(err); ask {
			r.redirect, r.asking = to, true
			return true
		}
	}
	return transport.Transient(err)
}

// node is the client of the master that serves the key.
func (r *replication) node(ctx context.Context) (*redis.Client, error) {
	cluster := r.client.behind.Cluster
	if cluster == nil {
		return r.client.behind.Single, nil // sticky has seen to it
	}
	if r.redirect != "" {
		var mu sync.Mutex
		var named *redis.Client
		_ = cluster.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			if node.Options().Addr == r.redirect {
				named = node
			}
			return nil
		})
		if named != nil {
			return named, nil
		}
	}
	r.asking = false
	return transport.MasterOf(ctx, cluster, r.call.KeyText())
}
