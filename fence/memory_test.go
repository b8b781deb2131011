package fence_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"example.com/redislock/fence"
)

func TestMemoryWritesInTheOrderOfFences(t *testing.T) {
	t.Parallel()
	var (
		m       fence.Memory
		written []int64
		all     sync.WaitGroup
	)
	for f := range int64(200) {
		all.Go(func() {
			err := m.Do(context.Background(), "a", f+1, func() error {
				written = append(written, f+1) // guarded by the register
				return nil
			})
			if err != nil && !errors.Is(err, fence.ErrStale) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if !slices.IsSorted(written) || written[len(written)-1] != 200 || m.Highest("a") != 200 {
		t.Errorf("written by %v, highest %d", written, m.Highest("a"))
	}
}

func TestNoFenceIsAcceptedWhileAnotherWrites(t *testing.T) {
	t.Parallel()
	var m fence.Memory
	writing, finish, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		if err := m.Do(context.Background(), "a", 5, func() error {
			close(writing)
			<-finish
			return nil
		}); err != nil {
			t.Error(err)
		}
	}()
	within(t, "the first writes", writing)
	accepted(t, &m, "b", 1) // another resource is not affected
	next := make(chan struct{})
	go func() {
		defer close(next)
		accepted(t, &m, "a", 9)
	}()
	select {
	case <-next:
		t.Error("9 was accepted while 5 writes")
	case <-time.After(50 * time.Millisecond): // if it did not wait, it would have been accepted at once
	}
	close(finish)
	within(t, "the first is done", done)
	within(t, "the next is accepted", next)
}

func TestAFailedWriteLeavesItsFenceAccepted(t *testing.T) {
	t.Parallel()
	var m fence.Memory
	cause := errors.New("disk full")
	if err := m.Do(context.Background(), "a", 5, func() error { return cause }); !errors.Is(err, cause) {
		t.Errorf("the error is %v, want the write's own", err)
	}
	refused(t, m.Accept(context.Background(), "a", 4), "a", 4, 5)
	refused(t, m.Do(context.Background(), "a", 4, func() error {
		t.Error("a refused write ran")
		return nil
	}), "a", 4, 5)
	if m.Highest("a") != 5 || m.Highest("b") != 0 {
		t.Errorf("highest: %d and %d, want 5 and 0", m.Highest("a"), m.Highest("b"))
	}
}
