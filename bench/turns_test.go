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
	for name, c := range map[string]struct {
		peer, order string
		reads       bool
	}{
		"turns":   {peer: peer.Turn1, order: `{"Waiters": 2, "Warm": 1000000, "Window": 200000000}`},
		"readers": {peer.Together, `{"Waiters": 3, "Readers": 0.5, "Work": 1000000, "Warm": 1000000, "Window": 200000000}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t)
			saying, out := io.Pipe()
			in, order := io.Pipe()
			done := make(chan error, 1)
			go func() {
				done <- compete(t.Context(), []string{c.peer, s.Addr()}, in, out)
				_ = out.Close()
			}()
			lines := bufio.NewReader(saying)
			if line, err := lines.ReadString('\n'); line != readyLine {
				t.Fatalf("%q, %v", line, err)
			}
			if _, err := io.WriteString(order, c.order+"\n"); err != nil {
				t.Fatal(err)
			}
			o, err := said(lines)
			if err != nil || o.Handoffs == 0 || o.Failures != 0 || o.Window < 200*time.Millisecond || o.Longest <= 0 || o.Commands == 0 || o.Grants < o.Handoffs {
				t.Errorf("%+v, %v", o, err)
			}
			if reads := o.Handoffs - o.Writes; (reads > 0) != c.reads || o.Writes == 0 {
				t.Errorf("%d of %d wrote", o.Writes, o.Handoffs)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
