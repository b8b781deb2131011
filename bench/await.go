package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"example.com/redislock/bench/internal/peer"
)

// roleWait makes this program a waiter that is woken. A peer or the floor, and an address, follow.
const roleWait = "wait"

// floorChannel is the channel on which the floor publishes.
const floorChannel = "wake"

// await is the main function of a waiter. Each line of in is the number of a lane. For each it waits for the lock of
// the lane's name, gives it back, and writes a line: the lane, the time at which it had the lock in ns since 1970, and
// after a "!" the error, if there is one.
func await(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wait, closes, err := waits(ctx, args)
	if err != nil {
		return err
	}
	defer closes()
	if _, err := io.WriteString(out, readyLine); err != nil {
		return err
	}
	var mu sync.Mutex
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer cancel() // is called first
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		lane, err := strconv.Atoi(lines.Text())
		if err != nil {
			return err
		}
		waiting.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, wakeTime)
			defer cancel()
			at, err := wait(ctx, laneName(args[0], lane))
			line := fmt.Sprint(lane, " ", at.UnixNano())
			if err != nil {
				line += fmt.Sprintf(" ! %q", err)
			}
			mu.Lock()
			defer mu.Unlock()
			_, _ = fmt.Fprintln(out, line)
		})
	}
	return lines.Err()
}

// waits waits as the subject does. It returns the time at which it had the lock; the lock is given back by then.
func waits(ctx context.Context, args []string) (wait func(context.Context, string) (time.Time, error), closes func(), err error) {
	if len(args) == 2 && args[0] == floorPublish {
		return receives(ctx, args[1])
	}
	l, err := opened(args, peer.Options{})
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, name string) (time.Time, error) {
		release, err := l.Lock(ctx, name)
		at := time.Now()
		if err == nil {
			err = release(ctx)
		}
		return at, err
	}, l.Close, nil
}

// receives waits for the next message, whatever the name.
func receives(ctx context.Context, addr string) (wait func(context.Context, string) (time.Time, error), closes func(), err error) {
	rdb := peer.Connect(addr, peer.Options{})
	sub := rdb.Subscribe(ctx, floorChannel)
	closes = func() {
		_ = sub.Close()
		_ = rdb.Close()
	}
	if _, err := sub.Receive(ctx); err != nil { // the confirmation of the subscription
		closes()
		return nil, nil, err
	}
	return func(ctx context.Context, _ string) (time.Time, error) {
		_, err := sub.ReceiveMessage(ctx)
		return time.Now(), err
	}, closes, nil
}
