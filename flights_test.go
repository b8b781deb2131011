package redislock

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// Whoever boards as the last caller leaves gets a flight of its own, not the end of the other's context.
func TestNobodyBoardsAFlightThatItsLastCallerHasLeft(t *testing.T) {
	f := &flights{}
	key := flightKey{key: "n"}
	fn := func(ctx context.Context) (sharedValue, error) {
		for range 5 {
			runtime.Gosched()
		}
		return sharedValue{}, ctx.Err()
	}
	var all, leaving sync.WaitGroup
	var over atomic.Bool
	for range 4 {
		all.Go(func() {
			for !over.Load() {
				if _, _, err := f.join(context.Background(), key, fn); err != nil {
					t.Errorf("a caller whose context never ends: %v", err)
					return
				}
			}
		})
		leaving.Go(func() {
			for range 5000 {
				ctx, leave := context.WithCancel(context.Background())
				go leave()
				_, _, _ = f.join(ctx, key, fn)
			}
		})
	}
	all.Go(func() {
		for !over.Load() {
			f.mu.Lock()
			for _, here := range f.all {
				if here.callers == 0 {
					t.Error("a flight without callers can be boarded")
					over.Store(true)
				}
			}
			f.mu.Unlock()
			runtime.Gosched()
		}
	})
	leaving.Wait()
	over.Store(true)
	all.Wait()
}
