package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/internal/servertest"
)

func TestAWakeUpIsTimedFromTheReleaseToTheAcquire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		toldIn, told := io.Pipe()
		said, says := io.Pipe()
		freed := make(chan struct{}, wakeFailures)
		one := &sleeper{name: "x", lanes: 1, take: func(context.Context, string) (peer.Release, error) {
			return func(context.Context) error { freed <- struct{}{}; return nil }, nil
		}}
		one.listen(told, bufio.NewReader(said))
		go func() { // a waiter that is 7 ms late, and fails the second time
			defer func() { _ = says.Close() }()
			lines := bufio.NewScanner(toldIn)
			for n := 0; lines.Scan(); n++ {
				<-freed
				time.Sleep(7 * time.Millisecond)
				line := fmt.Sprintf("%s %d", lines.Text(), time.Now().UnixNano())
				if n == 1 {
					line += ` ! "given up"`
				}
				_, _ = fmt.Fprintln(says, line)
			}
		}()
		begun := time.Now()
		d, err := one.sample(t.Context(), 0)
		if d != 7*time.Millisecond || err != nil || time.Since(begun) != wakeIdle+d {
			t.Errorf("%v after %v in all, %v", d, time.Since(begun), err)
		}
		if _, err := one.sample(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "given up") {
			t.Errorf("what the waiter says: %v", err)
		}
		if took, failures := one.round(t.Context(), 3); len(took) != 3 || took[0] != 7000 || failures != 0 {
			t.Errorf("%v µs, %d failures", took, failures)
		}
		_ = told.Close()
		if took, failures := one.round(t.Context(), 10); len(took) != 0 || failures != wakeFailures {
			t.Errorf("of a process that has ended: %v µs, %d failures", took, failures)
		}
	})
}

func TestAWaiterSaysWhenItHadTheLock(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s := servertest.Start(t)
	publisher := s.Connect()
	subjects := map[string]func(ctx context.Context, name string) (peer.Release, error){
		floorPublish: func(context.Context, string) (peer.Release, error) {
			return func(ctx context.Context) error { return publisher.Publish(ctx, floorChannel, "now").Err() }, nil
		},
	}
	for _, p := range peer.All() {
		if p.Name == "rueidislock" { // see patient
			continue
		}
		l, err := p.Open(s.Addr(), peer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		subjects[p.Name] = l.Lock
	}
	for name, take := range subjects {
		in, told := io.Pipe()
		said, out := io.Pipe()
		done := make(chan error, 1)
		go func() {
			done <- await(ctx, []string{name, s.Addr()}, in, out)
			_ = out.Close()
		}()
		lines := bufio.NewReader(said)
		if line, err := lines.ReadString('\n'); line != readyLine {
			t.Fatalf("%s says %q, %v", name, line, err)
		}
		one := &sleeper{name: name, lanes: 2, take: take}
		one.listen(told, lines)
		for _, lane := range []int{0, 1, 0} {
			begun := time.Now()
			d, err := one.sample(ctx, lane)
			if err != nil || d <= 0 || d > time.Since(begun)-wakeIdle {
				t.Errorf("%s: %v of %v, %v", name, d, time.Since(begun), err)
			}
		}
		_ = told.Close()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
