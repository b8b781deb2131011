// Package replication sends a write that replicas must have: a script, and the WAIT that counts who has it, on one connection.
//
// A WAIT answers for the writes of its own connection. So the write and the WAIT must be on one connection, which nothing else
// uses in that time. After a failure the connection is not used any more. WAIT blocks it, so only half of a pool's connections to
// a node wait at once. The WAIT is repeated in slices that are shorter than the read timeout: go-redis counts the reply of a
// longer WAIT as lost. WAIT does not make Redis strongly consistent (https://redis.io/docs/latest/commands/wait/): see
// [redislock.WithReplicas] for what it promises.
package replication

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/backend"
	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/tracker"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

// ErrNotReplicated says that too few replicas have a write in time.
var ErrNotReplicated = errors.New("not replicated")

// maxWait is how long one WAIT blocks its connection: one whose caller has gone is soon free again.
const maxWait = time.Second

// Config is what the writes of a Client go by.
type Config struct {
	Backend    backend.Backend
	Transport  *transport.Transport
	Background *tracker.Tracker
	Margin     time.Duration   // for clocks that differ (I6)
	Closing    <-chan struct{} // closed when all waits must fail
	Cause      func() error    // why, when Closing is closed
	Closed     func() error    // why nothing is sent any more, nil as long as something is
}

// replication is a script whose write replicas are to have.
type replication struct {
	*Config
	call    *transport.Call
	want    int
	timeout time.Duration
	begun   time.Time

	redirect string // the node that another one has named
	asking   bool   // it is to be asked this once: the slot is on its way there
	have     int    // replicas, at the last count
}

// Ask sends a script whose write so many replicas must have, and returns its answer: ErrNotReplicated if they do not have it in
// time. The answer may be one that wrote nothing; that is not waited for.
func (c *Config) Ask(ctx context.Context, replicas int, timeout time.Duration, script *lua.Script, key string, args []any) transport.Answer {
	r := &replication{Config: c, call: transport.NewCall(script, key, args...), want: replicas, timeout: timeout, begun: time.Now()}
	result := make(chan transport.Answer, 1)
	c.Background.Add()
	go func() { // go-redis does not interrupt a read
		defer c.Background.Done()
		result <- r.inTurn(ctx)
	}()
	select {
	case a := <-result:
		return a
	case <-ctx.Done():
		return transport.Answer{Err: fmt.Errorf("%w: %w", ErrNotReplicated, ctx.Err())}
	case <-c.Closing:
		return transport.Answer{Err: c.Cause()}
	}
}

// over says why there is no use in going on, nil if there is.
func (r *replication) over(ctx context.Context) error {
	if err := r.Closed(); err != nil {
		return err
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
	turns := r.Transport.Executor(r.call.KeyText()).Turns
	select {
	case turns <- struct{}{}:
		defer func() { <-turns }()
		return r.run(ctx)
	case <-patience.C:
		return transport.Answer{Err: fmt.Errorf("%w: others have waited for all of %v", ErrNotReplicated, r.timeout)}
	case <-ctx.Done():
		return transport.Answer{Err: ctx.Err()}
	case <-r.Closing:
		return transport.Answer{Err: r.Cause()}
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
		if closed := r.Closed(); err != nil && closed != nil {
			err = fmt.Errorf("%w: %w", closed, err)
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
			return fmt.Errorf("%w: %w", transport.ErrPermission, err)
		}
		return err
	}
	written, err := protocol.ParseReply(r.call.Answer.Value)
	if err != nil || written.Status != "granted" {
		return err
	}
	valid := clock.Until(r.call.Answer.Sent, written.Now, written.At+written.Lease, r.Margin)
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

// slice is how long the next WAIT may block: a part of the time that is left, because go-redis counts the reply of a WAIT that is
// as long as its read timeout as lost.
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
		return fmt.Errorf("%w: %w (WithReplicas uses wait)", transport.ErrPermission, err)
	}
	if err == nil {
		r.have = have
	}
	return err
}

// again reports whether another attempt may come to more, and where: on a cluster, by the node that this one has named.
func (r *replication) again(ctx context.Context, err error) bool {
	cluster := r.Backend.Cluster
	r.redirect = ""
	if errors.Is(err, ErrNotReplicated) || errors.Is(err, transport.ErrPermission) || r.Closed() != nil {
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
	cluster := r.Backend.Cluster
	if cluster == nil {
		return r.Backend.Single, nil // there is one: the root has seen to it
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

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
