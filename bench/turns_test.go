package main

import (
	"bufio"
	"io"
	"testing"
	"time"

	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/internal/servertest"
)

func TestAProcessWaitsWhileNoneOfItsCallersHasTheLock(t *testing.T) {
	t.Parallel()
	at := func(got ...time.Duration) (turns []turn) {
		for _, d := range got {
			turns = append(turns, turn{got: d * time.Millisecond})
		}
		return turns
	}
	f := field{from: 10 * time.Millisecond, to: 50 * time.Millisecond, turns: [][]turn{at(12, 30), at(5, 20, 55)}}
	if longest := f.longestWait(); longest != 20*time.Millisecond {
		t.Error(longest)
	}
	f.turns[0] = nil
	if longest := f.longestWait(); longest != 30*time.Millisecond {
		t.Error(longest)
	}
	f.turns[1] = nil
	if longest := f.longestWait(); longest != 40*time.Millisecond {
		t.Error(longest)
	}
}

func TestAProcessThatCompetesSaysWhatItGot(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	saying, out := io.Pipe()
	in, order := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- compete(t.Context(), []string{peer.Turn1, s.Addr()}, in, out)
		_ = out.Close()
	}()
	lines := bufio.NewReader(saying)
	if line, err := lines.ReadString('\n'); line != readyLine {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := io.WriteString(order, `{"Waiters": 2, "Warm": 1000000, "Window": 200000000}`+"\n"); err != nil {
		t.Fatal(err)
	}
	o, err := said(lines)
	if err != nil || o.Handoffs == 0 || o.Failures != 0 || o.Window < 200*time.Millisecond || o.Longest <= 0 {
		t.Errorf("%+v, %v", o, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
