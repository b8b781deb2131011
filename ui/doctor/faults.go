package doctor

// fault is a bug in some versions of a server that matters for locks.
type fault struct {
	product string
	name    string
	why     string
	since   version
	// fixed is the first release of each line that does not have the bug. Lines older than all of these keep it, newer
	// lines never had it, and a line in between has it unless it is named.
	fixed []version
	when  func(*facts) bool // nil: always
}

func (e fault) in(v version) bool {
	if v.before(e.since) {
		return false
	}
	for _, fixed := range e.fixed {
		if fixed[0] == v[0] && fixed[1] == v[1] {
			return v.before(fixed)
		}
	}
	return v.before(e.fixed[len(e.fixed)-1])
}

// knownFaults come from the release notes. Only those are here that break what locks rely on, or by which one user of a
// shared server can take it over with the permissions that locks need.
var knownFaults = []fault{
	{
		// Redis 6.2.7: "Lua: Add checks for min-slave-* configs when evaluating Lua scripts (#10160)".
		// https://github.com/redis/redis/releases/tag/6.2.7
		product: "Redis", name: "min-replicas-to-write is not heeded by scripts (before 6.2.7)",
		why:   "A primary that is cut off from its replicas goes on granting.",
		fixed: []version{{6, 2, 7}},
		when:  func(f *facts) bool { return f.config["min-replicas-to-write"] != "0" },
	},
	{
		// Redis 7.0.3: "Script that made modification will not break with unexpected NOREPLICAS error (#10855)".
		// https://github.com/redis/redis/releases/tag/7.0.3
		product: "Redis", name: "a long script can be broken off after its first write by NOREPLICAS (before 7.0.3)",
		why:   "A lock can be left half written.",
		since: version{7}, fixed: []version{{7, 0, 3}},
		when: func(f *facts) bool { return f.config["min-replicas-to-write"] != "0" },
	},
	{
		// Redis 7.0.9: "Fix a crash when SPUBLISH is used after passing the cluster-link-sendbuf-limit (#11752)".
		// https://github.com/redis/redis/releases/tag/7.0.9
		product: "Redis", name: "SPUBLISH can crash a node of a cluster (before 7.0.9)",
		why:   "On a cluster a lock is handed over by SPUBLISH.",
		since: version{7}, fixed: []version{{7, 0, 9}}, when: (*facts).clustered,
	},
	{
		// Redis 7.2.5: "Conversion of numbers in Lua args to redis args can fail. Bug introduced in 7.2.0 (#13115)".
		// https://github.com/redis/redis/releases/tag/7.2.5
		product: "Redis", name: "numbers that a script passes to a command can fail to convert (7.2.0 to 7.2.4)",
		why:   "The scripts of locks pass numbers, such as expiries.",
		since: version{7, 2}, fixed: []version{{7, 2, 5}},
	},
	{
		// https://github.com/redis/redis/releases/tag/7.2.8, /7.4.3 and /6.2.18. 8.0 had it from its first release on.
		product: "Redis", name: "CVE-2025-21605: clients without a password fill the memory by output buffers",
		why:   "A server without memory grants no lock.",
		fixed: []version{{6, 2, 18}, {7, 2, 8}, {7, 4, 3}},
		when:  func(f *facts) bool { return f.options == nil || f.options.Password != "" },
	},
	{
		// CVE-2025-49844, -46817, -46818 and -46819. https://github.com/redis/redis/releases/tag/7.2.11,
		// https://github.com/docker-library/official-images/pull/20011 for all lines.
		product: "Redis", name: "CVE-2025-49844 and others: a script can take the server over",
		why:   "Whoever may use locks may run scripts (+eval), and so can do everything on this server.",
		fixed: []version{{6, 2, 20}, {7, 2, 11}, {7, 4, 6}, {8, 0, 4}, {8, 2, 2}},
	},
	{
		// February 2026: line breaks in the error replies of scripts. https://github.com/redis/redis/releases/tag/7.2.13,
		// https://github.com/redis/docs/pull/2924 and https://github.com/docker-library/official-images/pull/20902.
		product: "Redis", name: "a script's error reply can forge the replies that others on its connection read (fixed in February 2026)",
		why:   "A forged reply looks like a grant.",
		since: version{7}, // 6.2 got no such release
		fixed: []version{{7, 2, 13}, {7, 4, 8}, {8, 0, 6}, {8, 2, 5}, {8, 4, 2}, {8, 6, 1}},
	},
	{
		// July 2026, an unscheduled security release of every line that was maintained.
		// https://github.com/docker-library/official-images/pull/21922
		product: "Redis", name: "a user who may RESTORE can take the server over (fixed in July 2026)",
		why:   "The rule of redislock.ACL does not grant RESTORE; other users of this server may have it.",
		fixed: []version{{6, 2, 23}, {7, 2, 15}, {7, 4, 10}, {8, 2, 8}, {8, 4, 5}, {8, 6, 5}, {8, 8, 1}},
	},
	{
		// https://github.com/valkey-io/valkey/releases/tag/8.1.1, /8.0.3 and /7.2.9
		product: "Valkey", name: "CVE-2025-21605: clients without a password fill the memory by output buffers",
		why:   "A server without memory grants no lock.",
		fixed: []version{{7, 2, 9}, {8, 0, 3}, {8, 1, 1}},
		when:  func(f *facts) bool { return f.options == nil || f.options.Password != "" },
	},
	{
		// https://github.com/valkey-io/valkey/releases/tag/8.1.4, /8.0.6 and /7.2.11
		product: "Valkey", name: "CVE-2025-49844 and others: a script can take the server over",
		why:   "Whoever may use locks may run scripts (+eval), and so can do everything on this server.",
		fixed: []version{{7, 2, 11}, {8, 0, 6}, {8, 1, 4}},
	},
	{
		// https://github.com/valkey-io/valkey/pull/3631, /pull/3633 and /pull/3634; 8.0.8 was withdrawn, 8.0.9 took its place.
		product: "Valkey", name: "CVE-2026-23479, CVE-2026-23631 and CVE-2026-25243: use after free, one of them during scripts",
		why:   "Whoever may run scripts may be able to crash this server, and more.",
		fixed: []version{{7, 2, 13}, {8, 0, 9}, {8, 1, 7}, {9, 0, 4}},
	},
}
