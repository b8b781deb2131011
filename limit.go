package redislock

import (
	"context"
	"slices"
	"strconv"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/lua"
)

// Limit says how many holds of some modes a lock may have, beside what the modes of its callers say. The zero Limit is none.
type Limit struct {
	// Rules count all holds of the modes that they name, by weight.
	Rules []Rule
	// Until is when the limit ends, by the server's clock.
	Until time.Time
}

// SetLimit limits the holds of a lock for the time long, or until it is called again, beside what the modes of its callers say.
// So the size of a semaphore can change while the program runs: the limit applies to all Clients at once, and none of them needs
// to know it. Each rule is an [AtMost], and counts all holds of the modes that it names, by weight:
//
//	api := Semaphore(100) // in the program: more than there will ever be
//	err := client.SetLimit(ctx, "partner-api", 24*time.Hour, AtMost(10, "semaphore"))
//
// The rules replace those of the limit before. A call without rules removes the limit. A limit only makes grants fewer: the rules
// of the modes count too. Redis checks it at each grant in a shared mode. A holder keeps its lock when the limit falls, and may
// change its mode. A waiter is granted the lock as soon as the limit allows it. Under a limit of 0 nobody is granted it. A
// request that the limit no longer allows waits at the head of the queue, and all others wait behind it. The [HeldError] of a caller
// that gives up has the limit. [WithStealAfter] revokes a hold under a limit only if that makes room under it. A hold in [Exclusive] is
// not limited, so no rule can name that mode. [Write] is a mode like the others: under AtMost(0, "write") nobody is granted it.
//
// long is from a second to [MaxRetention]. When it is over, the limit ends, and waiters are granted the lock within a few
// seconds. Call SetLimit again before, if the limit is to stay. Redis keeps the key of the lock until then at least, also if the
// limit is removed before: that key has the last fence, and is never made to end sooner. If Redis loses its data, the limit is
// lost. Clients of an earlier version do not know it. [Client.Limit] and [Client.Inspect] show it.
//
// Of two calls that set the same rules at the same time the longer one counts; otherwise the later one does.
//
// SetLimit returns [ErrInvalid] if a rule is none of these or names "exclusive", or if they name more than [MaxRules] modes.
// After another error the limit may have been set or not, and may still be set within a minute; a later SetLimit that returned
// nil is not undone by that.
func (c *Client) SetLimit(ctx context.Context, name string, long time.Duration, rules ...Rule) error {
	return wrapOp("set limit", name, c.setLimit(ctx, name, long, rules))
}

// Limit is the limit of a lock that [Client.SetLimit] has set, or the zero Limit.
func (c *Client) Limit(ctx context.Context, name string) (Limit, error) {
	_, limit, err := c.readLimit(ctx, name)
	return limit, wrapOp("limit", name, err)
}

func (c *Client) setLimit(ctx context.Context, name string, long time.Duration, rules []Rule) error {
	if err := c.mayLook(ctx, name, itself); err != nil {
		return err
	}
	if long < time.Second || long > MaxRetention {
		return invalid("a limit for %v: must be from %v to %v", long, time.Second, MaxRetention)
	}
	var wire []protocol.Rule
	named := 0
	for _, r := range rules {
		if fault := r.fault(); fault != "" {
			return invalid("a limit: %s", fault)
		}
		if r.any || r.atGrant {
			return invalid("a limit: its rules are AtMost, and nothing else")
		}
		if slices.Contains(r.modes, Exclusive.Name()) {
			return invalid("a limit: %v: a hold in that mode is not limited", r)
		}
		names := slices.Compact(slices.Sorted(slices.Values(r.modes)))
		named += len(names)
		wire = append(wire, protocol.Rule{Modes: names, Most: r.most})
	}
	if named > MaxRules {
		return invalid("a limit: it names %d modes, at most %d", named, MaxRules)
	}
	text := protocol.EncodeLimit(wire)
	if err := c.enter(); err != nil {
		return err
	}
	defer c.leave()
	for {
		version, _, err := c.readLimit(ctx, name)
		if err != nil {
			return err
		}
		a := c.transport.Ask(ctx, nil, lua.Limit, c.keys.Lock(name), version, text, strconv.FormatInt(long.Microseconds(), 10))
		if a.Err != nil {
			return a.Err
		}
		f, err := protocol.FieldsOf(a.Value)
		if err != nil {
			return err
		}
		if f.Text(0) == "over" { // another has set it meanwhile
			continue
		}
		if f.Int(3) > 0 {
			c.giveUp(c.keys.Lock(name), protocol.NewToken(), false) // the token is of no wait; the request only continues the hand-over
		}
		return f.Err
	}
}

// readLimit is the limit of a lock, and the version that the next one has.
func (c *Client) readLimit(ctx context.Context, name string) (version string, limit Limit, err error) {
	if err := c.mayLook(ctx, name, itself); err != nil {
		return "", limit, err
	}
	if err := ctx.Err(); err != nil { // go-redis may send all the same
		return "", limit, err
	}
	a := c.query(ctx, lua.Limit, c.keys.Lock(name), "")
	if a.Err != nil {
		return "", limit, a.Err
	}
	f, err := protocol.FieldsOf(a.Value)
	if err != nil {
		return "", limit, err
	}
	if f.Text(1) != "" {
		limit.Until = f.Micros(1).Time()
	}
	limit.Rules = limitRules(f.Text(2))
	return f.Text(0), limit, f.Err
}

// limitRules reads the rules of a limit.
func limitRules(text string) (rules []Rule) {
	for _, r := range (protocol.Mode{Rules: text}).ListRules() {
		rules = append(rules, Rule{modes: r.Modes, most: r.Most})
	}
	return rules
}
