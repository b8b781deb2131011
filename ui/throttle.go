package ui

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// freeTries is how many wrong tokens are free of delay. After that there is one try in each pace, which is 40 a
	// second: a person does not notice that, and to guess a random token of 16 letters takes far too long.
	freeTries = 3
	pace      = 25 * time.Millisecond
	// longestWait is how long a try may wait for its turn. A try that would wait longer is refused; that takes 400 tries
	// at once.
	longestWait = 10 * time.Second
	// forgetTries is the time without a wrong token after which the count of an address is forgotten.
	forgetTries = 10 * time.Minute
	// maxSources is how many addresses with wrong tokens are remembered.
	maxSources = 4096
)

// throttle bounds how fast tokens can be guessed from one address. The tries of an address take turns. So a right token is
// not refused because others at the same address, which may be that of a proxy, sent wrong ones. The zero throttle is
// ready for use.
type throttle struct {
	mu      sync.Mutex
	sources map[string]source
}

type source struct {
	failed int
	last   time.Time
	free   time.Time // when the turn of the next try comes
}

// try calls check when the turn of a try from this address comes, which is at once unless many tries failed, and
// returns its result. If too many tries wait already, check is not called, and wait says when to come back.
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
		return false, 0 // the browser is gone
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

// makeRoom forgets one address: of a few that it looks at, the one that failed longest ago. If it looked at all,
// somebody with many addresses could keep this process busy.
func (t *throttle) makeRoom() {
	oldest, looked := "", 0
	for from, s := range t.sources { // the order is random
		if oldest == "" || s.last.Before(t.sources[oldest].last) {
			oldest = from
		}
		if looked++; looked == 16 {
			break
		}
	}
	delete(t.sources, oldest)
}

// network is the part of an address that stands for its owner: with IPv6 a whole /64, as everybody has at least that.
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
	prefix, _ := addr.Prefix(64) // no error: an IPv6 address has 64 bits
	return prefix.String()
}
