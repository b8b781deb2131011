package servertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// MasterName is under which name Sentinels know the primary.
	MasterName = "primary"

	watched = 3 // servers, and as many Sentinels
	quorum  = 2
)

// Sentinel is a primary with two replicas, and three Sentinels that watch over them and replace the primary: after it
// was silent for a second, and when two of them agree. Restarted servers remember their roles.
type Sentinel struct {
	Servers   []*Server // the first is the primary at the start
	Sentinels []*Server

	t testing.TB
}

// StartSentinel runs all six on loopback, the servers with these further arguments, and returns when the replicas are in
// sync and every Sentinel knows of all.
func StartSentinel(t testing.TB, args ...string) *Sentinel {
	t.Helper()
	w := &Sentinel{t: t}
	for i := range watched {
		s := &Server{t: t, args: plain(t, append(attentive[:len(attentive):len(attentive)], args...)), file: rewritable(t)}
		if i > 0 {
			s.args = append(s.args, "--replicaof", "127.0.0.1", strconv.Itoa(w.Servers[0].port))
		}
		w.Servers = append(w.Servers, s.start())
	}
	inSync(t, w.Servers[0], w.Servers[1:])
	for range watched {
		s := &Server{t: t, file: rewritable(t), sentinel: true, sign: "+monitor"}
		s.args = []string{
			"--bind", "127.0.0.1", "--dir", t.TempDir(),
			"--sentinel", "monitor", MasterName, "127.0.0.1", strconv.Itoa(w.Servers[0].port), strconv.Itoa(quorum),
			"--sentinel", "down-after-milliseconds", MasterName, "1000",
			"--sentinel", "failover-timeout", MasterName, "5000",
			"--sentinel", "parallel-syncs", MasterName, "2",
		}
		w.Sentinels = append(w.Sentinels, s.start())
	}
	w.Whole()
	return w
}

// Connect makes a client that follows the primary, which is closed with the test.
func (w *Sentinel) Connect(opts ...func(*redis.FailoverOptions)) *redis.Client {
	o := &redis.FailoverOptions{MasterName: MasterName, DisableIdentity: true}
	for _, s := range w.Sentinels {
		o.SentinelAddrs = append(o.SentinelAddrs, s.Addr())
	}
	for _, opt := range opts {
		opt(o)
	}
	rdb := redis.NewFailoverClient(o)
	w.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// Primary is the server that a majority of the Sentinels sends clients to. It waits for one; it may be paused or killed.
func (w *Sentinel) Primary() (primary *Server) {
	w.t.Helper()
	until(w.t, "the Sentinels agree on a primary", func() error {
		votes := map[string]int{}
		for _, s := range w.Sentinels {
			if !s.runs() {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			at, err := s.admin.Do(ctx, "sentinel", "get-master-addr-by-name", MasterName).StringSlice()
			cancel()
			if err == nil && len(at) == 2 {
				votes[net.JoinHostPort(at[0], at[1])]++
			}
		}
		for _, s := range w.Servers {
			if votes[s.Addr()] >= quorum {
				primary = s
				return nil
			}
		}
		return fmt.Errorf("votes: %v", votes)
	})
	return primary
}

// Replicas are the servers beside the primary, whether they run or not.
func (w *Sentinel) Replicas() (others []*Server) {
	w.t.Helper()
	primary := w.Primary()
	for _, s := range w.Servers {
		if s != primary {
			others = append(others, s)
		}
	}
	return others
}

// Replaced waits until the Sentinels send clients to another primary than this one and it takes writes, and returns it.
func (w *Sentinel) Replaced(old *Server) (primary *Server) {
	w.t.Helper()
	until(w.t, old.Addr()+" is replaced", func() error {
		if primary = w.Primary(); primary == old {
			return errors.New("it is still the primary")
		}
		return primary.has("role", "master")
	})
	return primary
}

// has fails unless a field of INFO replication has this value.
func (s *Server) has(field, want string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	got, err := s.info(ctx, "replication", field)
	if err == nil && got != want {
		err = fmt.Errorf("%s of %s is %s, not %s", field, s.Addr(), got, want)
	}
	return err
}

// Swap makes a replica the primary without a loss, as Valkey 9 can (SENTINEL FAILOVER … COORDINATED): writes are paused until
// the replica has everything. It returns the new primary.
func (w *Sentinel) Swap() *Server {
	w.t.Helper()
	old := w.Primary()
	until(w.t, "a Sentinel swaps the primary", func() error {
		return w.Sentinels[0].admin.Do(context.Background(), "sentinel", "failover", MasterName, "coordinated").Err()
	})
	return w.Replaced(old)
}

// Whole waits until each Sentinel that runs knows of all replicas and all Sentinels and thinks nobody down, and until the
// replicas that run have what the primary has: only then will a failover find all it needs.
func (w *Sentinel) Whole() {
	w.t.Helper()
	for _, s := range w.Sentinels {
		if !s.runs() {
			continue
		}
		until(w.t, "the Sentinel at "+s.Addr()+" knows of all", func() error { return w.complete(s) })
	}
	inSync(w.t, w.Primary(), w.Replicas())
}

func (w *Sentinel) complete(s *Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	// CKQUORUM fails while it thinks too few Sentinels usable.
	if err := s.admin.Do(ctx, "sentinel", "ckquorum", MasterName).Err(); err != nil {
		return err
	}
	primary, err := s.admin.Do(ctx, "sentinel", "master", MasterName).Result()
	if err != nil {
		return err
	}
	of := fields(primary)
	if of["flags"] != "master" || of["num-slaves"] != strconv.Itoa(watched-1) || of["num-other-sentinels"] != strconv.Itoa(watched-1) {
		return fmt.Errorf("it sees %s with %s replicas and %s other Sentinels", of["flags"], of["num-slaves"], of["num-other-sentinels"])
	}
	for _, what := range []string{"replicas", "sentinels"} {
		all, err := s.admin.Do(ctx, "sentinel", what, MasterName).Slice()
		if err != nil {
			return err
		}
		for _, one := range all {
			// What another Sentinel has last said of the master is no matter: Valkey goes on telling it after a failover.
			flags := strings.TrimSuffix(fields(one)["flags"], ",master_down")
			if flags != "slave" && flags != "sentinel" {
				return fmt.Errorf("one of its %s is %s", what, flags)
			}
		}
	}
	return nil
}

// fields reads the map in which a Sentinel describes something, in either version of RESP.
func fields(reply any) map[string]string {
	of := map[string]string{}
	switch reply := reply.(type) {
	case map[any]any:
		for field, value := range reply {
			of[fmt.Sprint(field)] = fmt.Sprint(value)
		}
	case []any:
		for i := 0; i+1 < len(reply); i += 2 {
			of[fmt.Sprint(reply[i])] = fmt.Sprint(reply[i+1])
		}
	}
	return of
}
