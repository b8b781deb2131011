package main

import (
	"io"
	"net"
	"sync"
)

// relay is a connection to the shared Redis that can be closed and opened again.
type relay struct {
	f    *fixture
	path string

	mu     sync.Mutex
	listen net.Listener
	open   []net.Conn
}

// relay opens one, with a Unix socket in the fixture's directory.
func (f *fixture) relay(name string) *relay {
	f.Helper()
	r := &relay{f: f, path: f.path(name)}
	r.start()
	f.Cleanup(r.stop)
	return r
}

func (r *relay) start() {
	r.f.Helper()
	l, err := net.Listen("unix", r.path)
	if err != nil {
		r.f.Fatal(err)
	}
	r.mu.Lock()
	r.listen = l
	r.mu.Unlock()
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", shared.addr)
			if err != nil {
				_ = near.Close()
				return
			}
			r.mu.Lock()
			r.open = append(r.open, near, far)
			r.mu.Unlock()
			for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1]) // until either side ends
					_ = pair[0].Close()
				}()
			}
		}
	}()
}

// stop takes the socket away and ends all connections.
func (r *relay) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.listen.Close() // removes the socket
	for _, c := range r.open {
		_ = c.Close()
	}
	r.open = nil
}
