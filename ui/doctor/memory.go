package doctor

import "fmt"

// eviction looks at what the server drops when it is full. Every key of a lock has an expiry, so the volatile policies
// drop locks as the others do.
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

// room is what helps where there is no more memory to be had.
const room = "move the locks to a server of their own, give the machine more memory, or delete what is not needed (redis-cli --bigkeys finds it)"

// headroom looks at how much memory there is left.
func headroom(f *facts) []Finding {
	const check = "memory"
	if u := f.unasked(check, "used_memory", "maxmemory"); u != nil {
		return u
	}
	used, _ := number(f.info, "used_memory")
	limit, _ := number(f.info, "maxmemory")
	total, _ := number(f.info, "total_system_memory")
	if limit == 0 && total > 0 && used > total/4*3 {
		return []Finding{{
			Check: check, Level: Warning, Found: fmt.Sprintf("%s in use of the %s that the machine has, and no maxmemory", size(used), size(total)),
			Why: "a server that takes all memory is killed by its system, and its locks with it.",
			Fix: room,
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
		Why: "without memory an acquire is refused (OOM), and so is a place in the queue. Releases and renewals still pass.",
		Fix: room,
	}
	// A part of the memory is left to the system, and to the copy that a snapshot takes. A container may have less than the
	// server knows of.
	if more := min(used*2, total/4*3); more > limit && !scarce(used, more) {
		found.Fix = "raise the limit, if nothing else wants that memory: " + set("maxmemory", fmt.Sprint(more)) + "; or " + room
	}
	if used >= limit/20*19 {
		found.Level, found.Found = Danger, "nearly full, "+text
	}
	if used >= limit/100*99 {
		found.Found = "full, " + text
		found.Why = "no lock can be taken: an acquire is refused (OOM), and so is a place in the queue. Releases and renewals still pass."
	}
	return []Finding{found}
}
