package scheduler

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A timer stands still while the machine is suspended. The wall clock does not, and shows the suspension afterwards.
func TestAfterASuspensionWhatIsDueRunsWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var suspended atomic.Int64
		a := New(func() {})
		a.wall = func() time.Time { return time.Now().Add(time.Duration(suspended.Load())).Round(0) }
		stop := make(chan struct{})
		defer close(stop)
		go a.Run(stop)
		ran := make(chan string, 3)
		at := func(name string, in time.Duration) {
			a.Set(&Task{Job: Func(func() { ran <- name })}, time.Now().Add(in))
		}
		at("second", 20*time.Minute)
		at("first", 10*time.Minute)
		at("last", 2*time.Hour)
		time.Sleep(time.Minute)
		begun := time.Now()
		suspended.Store(int64(time.Hour))
		for _, want := range []string{"first", "second"} {
			if got := <-ran; got != want || time.Since(begun) > time.Second {
				t.Errorf("%s after %v, want %s within a second", got, time.Since(begun), want)
			}
		}
		if got := <-ran; got != "last" || time.Since(begun) != 59*time.Minute {
			t.Errorf("%s after %v", got, time.Since(begun))
		}
	})
}

// Clocks that differ a little, and one that is set back, are no suspension.
func TestAClockThatIsSetBackDelaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var step atomic.Int64
		a := New(func() {})
		a.wall = func() time.Time { return time.Now().Add(time.Duration(step.Load())).Round(0) }
		stop := make(chan struct{})
		defer close(stop)
		go a.Run(stop)
		ran, begun := make(chan struct{}), time.Now()
		a.Set(&Task{Job: Func(func() { close(ran) })}, begun.Add(time.Minute))
		time.Sleep(10 * time.Second)
		step.Store(-int64(time.Hour))
		time.Sleep(10 * time.Second)
		step.Store(-int64(time.Hour) + int64(50*time.Millisecond))
		<-ran
		if took := time.Since(begun); took != time.Minute {
			t.Errorf("after %v", took)
		}
	})
}

// The cost of a look, of which an idle Client makes one each second.
func BenchmarkLookForASuspension(b *testing.B) {
	a := New(func() {})
	a.Set(&Task{Job: Func(func() {})}, time.Now().Add(time.Hour))
	slept, wall := time.Now(), a.wall()
	for b.Loop() {
		if a.wall().Sub(wall)-time.Since(slept) >= suspendLeast {
			b.Fatal("suspended")
		}
		if a.due() != nil {
			b.Fatal("due")
		}
		_ = a.sleep()
	}
}

func TestAnUrgentCheckIsNotPutOff(t *testing.T) {
	a := New(func() {})
	for range 20000 {
		tk := &Task{Job: Func(func() {})}
		start, done := make(chan struct{}), make(chan struct{})
		soon := time.Now().Add(time.Hour)
		for _, at := range []time.Time{soon, soon.Add(2 * time.Second)} {
			go func() {
				<-start
				a.SetNoLater(tk, at)
				done <- struct{}{}
			}()
		}
		close(start)
		<-done
		<-done
		if !tk.at.Equal(soon) {
			t.Fatal("the later of two hurries won")
		}
		a.Remove(tk)
	}
}
