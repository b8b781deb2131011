package redislock

import (
	"context"
	"time"
)

// maxPlaces is how many waiters Inspect shows.
const maxPlaces = 1000

// Info is the state of one lock at one moment of the server.
type Info struct {
	Name string
	// Now is the server's time.
	Now time.Time
	// Fence is the last one that was granted; 0 if none is remembered.
	Fence int64
	// Holds has an entry for each holder.
	Holds []Hold
	// Waiting is how many wait; Places are the first of them, in their order.
	Waiting int
	Places  []Place
}

// Hold is one hold.
type Hold struct {
	Owner Owner
	// Since is when it was granted, Deadline when it lapses unless it is renewed.
	Since, Deadline time.Time
	Fence           int64
	// Revoked says that it was stolen and waits to be given up; renewals are refused.
	Revoked bool
}

// Place is one place in the queue.
type Place struct {
	Owner Owner
	// Since is when it joined.
	Since time.Time
}

// Inspect tells who holds a lock and who waits for it, in order, the first 1,000 of them. It changes nothing. A name
// that nobody uses has neither.
func (c *Client) Inspect(ctx context.Context, name string) (Info, error) {
	info, err := c.inspect(ctx, name, maxPlaces)
	return info, wrapOp("inspect", name, err)
}

func (c *Client) inspect(ctx context.Context, name string, places int) (Info, error) {
	if err := checkName(name); err != nil {
		return Info{}, err
	}
	if c.isClosed() {
		return Info{}, ErrClosed
	}
	a := c.ask(ctx, nil, scriptInspect, c.key(name), places)
	if a.err != nil {
		return Info{}, a.err
	}
	f, err := fieldsOf(a.value)
	if err != nil {
		return Info{}, err
	}
	info := Info{Name: name, Now: f.micros(0).time(), Waiting: f.int(2)}
	if f.text(1) != "" {
		info.Fence = int64(f.micros(1))
	}
	i := 4
	for range min(f.int(3), len(f.values)) {
		info.Holds = append(info.Holds, Hold{
			Since: f.micros(i).time(), Deadline: f.micros(i + 1).time(), Fence: int64(f.micros(i + 2)),
			Revoked: f.text(i+4) == "r", Owner: parseOwner(f.text(i + 5)),
		})
		i += 6
	}
	for ; i+2 < len(f.values); i += 3 {
		info.Places = append(info.Places, Place{Since: f.micros(i).time(), Owner: parseOwner(f.text(i + 2))})
	}
	return info, f.err
}
