package ui

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// freeTries is how many wrong tokens cost nothing; from then on there is one try within each pace, 40 a second: who
	// knows the token does not notice, and a random one of 16 letters takes longer than there is time.
	freeTries = 3
	pace      = 25 * time.Millisecond
	// longestWait is how long a try may wait for its turn; beyond it, which takes 400 tries at once, it is refused.
	longestWait = 10 * time.Second
	// forgetTries is after which time without a wrong token all is forgotten.
	forgetTries = 10 * time.Minute
	// maxSources bounds the memory for those who fail.
	maxSources = 4096
)

// throttle bounds how fast tokens can be guessed, by address. Who sends a right one is not told to come back later because
// others at the same address, which may be a proxy's, sent wrong ones: the tries take turns. The zero throttle is ready.
type throttle struct {
	mu      sync.Mutex
	sources map[string]source
}

type source struct {
	failed int
	last   time.Time
	free   time.Time // when the next try has its turn
}

// try asks check for the verdict on a try from this address when it has its turn, which is at once unless many failed.
// Where too many wait already, check is not asked, and wait is how long that will be so.
func (t *throttle) try(ctx context.Context, remote string, check func() bool) (ok bool, wait time.Duration) {
	from, now := network(remote), time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.sources[from]; s.free.After(now) {
		turn := s.free.Sub(now)
		if turn > longestWait {
			return false, turn - longestWait
		}
		s.free = s.free.Add(pace)
		t.sources[from] = s
		t.mu.Unlock()
		rest(ctx, turn)
		t.mu.Lock()
		now = time.Now()
	}
	if ctx.Err() != nil {
		return false, 0 // nobody reads the answer
	}
	s := t.sources[from]
	if check() {
		if !s.free.After(now) {
			delete(t.sources, from)
		}
		return true, 0
	}
	if now.Sub(s.last) > forgetTries {
		s = source{}
	}
	s.failed, s.last = s.failed+1, now
	if next := now.Add(pace); s.failed > freeTries && next.After(s.free) {
		s.free = next
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
