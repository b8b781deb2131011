package main

import (
	"testing"
	"time"
)

func TestAProcessWaitsWhileNoneOfItsCallersHasTheLock(t *testing.T) {
	t.Parallel()
	at := func(got ...time.Duration) (turns []turn) {
		for _, d := range got {
			turns = append(turns, turn{got: d * time.Millisecond})
		}
		return turns
	}
	f := field{from: 10 * time.Millisecond, to: 50 * time.Millisecond, turns: [][]turn{at(12, 30), at(5, 11, 49), at(20, 55), at(40)}}
	longest, each := f.processes(2) // callers 0 and 2, and callers 1 and 3
	if longest != 29*time.Millisecond || len(each) != 2 || each[0] != 3 || each[1] != 3 {
		t.Errorf("%v, %v", longest, each)
	}
	f.turns[3] = nil
	if longest, each = f.processes(2); longest != 38*time.Millisecond || each[1] != 2 {
		t.Errorf("%v, %v", longest, each)
	}
}
