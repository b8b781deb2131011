package torture

import (
	"context"
	"fmt"
	"sync"
	"time"

	"example.com/redislock"
)

// watchEvery is how often the server is asked who holds the locks.
const watchEvery = 30 * time.Millisecond

// watchTime bounds one look: another node may answer meanwhile.
const watchTime = time.Second

// watch asks the server itself for the holds, during the whole row. So it also finds holds without an owner, which are
// in no log.
type watch struct {
	stop  context.CancelFunc
	loop  sync.WaitGroup
	looks int
	wrong []string
}

func (x *Run) watch() *watch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{stop: cancel}
	clients := x.clients()
	w.loop.Go(func() {
		for {
			for _, n := range x.Load.Names {
				for _, c := range clients {
					look, cancel := context.WithTimeout(ctx, watchTime)
					if info, err := c.Inspect(look, n.Name); err == nil { // otherwise the fault is that the server does not answer
						w.look(info)
					}
					cancel()
				}
			}
			select {
			case <-time.After(watchEvery):
			case <-ctx.Done():
				return
			}
		}
	})
	return w
}

// look checks one answer. Expired holds may still be there, as they are dropped at the next acquire.
func (w *watch) look(info redislock.Info) {
	w.looks++
	var live []*Holding
	for _, h := range info.Holds {
		if h.Deadline.After(info.Now) {
			live = append(live, &Holding{Mode: h.Mode.Name(), Weight: h.Weight, Fence: h.Fence})
		}
	}
	if together(live) {
		return
	}
	text := fmt.Sprintf("I1: at %d the server had these holds of %s beside each other:", info.Now.UnixMicro(), info.Name)
	for _, h := range info.Holds {
		text += fmt.Sprintf(" fence %d of %v, %v, weight %d, until %d;", h.Fence, h.Owner, h.Mode, h.Weight, h.Deadline.UnixMicro())
	}
	w.wrong = append(w.wrong, text)
}

// end returns the violations.
func (w *watch) end() []string {
	w.stop()
	w.loop.Wait()
	return w.wrong
}
