package torture

import (
	"context"
	"strings"
	"testing"
	"time"

	"example.com/redislock/internal/servertest"
)

func TestALockThatTheReplicasMissedIsFencedOff(t *testing.T) {
	Play(t, Row{
		Fault: "Sentinel: failover to a replica that lags",
		Promise: "The new primary does not know the last grants. A holder of such a grant believes that it has the lock until its next " +
			"renewal is refused, while another has the lock. Fences rise all the same, and the resource refuses what the former " +
			"holder still writes.",
		Topology: UnderSentinels(tooLong, nil),
		Load:     Load{Callers: 1, Lease: lasting, Try: 30},
		Short:    9 * time.Second, Full: 45 * time.Second,
		Bound:       afterLoss,
		Unreachable: true,
		Physics:     "Redis answers before it replicates, so the last grants of the primary may be lost with it.",
		Inject: func(x *Run) {
			s := x.Sentinel()
			for i := 0; x.Every(200 * time.Millisecond); i++ {
				name, w := []string{"a", "b"}[i%2], x.Workers()[i%len(x.Workers())]
				old := s.Primary()
				old.CutReplicas() // its replicas do not get what it grants from now on
				x.Hold(w, name, "exclusive")
				var killed int64
				x.Loss("the primary was killed", func() {
					old.Kill()
					killed = now()
					s.Replaced(old)
				})
				x.Disabused(w, name, killed)
				if !x.Injecting() {
					break
				}
				old.Restart()
				x.Follows(old)
				s.Whole()
			}
		},
	})
}

// Follows waits until the Sentinels have made a former primary a replica: they look every ten seconds.
func (x *Run) Follows(old *servertest.Server) {
	x.Helper()
	for until := time.Now().Add(2 * patience); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		if strings.Contains(old.Admin().Info(context.Background(), "replication").Val(), "role:slave") {
			return
		}
	}
	x.Fatalf("%s is no replica yet", old.Addr())
}
