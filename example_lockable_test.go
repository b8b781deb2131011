package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"example.com/redislock"
)

// purse is an account of which one method runs at a time, whichever instance of the application calls it.
type purse struct {
	redislock.Lockable
	owner string
	coins int // in an application: what is in its database
}

func newPurse(client *redislock.Client, owner string, coins int) (*purse, error) {
	p := &purse{owner: owner, coins: coins}
	return p, p.Init(client, "purse/"+owner)
}

func (p *purse) deposit(ctx context.Context, coins int) error {
	return p.Locked(ctx, func(context.Context) error {
		p.coins += coins
		return nil
	})
}

func (p *purse) withdraw(ctx context.Context, coins int) error {
	return p.Locked(ctx, func(context.Context) error {
		if p.coins < coins {
			return fmt.Errorf("%s has %d coins, not %d", p.owner, p.coins, coins)
		}
		p.coins -= coins
		return nil
	})
}

// transfer calls the other two, which re-enter the locks that it has. It takes them in the order of the names: two
// opposite transfers that each had one would wait for each other.
func (p *purse) transfer(ctx context.Context, to *purse, coins int) error {
	first, second := p, to
	if second.owner < first.owner {
		first, second = second, first
	}
	return first.Locked(ctx, func(ctx context.Context) error {
		return second.Locked(ctx, func(ctx context.Context) error {
			if err := p.withdraw(ctx, coins); err != nil {
				return err
			}
			return to.deposit(ctx, coins)
		})
	})
}

func ExampleLockable() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	ada, err := newPurse(client, "ada", 50)
	if err != nil {
		fmt.Println(err)
		return
	}
	bob, err := newPurse(client, "bob", 50)
	if err != nil {
		fmt.Println(err)
		return
	}

	var all sync.WaitGroup
	for range 5 {
		all.Go(func() { _ = ada.transfer(ctx, bob, 3) })
		all.Go(func() { _ = bob.transfer(ctx, ada, 2) })
	}
	all.Wait()
	fmt.Println("ada", ada.coins, "bob", bob.coins)
	fmt.Println(ada.transfer(ctx, bob, 100))
	// Output:
	// ada 45 bob 55
	// ada has 45 coins, not 100
}

// For a section that is not a function: the context says who holds the lock.
func ExampleLockable_Acquire() {
	client, _, stop := exampleClients()
	defer stop()
	request := context.Background()

	ada, err := newPurse(client, "ada", 50)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, err := ada.Acquire(request, redislock.WithWait(time.Second))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(ada.deposit(ctx, 5)) // under ctx it re-enters

	_, err = ada.Acquire(request, redislock.WithWait(0)) // under another context somebody else has it
	fmt.Println(errors.Is(err, redislock.ErrHeld))

	fmt.Println(ada.Release(ctx))
	fmt.Println(errors.Is(ada.Release(ctx), redislock.ErrNotHeld)) // once too often
	// Output:
	// <nil>
	// true
	// <nil>
	// true
}
