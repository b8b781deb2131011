package ui

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// freeTries is how many wrong tokens cost nothing; from then on each doubles the pause, up to longestPause.
	freeTries    = 3
	firstPause   = 500 * time.Millisecond
	longestPause = 30 * time.Second
	// forgetTries is after which time without a wrong token all is forgotten.
	forgetTries = 10 * time.Minute
	// maxSources bounds the memory for those who fail.
	maxSources = 4096
)

// throttle slows down who sends wrong tokens, by address. The zero throttle is ready.
type throttle struct {
	mu      sync.Mutex
	sources map[string]source
}

type source struct {
	failed int
	last   time.Time
	until  time.Time
}

// try asks check for the verdict on a try from this address, and notes it. Who failed too recently is told how long to
// wait, and check is not asked. All in one step: tries that come at the same time count one after the other.
func (t *throttle) try(remote string, now time.Time, check func() bool) (ok bool, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	from := network(remote)
	if wait := t.sources[from].until.Sub(now); wait > 0 {
		return false, wait
	}
	if check() {
		delete(t.sources, from)
		return true, 0
	}
	s := t.sources[from]
	if now.Sub(s.last) > forgetTries {
		s = source{}
	}
	s.failed, s.last = s.failed+1, now
	if n := s.failed - freeTries; n > 0 {
		s.until = now.Add(min(longestPause, firstPause<<min(n-1, 10)))
	}
	if t.sources == nil {
		t.sources = map[string]source{}
	}
	if _, known := t.sources[from]; !known && len(t.sources) >= maxSources {
		t.makeRoom()
	}
	t.sources[from] = s
	return false, 0
}

// makeRoom forgets one of those that failed: of a few, the one that did so longest ago. To look at all would let those
// who have many addresses keep us busy.
func (t *throttle) makeRoom() {
	oldest, looked := "", 0
	for from, s := range t.sources { // in no order
		if oldest == "" || s.last.Before(t.sources[oldest].last) {
			oldest = from
		}
		if looked++; looked == 16 {
			break
		}
	}
	delete(t.sources, oldest)
}

// network is whom an address belongs to: with IPv6 one has at least a whole /64.
func network(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if addr = addr.Unmap().WithZone(""); addr.Is4() {
		return addr.String()
	}
	prefix, _ := addr.Prefix(64) // 64 is a length that it has
	return prefix.String()
}
