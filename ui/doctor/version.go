package doctor

import (
	"fmt"
	"strconv"
	"strings"
)

// version is major, minor and patch.
type version [3]int

func parseVersion(text string) (v version, ok bool) {
	parts := strings.SplitN(text, ".", 3)
	if len(parts) < 2 {
		return v, false
	}
	for i, part := range parts {
		end := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' })
		if end >= 0 {
			part = part[:end]
		}
		n, err := strconv.Atoi(part)
		if err != nil {
			return v, false
		}
		v[i] = n
	}
	return v, true
}

func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

func (v version) before(w version) bool {
	for i := range v {
		if v[i] != w[i] {
			return v[i] < w[i]
		}
	}
	return false
}

// product is the product and its version, as the server names itself.
func (f *facts) product() (name string, v version, known bool) {
	for _, p := range []struct{ field, name string }{
		{"valkey_version", "Valkey"}, {"dragonfly_version", "Dragonfly"}, {"garnet_version", "Garnet"}, {"kvrocks_version", "Kvrocks"},
	} {
		if text := f.info[p.field]; text != "" {
			v, known = parseVersion(strings.TrimLeft(text, "dfv-"))
			return p.name, v, known
		}
	}
	name = "Redis"
	if is := f.hello["server"]; is != "" && is != "redis" {
		name = strings.ToUpper(is[:1]) + is[1:]
	}
	if strings.HasPrefix(f.info["role"], "active-") || f.info["active_replica"] != "" {
		name = "KeyDB"
	}
	text := f.info["redis_version"]
	if text == "" {
		text = f.hello["version"] // HELLO needs no permission
	}
	v, known = parseVersion(text)
	return name, v, known
}

// support checks whether the library works with this server, and how well.
func support(f *facts) []Finding {
	const check = "version"
	name, v, known := f.product()
	if !known {
		if u := f.unasked(check, "redis_version"); u != nil {
			return u
		}
		return []Finding{{Check: check, Level: Unknown, Found: fmt.Sprintf("%s of a version that cannot be read", name), Fix: "compare it with the README: Redis 6.0 and later"}}
	}
	text := name + " " + v.String()
	switch {
	case name != "Redis" && name != "Valkey":
		return []Finding{{
			Check: check, Level: Warning, Found: text,
			Why: "redislock is not tested with it. Locks need atomic scripts, in the order in which they arrive, and messages that are sent from scripts; scripts may be off, or limited to less than Redis has.",
			Fix: "test failover and restart with your applications, or use Redis or Valkey",
		}}
	case v.before(version{6}):
		return []Finding{{
			Check: check, Level: Danger, Found: text,
			Why: "redislock needs 6.0, and refuses what is older (ErrServer).",
			Fix: "upgrade to " + latest(v),
		}}
	case v.before(version{6, 2}):
		return []Finding{{
			Check: check, Level: Warning, Found: text,
			Why: "it cannot keep a user from the channels of others: whoever may publish can make waiters ask in vain, though no message grants a lock. It gets no releases any more, and does not hold scripts to min-replicas-to-write.",
			Fix: "upgrade to " + latest(v),
		}}
	case v.before(version{7}) && f.clustered():
		return []Finding{{
			Check: check, Level: Warning, Found: text + ", in a cluster",
			Why: "it has no sharded channels (7.0 has): each wake-up goes to all nodes, and receivers cannot be counted, so a waiter that died less than 7 s before its turn keeps the lock idle for 5 s.",
			Fix: "upgrade to " + latest(v),
		}}
	}
	return well(check, "%s", text)
}

// latest is the release to upgrade to: one of this line in which all known faults are fixed, or a newer line.
func latest(v version) string {
	best := map[[2]int]int{}
	for _, fault := range knownFaults {
		if fault.product != "Redis" {
			continue
		}
		for _, fixed := range fault.fixed {
			line := [2]int{fixed[0], fixed[1]}
			best[line] = max(best[line], fixed[2])
		}
	}
	if patch, ok := best[[2]int{v[0], v[1]}]; ok && !v.before(version{6, 2}) && v[2] < patch {
		return version{v[0], v[1], patch}.String() + " or later"
	}
	return "a release that is still maintained, such as " + version{7, 4, best[[2]int{7, 4}]}.String() + " or a newer line"
}

// faults looks for bugs of this version that affect locks.
func faults(f *facts) []Finding {
	const check = "known faults"
	name, v, ok := f.product()
	if !ok || name != "Redis" && name != "Valkey" {
		return nil
	}
	var found, why []string
	for _, fault := range knownFaults {
		if fault.product == name && fault.in(v) && (fault.when == nil || fault.when(f)) {
			found, why = append(found, fault.name), append(why, fault.why)
		}
	}
	if len(found) == 0 {
		return well(check, "none that redislock knows of in %s %s", name, v)
	}
	fix := "upgrade to a release of Valkey that is still maintained"
	if name == "Redis" {
		fix = "upgrade to " + latest(v)
	}
	return []Finding{{
		Check: check, Level: Warning, Found: fmt.Sprintf("%s %s has: %s", name, v, strings.Join(found, "; ")),
		Why: strings.Join(why, " "),
		Fix: fix + "; a distribution may have mended its " + v.String() + " and kept the number: see its changelog",
	}}
}
