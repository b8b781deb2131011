package servertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Every clock that a process can ask for, before and after a step, in nanoseconds.
const clocks = `
#include <stdio.h>
#include <sys/time.h>
#include <time.h>

static long long ns(clockid_t clock) {
	struct timespec now;
	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int main(void) {
	struct timeval day;
	gettimeofday(&day, 0);
	time_t copy;
	printf("%lld %lld %lld %lld %lld %lld\n", ns(CLOCK_REALTIME), ns(CLOCK_REALTIME_COARSE),
		day.tv_sec * 1000000000LL + day.tv_usec * 1000LL, time(&copy) * 1000000000LL, ns(CLOCK_MONOTONIC), ns(CLOCK_BOOTTIME));
}
`

func TestOnlyTheClocksOfTheDayAreShifted(t *testing.T) {
	t.Parallel()
	env, file := shim(t)
	c := &Clocked{file: file, Server: &Server{t: t}}
	source := filepath.Join(t.TempDir(), "clocks.c")
	program := source[:len(source)-2]
	if err := os.WriteFile(source, []byte(clocks), 0o600); err != nil {
		t.Fatal(err)
	}
	cc, err := compiler()
	if err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(cc, "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	look := func() (now [6]int64) {
		t.Helper()
		cmd := exec.Command(program)
		cmd.Env = append(os.Environ(), env...)
		said, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(string(said), &now[0], &now[1], &now[2], &now[3], &now[4], &now[5]); err != nil {
			t.Fatalf("%v: %q", err, said)
		}
		return now
	}
	names := [6]string{"CLOCK_REALTIME", "CLOCK_REALTIME_COARSE", "gettimeofday", "time", "CLOCK_MONOTONIC", "CLOCK_BOOTTIME"}
	c.SetClock(0)
	began := time.Now()
	first := look()
	for _, step := range []time.Duration{time.Hour, -time.Hour, 999_999_999, -999_999_999} {
		c.SetClock(step)
		got := look()
		took := time.Since(began)
		for i, name := range names {
			want := step
			if i >= 4 {
				want = 0
			}
			// Coarse clocks lag by up to a tick, time() by up to a second.
			slack := time.Duration(0)
			switch i {
			case 1:
				slack = 20 * time.Millisecond
			case 3:
				slack = time.Second
			}
			moved := time.Duration(got[i] - first[i])
			if moved < want-slack || moved > want+took+slack {
				t.Errorf("%s moved by %v, want %v and at most %v more", name, moved, want, took)
			}
		}
	}
}
