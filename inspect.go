package redislock

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/lua"
)

// maxShown is how many holders and how many waiters Inspect shows.
const maxShown = 1000

// Info is the state of one lock at one moment of the server.
type Info struct {
	Name string
	// Now is the server's time.
	Now time.Time
	// Fence is the last one that was granted; 0 if none is remembered.
	Fence int64
	// Holders is how many hold the lock; Holds are the first of them, in the order of their grants.
	Holders int
	Holds   []Hold
	// Waiting is how many wait; Places are the first of them, in their order.
	Waiting int
	Places  []Place
}

// Hold is one hold.
type Hold struct {
	// ID tells this hold from every other. It is that of the [Place] that the hold was granted to, if it was waited for, and
	// stays for as long as the hold lasts. It gives no access to the lock.
	ID    string
	Owner Owner
	// Since is when it was granted, Deadline when it lapses unless it is renewed.
	Since, Deadline time.Time
	Fence           int64
	// Mode and Weight are what it counts as.
	Mode   Mode
	Weight int
	// Revoked says that it was stolen and waits to be given up; renewals are refused.
	Revoked bool
	// Kept says that its holder has given it back, and it stays until its deadline ([Lock.ReleaseAfter], [WithAtLeast]).
	Kept bool

	token string
}

// Place is one place in the queue.
type Place struct {
	// ID tells this place from every other; see [Hold].
	ID    string
	Owner Owner
	// Since is when it joined; zero for a reader that waits to become the writer ([Lock.Upgrade]).
	Since time.Time
	// Mode and Weight are what it asks for.
	Mode   Mode
	Weight int
}

// Inspect tells who holds a lock and who waits for it, in order, the first 1,000 of each. It changes nothing. A name
// that nobody uses has neither.
func (c *Client) Inspect(ctx context.Context, name string) (Info, error) {
	info, err := c.inspect(ctx, name, maxShown)
	return info, wrapOp("inspect", name, err)
}

func (c *Client) inspect(ctx context.Context, name string, shown int) (Info, error) {
	if err := c.mayLook(ctx, name, itself); err != nil {
		return Info{}, err
	}
	a := c.query(ctx, lua.Inspect, c.keys.Lock(name), shown)
	if a.Err != nil {
		return Info{}, a.Err
	}
	info, err := parseInfo(name, a.Value)
	if err == nil && info.Fence > 0 {
		c.floors.note(name, info.Fence)
	}
	return info, err
}

// parseInfo reads the answer of inspect and of watch.
func parseInfo(name string, answer any) (Info, error) {
	f, err := protocol.FieldsOf(answer)
	if err != nil {
		return Info{}, err
	}
	info := Info{Name: name, Now: f.Micros(0).Time(), Waiting: f.Int(2), Holders: f.Int(3)}
	if f.Text(1) != "" {
		info.Fence = int64(f.Micros(1))
	}
	i := 5
	for range min(f.Int(4), len(f.Values)) {
		mode, weight := protocol.ParseMode(f.Text(i + 5))
		info.Holds = append(info.Holds, Hold{
			ID: publicID(f.Text(i + 3)), Since: f.Micros(i).Time(), Deadline: f.Micros(i + 1).Time(), Fence: int64(f.Micros(i + 2)), token: f.Text(i + 3),
			Revoked: f.Text(i+4) == "r", Kept: f.Text(i+4) == "k", Mode: Mode{wire: mode}, Weight: weight, Owner: parseOwner(f.Text(i + 6)),
		})
		i += 7
	}
	for ; i+3 < len(f.Values); i += 4 {
		mode, weight := protocol.ParseMode(f.Text(i + 2))
		info.Places = append(info.Places, Place{ID: publicID(f.Text(i + 1)), Since: f.Micros(i).Time(), Mode: Mode{wire: mode}, Weight: weight, Owner: parseOwner(f.Text(i + 3))})
	}
	return info, f.Err
}

// publicID is an id for others to see: who knows a token can give the hold back.
func publicID(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:8])
}
