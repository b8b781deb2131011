package doctor

import (
	"fmt"
	"strconv"
	"strings"
)

// protocol says which version of RESP the connection uses. Locks work with both.
func protocol(f *facts) []Finding {
	const check = "protocol"
	if proto := f.hello["proto"]; proto != "" {
		return well(check, "RESP%s", proto)
	}
	return well(check, "RESP2: the server does not know HELLO")
}

// idleTimeout checks whether the server closes idle connections. Subscribers are exempt.
func idleTimeout(f *facts) []Finding {
	const check = "idle timeout"
	if u := f.unset(check, "timeout"); u != nil {
		return u
	}
	seconds, _ := number(f.config, "timeout")
	if seconds == 0 || seconds >= 300 {
		return well(check, "%s", map[bool]string{true: "none", false: fmt.Sprintf("%d s", seconds)}[seconds == 0])
	}
	return []Finding{{
		Check: check, Level: Warning, Found: fmt.Sprintf("connections are closed after %s of silence", count(seconds, "second")),
		Why: "a request may leave on a connection that is being closed: it is sent again, which costs time, and nobody knows at first whether the server did it.",
		Fix: set("timeout", "0"),
	}}
}

// keepAlive checks whether the server notices that a host is gone.
func keepAlive(f *facts) []Finding {
	const check = "tcp-keepalive"
	if u := f.unset(check, "tcp-keepalive"); u != nil {
		return u
	}
	if seconds, _ := number(f.config, "tcp-keepalive"); seconds > 0 {
		return well(check, "%d s", seconds)
	}
	return []Finding{{
		Check: check, Level: Warning, Found: "off",
		Why: "the connections of a host that is gone stay: its subscription counts as a receiver, so a lock that is granted to one of its waiters stands still until that is found out (5 s), and they add up to maxclients.",
		Fix: set("tcp-keepalive", "300"),
	}}
}

// connections checks how many more clients the server accepts.
func connections(f *facts) []Finding {
	const check = "connections"
	if u := f.unasked(check, "connected_clients", "maxclients"); u != nil {
		return u
	}
	now, _ := number(f.info, "connected_clients")
	most, _ := number(f.info, "maxclients")
	text := fmt.Sprintf("%d of %d", now, most)
	if n, _ := number(f.info, "rejected_connections"); n > 0 {
		text += fmt.Sprintf("; %d were turned away since it was started", n)
	}
	if now < most-most/5 {
		return well(check, "%s", text)
	}
	found := Finding{
		Check: check, Level: Warning, Found: text,
		Why: "whoever comes when all are taken gets no lock, and who reconnects cannot renew his. Each process has its pool and one for messages.",
		Fix: set("maxclients", strconv.FormatInt(most*2, 10)) + " (and see ulimit -n), or smaller pools (PoolSize)",
	}
	if now >= most-most/20 {
		found.Level = Danger
	}
	return []Finding{found}
}

// Below this a subscriber is dropped for a short burst of grants: a message has about a hundred bytes, and a Client may
// have thousands of waits.
const leastHard, leastSoft = 1 << 20, 256 << 10

// buffers checks when a subscriber that reads slowly is dropped.
func buffers(f *facts) []Finding {
	const check = "pub/sub buffers"
	if u := f.unset(check, "client-output-buffer-limit"); u != nil {
		return u
	}
	words := strings.Fields(f.config["client-output-buffer-limit"])
	var hard, soft, seconds int64
	for i := 0; i+3 < len(words); i += 4 {
		if words[i] == "pubsub" {
			hard, soft, seconds = amount(words[i+1]), amount(words[i+2]), amount(words[i+3])
		}
	}
	fix := set("client-output-buffer-limit", "pubsub 33554432 8388608 60")
	if hard == 0 && (soft == 0 || seconds == 0) {
		return []Finding{{
			Check: check, Level: Warning, Found: "no limit for subscribers",
			Why: "a process that is stopped goes on subscribing, and what is meant for it fills the server's memory: then no lock is granted any more (OOM).",
			Fix: fix,
		}}
	}
	text := fmt.Sprintf("a subscriber is dropped at %s, or when it has been beyond %s for %d s", size(hard), size(soft), seconds)
	if hard > 0 && hard < leastHard || soft > 0 && soft < leastSoft {
		return []Finding{{
			Check: check, Level: Warning, Found: text,
			Why: "a burst of grants is enough to be dropped. Nothing is lost by that, but each time all waits of that process have to be checked, and those that were granted wait for it.",
			Fix: fix,
		}}
	}
	return well(check, "%s", text)
}

func amount(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

// busyScripts checks what happens to a script that does not end. The scripts of locks take microseconds, but other
// users of the server may have slow ones.
func busyScripts(f *facts) []Finding {
	const check = "busy scripts"
	// The old name is known to every version; busy-reply-threshold is the same setting.
	if u := f.unset(check, "lua-time-limit"); u != nil {
		return u
	}
	ms, _ := number(f.config, "lua-time-limit")
	if ms > 0 && ms <= 10000 {
		return well(check, "after %d ms others are told (BUSY), and it can be killed", ms)
	}
	text := fmt.Sprintf("one that does not end can be killed only after %d s", ms/1000)
	if ms <= 0 {
		text = "one that does not end can never be killed"
	}
	return []Finding{{
		Check: check, Level: Warning, Found: text,
		Why: "a script that somebody else runs on this server stops all locks for as long as it runs; a lease of 30 s is over by then.",
		Fix: set("lua-time-limit", "5000"),
	}}
}
