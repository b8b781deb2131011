package torture

import (
	"testing"
	"time"
)

func TestAFailoverForgetsNoGrantThatTheReplicasHad(t *testing.T) {
	Play(t, Row{
		Fault: "Sentinel: failover to a replica that lags, with WithReplicas(2)",
		Promise: "A grant counts when both replicas have it, so each of them knows the holds when it is promoted. While the replicas " +
			"lag, nobody is granted a lock. Renewals and releases do not wait for replicas, so the new primary may know an earlier " +
			"deadline.",
		Topology: UnderSentinels(tooLong, nil),
		Load:     Load{Callers: 1, Lease: lasting, Try: 30, Replicas: 2},
		Short:    9 * time.Second, Full: 45 * time.Second,
		Bound:       afterLoss,
		Unreachable: true,
		Physics:     "WAIT does not make Redis strongly consistent: a replica may lose what it has acknowledged.",
		Inject: func(x *Run) {
			s := x.Sentinel()
			for i := 0; x.Every(500 * time.Millisecond); i++ {
				old := s.Primary()
				if i%2 == 0 {
					old.CutReplicas()
					time.Sleep(300 * time.Millisecond) // the replicas do not get what is granted now
				}
				x.Loss("the primary was killed", func() {
					old.Kill()
					s.Replaced(old)
				})
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
