package main

import (
	"context"
	"time"
)

// hold has process n take a lock that is free.
func (d *demo) hold(ctx context.Context, n int, o order) (report, error) {
	o.Do = "hold"
	if err := d.troupe[n].order(o); err != nil {
		return report{}, err
	}
	return d.await(ctx, from(n, "held"))
}

// write has process n write to the register with its fence.
func (d *demo) write(ctx context.Context, n int, file string) (report, error) {
	if err := d.troupe[n].order(order{Do: "write", File: file}); err != nil {
		return report{}, err
	}
	return d.await(ctx, from(n, "written"))
}

// release has process n give its lock back.
func (d *demo) release(ctx context.Context, n int) error {
	if err := d.troupe[n].order(order{Do: "release"}); err != nil {
		return err
	}
	_, err := d.await(ctx, from(n, "released"))
	return err
}

// queued returns when so many wait for the lock.
func (d *demo) queued(ctx context.Context, lock string, waiting int) error {
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		info, err := d.link.client.Inspect(ctx, lock)
		if err != nil || info.Waiting == waiting {
			return err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
