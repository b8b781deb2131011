package servertest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// attentive are the arguments with which a server replicates without the delays that suit large data.
var attentive = []string{"--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"}

// Replicated is a primary and its replicas, with nobody who would replace the primary: tests do that by hand.
type Replicated struct {
	Primary  *Server
	Replicas []*Server

	t testing.TB
}

// StartReplicated runs a primary with that many replicas, all with these further arguments, and returns when the
// replicas have what the primary has. A replica that is restarted is one again, of the same primary.
func StartReplicated(t testing.TB, replicas int, args ...string) *Replicated {
	t.Helper()
	args = append(attentive[:len(attentive):len(attentive)], args...)
	r := &Replicated{t: t, Primary: Start(t, args...)}
	for range replicas {
		r.Replicas = append(r.Replicas, Start(t, append([]string{
			"--replicaof", "127.0.0.1", strconv.Itoa(r.Primary.port),
		}, args...)...))
	}
	r.InSync()
	return r
}

// InSync waits until each replica has at least what the primary has now. A replica that does not run is not waited for.
func (r *Replicated) InSync() {
	r.t.Helper()
	inSync(r.t, r.Primary, r.Replicas)
}

func inSync(t testing.TB, primary *Server, replicas []*Server) {
	t.Helper()
	var want int64
	until(t, "the primary says how far it is", func() (err error) {
		want, err = primary.offset("master_repl_offset")
		return err
	})
	for _, s := range replicas {
		if !s.runs() {
			continue
		}
		until(t, s.Addr()+" has what "+primary.Addr()+" has", func() error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if port, err := s.info(ctx, "replication", "master_port"); err != nil || port != strconv.Itoa(primary.port) {
				return errors.Join(err, fmt.Errorf("its primary is at port %s", port))
			}
			if link, err := s.info(ctx, "replication", "master_link_status"); err != nil || link != "up" {
				return errors.Join(err, fmt.Errorf("its link is %s", link))
			}
			got, err := s.offset("slave_repl_offset")
			if err == nil && got < want {
				err = fmt.Errorf("it is at %d of %d", got, want)
			}
			return err
		})
	}
}

func (s *Server) offset(field string) (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	text, err := s.info(ctx, "replication", field)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}

// Promote makes a replica a primary by hand (REPLICAOF NO ONE): it goes on with the data that it has.
func (s *Server) Promote() {
	s.t.Helper()
	if err := s.admin.ReplicaOf(context.Background(), "no", "one").Err(); err != nil {
		s.t.Fatalf("servertest: promote: %v", err)
	}
}

// Follow makes the server a replica of another (REPLICAOF): its own data goes.
func (s *Server) Follow(primary *Server) {
	s.t.Helper()
	if err := s.admin.ReplicaOf(context.Background(), "127.0.0.1", strconv.Itoa(primary.port)).Err(); err != nil {
		s.t.Fatalf("servertest: follow: %v", err)
	}
}

// CutReplicas breaks the server's links to its replicas and refuses new ones. They live, answer and can be promoted,
// with ever older data. So a test can make them lag, also under Sentinels or in a cluster. (A replica that is paused
// lags too, but cannot be promoted meanwhile.) Sentinels and clusters promote no replica that was cut off for longer
// than ten times their timeout.
func (s *Server) CutReplicas() {
	s.t.Helper()
	ctx := context.Background()
	if err := s.admin.ACLSetUser(ctx, "default", "-psync", "-sync").Err(); err != nil {
		s.t.Fatalf("servertest: cut: %v", err)
	}
	until(s.t, "the last replica is gone", func() error {
		if err := s.admin.Do(ctx, "client", "kill", "type", "replica").Err(); err != nil {
			return err
		}
		if n, err := s.info(ctx, "replication", "connected_slaves"); err != nil || n != "0" {
			return errors.Join(err, fmt.Errorf("%s are connected", n))
		}
		return nil
	})
}

// AdmitReplicas ends [Server.CutReplicas]. The replicas come back by themselves, within about a second.
func (s *Server) AdmitReplicas() {
	s.t.Helper()
	// Not SYNC too: a replica whose PSYNC is still refused falls back to it, and then does not know how far it is.
	if err := s.admin.ACLSetUser(context.Background(), "default", "+psync").Err(); err != nil {
		s.t.Fatalf("servertest: admit: %v", err)
	}
}

// rewritable has the server keep its configuration in a file: what Sentinel decides about it survives a restart.
func rewritable(t testing.TB) string { return filepath.Join(t.TempDir(), "server.conf") }
