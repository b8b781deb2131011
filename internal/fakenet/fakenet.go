// Package fakenet is a network between a Redis client and a server in memory, with a delay in each direction and a
// switch that cuts it, for tests in fake time: inside testing/synctest every interleaving is repeatable. Without a delay it is
// the connection of the embedded server.
package fakenet

import (
	"context"
	"net"
	"sync"
	"time"
)

// Network makes connections to one server.
type Network struct {
	// Dial opens the connection behind.
	Dial func() (net.Conn, error)
	// Delay is how long each packet takes, in each direction.
	Delay time.Duration

	mu  sync.Mutex
	cut bool
}

// Cut drops everything from now on: connections stay open and mute. Packets under way are lost too.
func (n *Network) Cut() { n.set(true) }

// Mend lets new packets through again. What was lost stays lost.
func (n *Network) Mend() { n.set(false) }

func (n *Network) set(cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = cut
}

func (n *Network) isCut() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cut
}

// Dialer is for redis.Options.
func (n *Network) Dialer(ctx context.Context, _, _ string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	server, err := n.Dial()
	if err != nil {
		return nil, err
	}
	client, inner := net.Pipe()
	go n.carry(inner, server)
	go n.carry(server, inner)
	return client, nil
}

type packet struct {
	data []byte
	due  time.Time
}

// carry moves packets from one connection to the other, each after the delay.
func (n *Network) carry(from, to net.Conn) {
	packets := make(chan packet, 4096)
	go func() {
		defer to.Close()
		for p := range packets {
			time.Sleep(time.Until(p.due))
			if n.isCut() {
				continue
			}
			if _, err := to.Write(p.data); err != nil {
				break
			}
		}
		for range packets { // so that the reader does not block
		}
	}()
	defer close(packets)
	buffer := make([]byte, 64<<10)
	for {
		size, err := from.Read(buffer)
		if err != nil {
			return
		}
		packets <- packet{append([]byte(nil), buffer[:size]...), time.Now().Add(n.Delay)}
	}
}
