package torture

import (
	"testing"
	"time"

	"example.com/redislock/internal/servertest"
)

func TestLocksOfASlotThatMovesLoseNothing(t *testing.T) {
	Play(t, Row{
		Fault: "cluster: slots migrated back and forth under load",
		Promise: "A slot takes its locks along as a whole: no holder loses its lock, and the waiters keep their places. They learn of " +
			"grants from the new master, after their check at the latest, within two seconds.",
		Topology: OnCluster(0, 0),
		Short:    8 * time.Second, Full: 30 * time.Second,
		Inject: func(x *Run) {
			var took []time.Duration
			for i := 0; x.Every(50 * time.Millisecond); i++ {
				for _, name := range x.names() {
					x.Fault("the slot of "+name+" was given to another master", name)
					x.migrate(name, func() { time.Sleep(20 * time.Millisecond) })
				}
				if i%2 == 1 {
					// The new master does the hand-over, while the slot is moving.
					x.InOrder("queue", func() { x.migrate("queue", func() { x.Drop(x.Workers()[0], "queue") }) })
				} else {
					took = append(took, x.InOrder("queue", func() { x.migrate("queue", func() {}) })...)
				}
			}
			x.byMessage(took)
		},
	})
}

// migrate moves the slot of a lock to the next master. between is called when the keys have moved and the slot has not.
func (x *Run) migrate(name string, between func()) {
	x.Helper()
	c := x.Cluster()
	from := c.Serving(x.Key(name))
	var to *servertest.Server
	for i, m := range c.Masters {
		if m == from {
			to = c.Masters[(i+1)%len(c.Masters)]
		}
	}
	m, err := c.Migrate(c.Slot(x.Key(name)), to)
	if err == nil {
		err = m.Move()
	}
	if err == nil {
		between()
		err = m.Move() // move again what was written meanwhile, if the key had gone
	}
	if err == nil {
		err = m.Finish()
	}
	if err != nil {
		x.Fatal(err)
	}
}
