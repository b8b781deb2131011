package torture

import (
	"net"
	"sync"
	"testing"
)

// Front is an address that leads to one server, and later to another. It stands before the primary for clients that
// do not ask Sentinels.
type Front struct {
	listener net.Listener
	loops    sync.WaitGroup

	mu    sync.Mutex
	to    string
	conns map[net.Conn]struct{}
	cuts  int // how often the connections were ended
	over  bool
	mute  *sync.Cond // says that quiet has changed
	quiet bool
}

// NewFront opens a Front. It ends with the test.
func NewFront(t testing.TB, to string) *Front {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &Front{listener: listener, to: to, conns: map[net.Conn]struct{}{}}
	f.mute = sync.NewCond(&f.mu)
	f.loops.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			f.loops.Go(func() { f.pass(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		f.mu.Lock()
		f.over = true
		f.mu.Unlock()
		f.Hush(false)
		f.Lead("")
		f.loops.Wait()
	})
	return f
}

// Addr is where it listens.
func (f *Front) Addr() string { return f.listener.Addr().String() }

// Turn makes the Front lead elsewhere from now on. Existing connections stay as they are.
func (f *Front) Turn(to string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.to = to
}

// Lead is Turn, but also ends the existing connections.
func (f *Front) Lead(to string) {
	f.Turn(to)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cuts++
	for conn := range f.conns {
		_ = conn.Close()
	}
}

// Hush holds back all traffic while quiet is true. What is sent meanwhile arrives late, also the end of a connection.
func (f *Front) Hush(quiet bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.quiet = quiet
	f.mute.Broadcast()
}

// heard waits until traffic may pass.
func (f *Front) heard() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.quiet && !f.over {
		f.mute.Wait()
	}
}

func (f *Front) pass(conn net.Conn) {
	defer conn.Close()
	f.mu.Lock()
	to, cuts := f.to, f.cuts
	f.mu.Unlock()
	behind, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer behind.Close()
	both := []net.Conn{conn, behind}
	f.mu.Lock()
	late := f.over || f.cuts != cuts
	for _, c := range both {
		f.conns[c] = struct{}{}
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, c := range both {
			delete(f.conns, c)
		}
	}()
	if late {
		return
	}
	var ways sync.WaitGroup
	for i := range both {
		ways.Go(func() {
			buffer := make([]byte, 32<<10)
			for {
				n, err := both[i].Read(buffer)
				f.heard()
				if n > 0 {
					if _, err := both[1-i].Write(buffer[:n]); err != nil {
						break
					}
				}
				if err != nil {
					break
				}
			}
			_ = both[0].Close()
			_ = both[1].Close()
		})
	}
	ways.Wait()
}
