package servertest

import (
	"math/rand/v2"
	"net"
	"strconv"
)

// freePort finds a port of loopback below those that the system gives to outgoing connections: one of them could take
// the port of a server that is down for a moment. 10,000 above it is free for the bus of a cluster.
func freePort() (int, error) {
	var err error
	for range 100 {
		port := 10_000 + rand.N(10_000)
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}
