package servertest

import (
	"bufio"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Proxy stands between clients and a server, on a port of loopback. It knows where a request and its reply begin and
// end, also in pipelines, and so can do to each what networks do: lose it, hold it back, say nothing. What no fault
// applies to passes unchanged, in order.
//
// On a connection that subscribes everything from the server is passed on without asking what it answers: faults on
// replies do not apply to the requests there.
type Proxy struct {
	t        testing.TB
	target   string
	listener net.Listener
	done     chan struct{} // closed when the proxy ends
	loops    sync.WaitGroup

	mu     sync.Mutex
	heard  *sync.Cond // Unmute, or the end
	closed bool
	muted  bool
	faults []*Fault
	conns  map[*conn]struct{}
	stats  Stats
}

// Stats is what a Proxy has seen.
type Stats struct {
	Accepted   int // connections, since the start
	Open       int // connections that the client has not closed
	Subscribed int // of those, the ones that subscribed
	Requests   int // requests that reached the server
	Replies    int // replies and pushes that reached the client
	Swallowed  int // replies lost to a fault
	Dropped    int // requests, replies and pushes lost to Mute
}

// Fault is what is to happen to one request.
type Fault struct {
	match    func(args []string) bool
	nth      int // of the matching requests, counted down
	hold     bool
	close    bool
	deliver  chan struct{}
	once     sync.Once
	caught   chan struct{}
	executed chan struct{}
}

// Caught is closed when the request came.
func (f *Fault) Caught() <-chan struct{} { return f.caught }

// Executed is closed when the server has answered the request, even if its sender no longer waits.
func (f *Fault) Executed() <-chan struct{} { return f.executed }

// Deliver lets a request that is held back, or would be, go to the server.
func (f *Fault) Deliver() { f.once.Do(func() { close(f.deliver) }) }

// NewProxy starts a proxy in front of target, an address; it ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("servertest: %v", err)
	}
	p := &Proxy{t: t, target: target, listener: listener, done: make(chan struct{}), conns: map[*conn]struct{}{}}
	p.heard = sync.NewCond(&p.mu)
	p.loops.Add(1)
	go p.accept()
	t.Cleanup(p.stop)
	return p
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Connect makes a client of the server behind the proxy, which is closed with the test. The options may be changed
// before it is made.
func (p *Proxy) Connect(opts ...func(*redis.Options)) *redis.Client {
	return connect(p.t, p.Addr(), opts)
}

// SwallowReply loses the reply of the nth request, from 1, that matches from now on: the server executes it, and the
// client hears nothing more on that connection, which stays open. match sees the arguments, the first in lower case.
func (p *Proxy) SwallowReply(match func(args []string) bool, n int) *Fault {
	return p.fault(&Fault{match: match, nth: n})
}

// SwallowReplyAndClose is SwallowReply, but the connection breaks instead of staying mute.
func (p *Proxy) SwallowReplyAndClose(match func(args []string) bool, n int) *Fault {
	return p.fault(&Fault{match: match, nth: n, close: true})
}

// HoldRequest holds back the first request that matches from now on, and what follows on its connection, until
// [Fault.Deliver]. The server gets it then even if the client has closed the connection.
func (p *Proxy) HoldRequest(match func(args []string) bool) *Fault {
	return p.fault(&Fault{match: match, nth: 1, hold: true})
}

// DelayRequest is HoldRequest, but the request is delivered after d.
func (p *Proxy) DelayRequest(match func(args []string) bool, d time.Duration) *Fault {
	f := p.HoldRequest(match)
	p.loops.Go(func() {
		select {
		case <-f.caught:
		case <-p.done:
			return
		}
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			f.Deliver()
		case <-p.done:
		}
	})
	return f
}

func (p *Proxy) fault(f *Fault) *Fault {
	f.deliver, f.caught, f.executed = make(chan struct{}), make(chan struct{}), make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, f)
	return f
}

// Mute makes every connection half-open, new ones too: whatever either side sends is dropped, and neither learns that
// the other closed.
func (p *Proxy) Mute() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muted = true
}

// MuteSubscriptions does this to the connections that have subscribed so far, and to no other. It returns how many.
func (p *Proxy) MuteSubscriptions() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for c := range p.conns {
		if c.subscribed {
			c.muted = true
			n++
		}
	}
	return n
}

// Unmute lets pass what comes from now on, on the old connections too. What was dropped stays lost.
func (p *Proxy) Unmute() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muted = false
	for c := range p.conns {
		c.muted = false
	}
	p.heard.Broadcast()
}

// CloseAll breaks every connection; new ones are accepted.
func (p *Proxy) CloseAll() { p.closeWhere(func(*conn) bool { return true }) }

// CloseSubscriptions breaks the connections that have subscribed. It returns how many.
func (p *Proxy) CloseSubscriptions() int {
	return p.closeWhere(func(c *conn) bool { return c.subscribed })
}

func (p *Proxy) closeWhere(which func(*conn) bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for c := range p.conns {
		if which(c) {
			c.breakUp()
			n++
		}
	}
	return n
}

// Stats is what was seen so far.
func (p *Proxy) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	for c := range p.conns {
		if !c.left {
			s.Open++
			if c.subscribed {
				s.Subscribed++
			}
		}
	}
	return s
}

func (p *Proxy) stop() {
	p.mu.Lock()
	p.closed = true
	close(p.done)
	for c := range p.conns {
		c.breakUp()
	}
	p.heard.Broadcast()
	p.mu.Unlock()
	_ = p.listener.Close() // ends accept
	p.loops.Wait()
}

func (p *Proxy) accept() {
	defer p.loops.Done()
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close() // nobody is there, and the client sees as much
			continue
		}
		c := &conn{proxy: p, client: client.(*net.TCPConn), server: server.(*net.TCPConn)}
		p.mu.Lock()
		if p.closed {
			c.breakUp()
			p.mu.Unlock()
			return
		}
		p.stats.Accepted++
		p.conns[c] = struct{}{}
		p.loops.Add(2)
		p.mu.Unlock()
		go c.requests()
		go c.replies()
	}
}

// conn is one connection of a client, with its own to the server.
type conn struct {
	proxy          *Proxy
	client, server *net.TCPConn

	// Guarded by proxy.mu.
	muted      bool
	subscribed bool
	left       bool     // the client has closed it
	deaf       bool     // a reply was swallowed: nothing more reaches the client
	pending    []*Fault // of the requests that are not answered, in order; nil for those without
}

// requests carries what the client sends.
func (c *conn) requests() {
	p := c.proxy
	defer p.loops.Done()
	in := bufio.NewReader(c.client)
	for {
		args, raw, err := readRequest(in)
		if err != nil {
			p.mu.Lock()
			c.left = true
			c.audible()
			p.mu.Unlock()
			// What was sent before is executed, so the server is not cut off: it closes when it has read everything.
			_ = c.server.CloseWrite()
			return
		}
		f := p.catch(args)
		if f != nil && f.hold {
			select {
			case <-f.deliver:
			case <-p.done:
				return
			}
		}
		p.mu.Lock()
		if p.muted || c.muted {
			p.stats.Dropped++
			p.mu.Unlock()
			continue
		}
		p.stats.Requests++
		switch args[0] {
		case "subscribe", "psubscribe", "ssubscribe":
			c.subscribed = true
		}
		if !c.subscribed {
			c.pending = append(c.pending, f)
		}
		p.mu.Unlock()
		_, _ = c.server.Write(raw) // if it fails the replies end, and with them the connection
	}
}

// catch finds the fault that a request has run into, and counts it for all of them.
func (p *Proxy) catch(args []string) (caught *Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = slices.DeleteFunc(p.faults, func(f *Fault) bool {
		if !f.match(args) {
			return false
		}
		if f.nth > 1 || caught != nil { // one fault for one request: the next one is for the others
			f.nth = max(f.nth-1, 1)
			return false
		}
		caught = f
		close(f.caught)
		return true
	})
	return caught
}

// replies carries what the server sends.
func (c *conn) replies() {
	p := c.proxy
	defer p.loops.Done()
	in := bufio.NewReader(c.server)
	for {
		raw, push, err := readReply(in)
		p.mu.Lock()
		if err != nil {
			c.audible()
			delete(p.conns, c)
			c.breakUp()
			p.mu.Unlock()
			return
		}
		var f *Fault
		if !push && len(c.pending) > 0 { // later ones than those are what a subscription brings
			f = c.pending[0]
			c.pending = c.pending[1:]
		}
		swallowed := f != nil && !f.hold
		pass := false
		switch {
		case swallowed || c.deaf:
			c.deaf = true
			p.stats.Swallowed++
		case p.muted || c.muted:
			p.stats.Dropped++
		default:
			p.stats.Replies++
			pass = true
		}
		p.mu.Unlock()
		if pass {
			_, _ = c.client.Write(raw) // a client that is gone does not stop the server from answering
		}
		if f != nil {
			if f.close { // of the client's side: what it had sent by then is executed
				_ = c.client.Close()
			}
			close(f.executed)
		}
	}
}

// audible waits until neither side is kept from learning that the other closed. The caller holds proxy.mu.
func (c *conn) audible() {
	for (c.proxy.muted || c.muted) && !c.proxy.closed {
		c.proxy.heard.Wait()
	}
}

// breakUp closes both connections. The caller holds proxy.mu.
func (c *conn) breakUp() {
	c.left = true
	_ = c.client.Close()
	_ = c.server.Close()
}
