package torture

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// lag is a path to a server with delays: each piece of data, in each direction, arrives between min and max after it
// was sent, and after the pieces before it.
type lag struct {
	listener net.Listener
	target   string
	min, max time.Duration
	loops    sync.WaitGroup

	mu     sync.Mutex
	conns  []net.Conn
	closed bool
	muted  bool
	pieces int
}

// newLag opens a lag on loopback. It ends with the test.
func newLag(t testing.TB, target string, from, to time.Duration) *lag {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &lag{listener: listener, target: target, min: from, max: to}
	l.loops.Go(l.accept)
	t.Cleanup(l.close)
	return l
}

func (l *lag) addr() string { return l.listener.Addr().String() }

func (l *lag) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", l.target)
		if err != nil {
			_ = client.Close() // the server is not there, and the client sees a closed connection
			continue
		}
		l.mu.Lock()
		if l.closed {
			_, _ = client.Close(), server.Close() // nobody uses them yet
		} else {
			l.conns = append(l.conns, client, server)
			l.carry(client, server)
			l.carry(server, client)
		}
		l.mu.Unlock()
	}
}

// piece is data that was read at once, and the time at which it is due.
type piece struct {
	bytes []byte
	due   time.Time
}

// carry passes data on from one side to the other.
func (l *lag) carry(from, to net.Conn) {
	under := make(chan piece, 1024) // pieces under way
	l.loops.Go(func() {
		defer close(under)
		for {
			buffer := make([]byte, 16<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				under <- piece{buffer[:n], time.Now().Add(l.min + rand.N(l.max-l.min+1))}
			}
			if err != nil {
				return
			}
		}
	})
	l.loops.Go(func() {
		for p := range under {
			time.Sleep(time.Until(p.due))
			l.mu.Lock()
			muted := l.muted
			l.pieces++
			l.mu.Unlock()
			if muted {
				continue
			}
			if _, err := to.Write(p.bytes); err != nil {
				break
			}
		}
		_, _ = to.Close(), from.Close()
		for range under { // so that the reader ends
		}
	})
}

func (l *lag) seen() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pieces
}

// mute drops all data until breakUp.
func (l *lag) mute() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.muted = true
}

// breakUp closes all connections; new ones are accepted.
func (l *lag) breakUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.muted = false
	for _, conn := range l.conns {
		_ = conn.Close()
	}
	l.conns = nil
}

func (l *lag) close() {
	_ = l.listener.Close()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.breakUp()
	l.loops.Wait()
}

func TestALagDelaysAndKeepsTheOrder(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var echo sync.WaitGroup
	echo.Go(func() {
		conn, err := server.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(conn, conn) // until the client is gone
		_ = conn.Close()
	})
	defer echo.Wait()
	defer func() { _ = server.Close() }()
	conn, err := net.Dial("tcp", newLag(t, server.Addr().String(), 20*time.Millisecond, 40*time.Millisecond).addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for i := range byte(20) {
		begun := time.Now()
		if _, err := conn.Write([]byte{i, i + 1}); err != nil {
			t.Fatal(err)
		}
		var got [2]byte
		if _, err := io.ReadFull(conn, got[:]); err != nil || got != [2]byte{i, i + 1} {
			t.Fatalf("got %v (%v) of %d", got, err, i)
		}
		if took := time.Since(begun); took < 40*time.Millisecond {
			t.Errorf("there and back took %v", took)
		}
	}
	if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// lagging is a server that each worker reaches with 50 ms ± 50 ms of delay in each direction. Site.More is the lags, one
// for each worker.
func lagging(t *testing.T) *Site {
	site := OneServer()(t)
	lags := map[int]*lag{}
	site.Connect = func(worker int) Connect {
		lags[worker] = newLag(t, site.Server.Addr(), 0, 100*time.Millisecond)
		return Connect{Addrs: []string{lags[worker].addr()}}
	}
	site.More = lags
	return site
}

func TestDelayMakesHandlesEndEarlierNeverLater(t *testing.T) {
	played(t, Row{
		Fault: "latency and jitter of 50 ms ± 50 ms, each way",
		Promise: "A delay never makes a hold last too long. The server's time in an answer counts from the sending of the request. So a " +
			"handle that cannot be renewed any more ends before the server gives the lock away. A message that comes late is " +
			"checked.",
		Topology:    lagging,
		Load:        Load{Lease: time.Second, Hold: Span{100 * time.Millisecond, 250 * time.Millisecond}},
		Bound:       8 * time.Second,
		Unreachable: true, // who is cut off
		Inject: func(x *Run) {
			lags := x.More.(map[int]*lag)
			for i := 0; x.Every(200 * time.Millisecond); i++ {
				workers := x.Workers()
				w := workers[i%len(workers)]
				x.Hold(w, "a", "exclusive")
				for _, other := range workers[1:] {
					x.Storm(other, "a", 1)
				}
				x.Fault("a holder far away was cut off", "a")
				lags[w.Index].mute()
				x.Eventually("it has lost the lock", func() bool { return !w.keeps("a") })
				lags[w.Index].breakUp()
				for _, other := range workers {
					x.Cancel(other)
				}
			}
			for _, l := range lags {
				if l.seen() == 0 {
					x.Error("nothing was delayed")
				}
			}
		},
	})
}
