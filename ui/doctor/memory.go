package doctor

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// eviction checks what the server drops when it is full. Every key of a lock has an expiry, so the volatile policies
// drop locks too.
func eviction(f *facts) []Finding {
	const check = "eviction policy"
	if u := f.unasked(check, "maxmemory_policy", "maxmemory"); u != nil {
		return u
	}
	policy := f.info["maxmemory_policy"]
	if policy == "noeviction" {
		return well(check, "noeviction")
	}
	limit, _ := number(f.info, "maxmemory")
	used, _ := number(f.info, "used_memory")
	found := Finding{
		Check: check, Level: Danger, Found: fmt.Sprintf("%s, with maxmemory at %s", policy, size(limit)),
		Why: "a full server drops locks that are held, for all their keys have an expiry: hold and queue together. " +
			"The next caller is granted the lock while the first still relies on it, until its next renewal.",
		Fix: set("maxmemory-policy", "noeviction") + "; keep caches on a server of their own",
	}
	if limit == 0 {
		found.Level = Warning
		found.Found = policy + ", but there is no maxmemory"
		found.Why = "it does no harm until somebody sets a maxmemory. Then " + found.Why
	}
	if limit > 0 && scarce(used, limit) {
		found.Fix = "make room or move the locks to a server of their own first, for a full server with noeviction refuses every new lock (OOM); then " + found.Fix
	}
	if n, _ := number(f.info, "evicted_keys"); n > 0 {
		found.Found += fmt.Sprintf("; %s evicted since it was started", count(n, "key"))
	}
	return []Finding{found}
}

// scarce reports whether a limit is nearly reached.
func scarce(used, limit int64) bool { return used >= limit/5*4 }

// room is the advice if the machine has no more memory.
const room = "move the locks to a server of their own, give the machine more memory, or delete what is not needed"

// leastRoom is how much free memory a server needs so as not to be about to be full. With less, one large value can fill it.
const leastRoom = 1 << 20

// A server that is about to be full is asked again, up to moreLooks times: it may be full at one moment and not at the next.
const (
	moreLooks = 4
	lookAgain = 50 * time.Millisecond
)

// lookCloser asks a server that is about to be full for its memory again, and keeps the answer with the least room.
func (f *facts) lookCloser(ctx context.Context) {
	for range moreLooks {
		free, limited := f.free()
		if limit, _ := number(f.info, "maxmemory"); !limited || free < 0 || free >= min(limit/100, leastRoom) {
			return
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return
		}
		text, err := within(ctx, patience, func(ctx context.Context) (string, error) { return f.rdb.Info(ctx, "memory").Result() })
		if err != nil {
			return
		}
		later := facts{info: fields(text)}
		if less, limited := later.free(); limited && less < free {
			maps.Copy(f.info, later.info)
		}
	}
}

// free is how much memory is left below maxmemory, as Redis counts it: without the buffers of replicas and of the append-only file. Below
// 0 it refuses what needs memory, or evicts. It is false if there is no maxmemory.
func (f *facts) free() (int64, bool) {
	used, _ := number(f.info, "used_memory")
	apart, _ := number(f.info, "mem_not_counted_for_evict")
	limit, _ := number(f.info, "maxmemory")
	return limit - (used - apart), limit > 0
}

// Memory returns only the findings of Examine about memory. It sends one request to each server, and a few to one that is about to be
// full.
func Memory(ctx context.Context, rdb redis.UniversalClient) Report {
	r := Report{Address: address(rdb)}
	ask := func(ctx context.Context, f *facts) []Finding {
		text, err := within(ctx, patience, func(ctx context.Context) (string, error) { return f.rdb.Info(ctx, "memory").Result() })
		if err != nil {
			return nil
		}
		f.info = fields(text)
		f.lookCloser(ctx)
		return f.mark(headroom(f))
	}
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		var mu sync.Mutex
		_ = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			found := ask(ctx, &facts{rdb: node, addr: node.Options().Addr, node: node.Options().Addr, options: node.Options()})
			mu.Lock()
			defer mu.Unlock()
			r.Findings = append(r.Findings, found...)
			return nil
		})
		return r
	}
	f := &facts{rdb: rdb, addr: r.Address}
	if c, ok := rdb.(*redis.Client); ok {
		f.options = c.Options()
	}
	r.Findings = ask(ctx, f)
	return r
}

// headroom checks how much memory is left.
func headroom(f *facts) []Finding {
	const check = "memory"
	if u := f.unasked(check, "used_memory", "maxmemory"); u != nil {
		return u
	}
	used, _ := number(f.info, "used_memory")
	limit, _ := number(f.info, "maxmemory")
	total, _ := number(f.info, "total_system_memory")
	biggest := f.cli("--bigkeys")
	if limit == 0 && total > 0 && used > total/4*3 {
		return []Finding{{
			Check: check, Level: Warning, Found: fmt.Sprintf("%s in use of the %s that the machine has, and no maxmemory", size(used), size(total)),
			Why: "a server that takes all memory is killed by its system, and its locks with it.",
			Fix: room, Look: biggest,
		}}
	}
	if limit == 0 {
		return well(check, "%s in use, no maxmemory", size(used))
	}
	text := fmt.Sprintf("%s in use of a maxmemory of %s", size(used), size(limit))
	if !scarce(used, limit) {
		return well(check, "%s", text)
	}
	found := Finding{
		Check: check, Level: Warning, Found: text,
		Why: refusals,
		Fix: room, Look: biggest,
	}
	if more := raised(used, limit, total); more > 0 {
		found.Fix = fmt.Sprintf("raise its limit to %s, if nothing else wants that memory: the machine has %s", size(more), size(total))
		found.Command = f.cli("CONFIG SET maxmemory " + bytesOf(more))
		found.Cost = "it fills up again if what fills it goes on growing. A restart brings the old limit back unless the new one is in the server's configuration file, where CONFIG REWRITE writes it"
	}
	free, _ := f.free()
	policy := f.info["maxmemory_policy"]
	switch {
	case free < 0 && policy != "" && policy != "noeviction":
		found.Level, found.Found = Danger, "full, "+text
		found.Why = "it drops keys to make room (" + policy + "), and locks that are held are among them. Where it finds nothing to drop, an acquire is refused (OOM)."
	case free < 0:
		found = asFull(found, text)
	case used >= limit/20*19:
		found.Level, found.Found = Danger, "nearly full, "+text
	}
	return []Finding{found}
}

// refusals is what a server does that has no memory left and does not evict. An acquire passes that needs no memory for its first write,
// as of a lock that was used lately.
const refusals = "an acquire is refused (OOM) whenever no memory is free, and so is a place in the queue; now and then one passes. " +
	"Refused callers leave no trace in Redis: their own logs say who is hit. What is held stays held: releases and renewals still pass."

// asFull is a finding of a server that has no memory left, with what shows that.
func asFull(f Finding, shows string) Finding {
	f.Level, f.Stops, f.Found, f.Why = Danger, NoMemory, fullFound+": "+shows, refusals
	return f
}

// fullFound is how the findings of a full server begin.
const fullFound = "full, most acquires are refused"

// raised is a higher limit, or 0 if the machine has no more memory. A part of the machine's memory is left to the system and to the
// copy that a snapshot makes. A container may have less memory than the server knows of. The result stays the same as long as the old
// limit does.
func raised(used, limit, total int64) int64 {
	more := 2 * limit
	for scarce(used, more) && more <= total {
		more *= 2
	}
	if most := total / 4 * 3; more > most {
		if more = most; more > 1<<20 {
			more = more >> 20 << 20
		}
		if more <= limit || scarce(used, more) {
			return 0
		}
	}
	return more
}

// bytesOf writes a number of bytes as Redis reads it.
func bytesOf(n int64) string {
	if n%(1<<20) == 0 {
		return fmt.Sprintf("%dmb", n>>20)
	}
	return fmt.Sprint(n)
}

// cli is a command line of redis-cli for this server. It has no password in it: redis-cli asks for that.
func (f *facts) cli(what string) string {
	host, port, err := net.SplitHostPort(f.addr)
	if err != nil || f.options == nil || strings.ContainsFunc(host+port+f.options.Username, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-_@+", r)
	}) || strings.HasPrefix(host, "-") || strings.HasPrefix(f.options.Username, "-") {
		return "redis-cli " + what
	}
	line := "redis-cli -h " + host + " -p " + port
	if f.options.TLSConfig != nil {
		line += " --tls"
	}
	if f.options.Username != "" {
		line += " --user " + f.options.Username
	}
	if f.options.Username != "" || f.options.Password != "" {
		line += " --askpass"
	}
	return line + " " + what
}

// oneCause makes the findings about a full server agree: of the memory, and of the lock that was tried. A lock that could be taken does
// not show that there is room, but one that was refused shows that there is none.
func oneCause(found []Finding) []Finding {
	memory := slices.IndexFunc(found, func(f Finding) bool { return f.Check == "memory" && f.Node == "" })
	lock := slices.IndexFunc(found, func(f Finding) bool { return f.Check == "lock" })
	if memory < 0 || lock < 0 {
		return found
	}
	m, l := &found[memory], &found[lock]
	switch {
	case l.Stops == NoMemory && m.Level >= Warning:
		if m.Stops != NoMemory {
			_, shows, nearly := strings.Cut(m.Found, "nearly full, ")
			if !nearly {
				shows = m.Found
			}
			*m = asFull(*m, shows)
		}
		l.Why, l.Fix = "Redis is full: see memory.", "what mends the memory mends this"
	case m.Stops == NoMemory && l.Level == OK:
		l.Found += ". Redis is full all the same: now and then an acquire passes"
	}
	return found
}
