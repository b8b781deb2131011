package quorum

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/backend"
	"example.com/redislock/internal/clock"
)

// node is one of the servers, with what is known of it: which run of the server it is, since when it has been up, and the time of
// its clock.
//
// A server that came back without its data has forgotten whom it gave its vote. So a vote counts only when the server has been up
// for longer than the longest lease: then every lease that it may have forgotten is over
// (https://redis.io/docs/latest/develop/use/patterns/distributed-locks/, "delayed restarts"). INFO says since when. The server
// need not be asked for each vote: a restart ends the connections to it. So it is the same run as long as no connection was made
// since it was asked.
type node struct {
	client *redislock.Client
	rdb    redis.UniversalClient
	addr   string
	dials  *atomic.Uint64
	pool   int // how many connections its client may have

	mu     sync.Mutex
	looked bool
	under  uint64 // dials, before it was asked
	seen
	// Its clock said now, in µs, or more at sample: when the answer came. It is not said to be half a round trip later: a ticket that is
	// ahead of the clock is no fence that the node would give (lua/acquire.lua).
	sample time.Time
	now    int64
}

// seen is the result of a look.
type seen struct {
	run     string    // its run_id; empty if the server has none
	up      time.Time // it has been up since then, or for longer
	durable bool      // it answers after its disk has it
	at      time.Time // when it answered
}

// lookTime bounds a look at a server.
const lookTime = 5 * time.Second

// look asks the server for its time and, unless clockOnly is true, which run it is. It asks again on another connection if the
// server has closed the one that came from the pool of the Redis client.
func (n *node) look(ctx context.Context, clockOnly bool) (s seen, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	for range 1 + n.pool { // each that has been closed is not given again
		if s, err = n.lookOnce(ctx, clockOnly); !closedByServer(err) {
			break
		}
	}
	return s, err
}

func closedByServer(err error) bool {
	for _, closed := range []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, closed) {
			return true
		}
	}
	return false
}

func (n *node) lookOnce(ctx context.Context, clockOnly bool) (seen, error) {
	under := n.dials.Load()
	var at *redis.TimeCmd
	var info *redis.StringCmd
	var config *redis.MapStringStringCmd
	err := backend.Guard(func() error {
		pipe := n.rdb.Pipeline()
		at = pipe.Time(ctx)
		if !clockOnly {
			info, config = pipe.Info(ctx, "server"), pipe.ConfigGet(ctx, "append*")
		}
		_, err := pipe.Exec(ctx)
		return err
	})
	if at == nil || at.Err() != nil || at.Val().IsZero() {
		return seen{}, errors.Join(err, errors.New("no answer to TIME"))
	}
	came := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sample, n.now = came, at.Val().UnixMicro()
	if clockOnly {
		return n.seen, nil
	}
	if err := info.Err(); err != nil {
		if strings.HasPrefix(err.Error(), "NOPERM") {
			err = fmt.Errorf("%w: %w", redislock.ErrPermission, err)
		}
		return seen{}, fmt.Errorf("INFO server, which says since when it has been up: %w", err)
	}
	run, seconds, err := parseInfo(info.Val())
	if err != nil {
		return seen{}, err
	}
	up := came.Add(time.Second - seconds) // both ends of what the server counts are rounded down, so it is too late by two seconds at the most
	switch {
	case n.run == "":
	case run == n.run:
		up = n.up
	case up.Add(-2 * time.Second).Before(n.at):
		up = came // no restart: another server, which was up when the one before answered, and has its address since nobody knows when
	}
	all := config.Val() // where it may not be asked, the server may not keep everything
	n.looked, n.under, n.seen = true, under, seen{run, up, all["appendonly"] == "yes" && all["appendfsync"] == "always", came}
	return n.seen, nil
}

// parseInfo reads which run of a server it is, and for how long it has been up.
func parseInfo(text string) (run string, up time.Duration, err error) {
	up = -1
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "run_id":
			run = value
		case "uptime_in_seconds":
			seconds, err := strconv.ParseInt(value, 10, 32)
			if err != nil {
				return "", 0, fmt.Errorf("INFO server: uptime_in_seconds:%.20q", value)
			}
			up = time.Duration(seconds) * time.Second
		}
	}
	if up < 0 {
		return "", 0, errors.New("INFO server does not say since when it has been up")
	}
	return run, up, nil
}

// counts says in what time a vote that this node has given by now counts: 0 if it does already. The second result is false if that is
// not known, so that a look is needed. A look that begins now tells of the run that has given it, or of a later one that has been up for
// less, whatever connections are made meanwhile.
func (n *node) counts(longest time.Duration) (time.Duration, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.looked || n.under != n.dials.Load() {
		return 0, false
	}
	return n.seen.counts(longest), true
}

// counts says in what time a vote counts which was given before the look.
func (s seen) counts(longest time.Duration) time.Duration {
	if s.durable {
		return 0
	}
	return max(0, longest-clock.Elapsed(s.up))
}

// time is the time of its clock, as far as it is known. The second result is how old that is, negative if nothing is known.
func (n *node) time() (micros int64, age time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sample.IsZero() {
		return 0, -1
	}
	age = clock.Elapsed(n.sample)
	return n.now + age.Microseconds(), age
}

// runID is which run of a server it is, empty if that is not known.
func (n *node) runID() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.run
}
