package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	// slowTrip is a median round trip that is felt in every lock: a pair of acquire and release is two of them, a
	// hand-over about one and a half.
	slowTrip = 50 * time.Millisecond
	// longTrip is a round trip that is a large part of the 5 s within which a granted waiter must confirm its claim.
	longTrip = time.Second
)

// latency checks the measured round trips.
func latency(f *facts) []Finding {
	const check = "latency"
	if len(f.roundTrips) == 0 {
		return []Finding{busyNow(f)}
	}
	trips := slices.Sorted(slices.Values(f.roundTrips))
	p50, longest := trips[len(trips)/2], trips[len(trips)-1]
	text := fmt.Sprintf("a round trip takes %s in the median, %s at most of %d", short(p50), short(longest), len(trips))
	switch {
	case p50 >= longTrip:
		return []Finding{{
			Check: check, Level: Danger, Found: text,
			Why: "a waiter that is granted a lock has 5 s to confirm it, and renewals repeat within a lease: locks get lost.",
			Fix: "run the locks' server near those who use it, and see what keeps it busy (redis-cli --latency, SLOWLOG GET)",
		}}
	case p50 >= slowTrip || longest >= longTrip:
		return []Finding{{
			Check: check, Level: Warning, Found: text,
			Why: "an acquire and a release are a round trip each, and so is the time a lock is idle between two owners.",
			Fix: "run the locks' server near those who use it; compare redis-cli --latency here and on its own machine",
		}}
	}
	return well(check, "%s", text)
}

// busyNow is the finding about a server that answers even PING with an error.
func busyNow(f *facts) Finding {
	if f.info["loading"] == "1" {
		return Finding{Check: "latency", Level: Unknown, Found: "not measured: the server is loading its data", Fix: "look again when it has done so"}
	}
	return Finding{
		Check: "latency", Level: Unknown, Found: "not measured: PING is refused",
		Fix: "if a script is running for too long (BUSY): SCRIPT KILL; if this user may not: +ping",
	}
}

// exposure checks whether the server serves everybody who can reach it.
func exposure(f *facts) []Finding {
	const check = "access"
	if f.options == nil || f.options.Password != "" || f.options.CredentialsProvider != nil ||
		f.options.CredentialsProviderContext != nil || f.options.StreamingCredentialsProvider != nil {
		return well(check, "with credentials")
	}
	if strings.HasPrefix(f.options.Addr, "/") {
		return well(check, "without a password, over a socket of this host")
	}
	why := "whoever reaches it can take, break and forge locks, and read and change everything else: it has no password, and locks trust all who can write their keys."
	fix := `CONFIG SET requirepass "<a long password>"; then a user for the locks with the rule that redislock.ACL(prefix) prints, or "bind 127.0.0.1" in its configuration file`
	if ip, err := netip.ParseAddrPort(f.laddr); err == nil && public(ip.Addr()) {
		return []Finding{{Check: check, Level: Danger, Found: "it is reached at the public address " + ip.Addr().String() + ", without a password", Why: why, Fix: fix}}
	}
	if f.configErr != nil {
		return []Finding{refusal(check, "CONFIG GET", "+config|get", f.configErr)}
	}
	if loopbackOnly(f.config["bind"]) {
		return well(check, "without a password, from its own machine alone (bind %s)", f.config["bind"])
	}
	if f.config["protected-mode"] == "yes" {
		return well(check, "without a password, from its own machine alone (protected-mode)")
	}
	return []Finding{{Check: check, Level: Warning, Found: fmt.Sprintf("without a password, from everywhere (bind %q, protected-mode no)", f.config["bind"]), Why: why, Fix: fix}}
}

func public(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsGlobalUnicast() && !ip.IsPrivate()
}

// loopbackOnly reports whether a bind setting excludes all other hosts. A dash before an address says that the host
// need not have it.
func loopbackOnly(bind string) bool {
	addresses := strings.Fields(bind)
	for _, text := range addresses {
		if ip, err := netip.ParseAddr(strings.TrimPrefix(text, "-")); err != nil || !ip.IsLoopback() {
			return false
		}
	}
	return len(addresses) > 0
}

// passwords checks whether others on the network can read the password.
func passwords(f *facts) []Finding {
	const check = "encryption"
	switch {
	case f.options == nil:
		return nil
	case f.options.TLSConfig != nil:
		return well(check, "TLS")
	case local(f.options.Addr):
		return well(check, "none, and none needed on this host")
	case f.options.Password == "":
		return well(check, "none")
	}
	return []Finding{{
		Check: check, Level: Warning, Found: "the password goes over the network in clear text",
		Why: "whoever reads it on the way can take and break every lock.",
		Fix: "have the server listen with TLS (tls-port), and use rediss:// in the URL",
	}}
}

// short is a duration, rounded for people.
func short(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	default:
		return d.Round(10 * time.Microsecond).String()
	}
}
