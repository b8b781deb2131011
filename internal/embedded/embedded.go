// Package embedded is a Redis server inside this process: no port, no files, and nothing that outlives the process. Keys expire with the
// clock, also with the fake clock of testing/synctest.
package embedded

import (
	"net"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/fakenet"
)

// New makes a server. Its Close ends its connections.
func New() *miniredis.Miniredis {
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true) // otherwise keys would stay for ever
	return m
}

// Connect makes a connection pool on a server that is dialled so.
func Connect(dial func() (net.Conn, error)) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:            "127.0.0.1:6379", // never dialled
		Protocol:        2,
		DisableIdentity: true,
		// A pipe alone has room for nothing: a client that sends many commands at once would wait for ever, for the server does too.
		Dialer: (&fakenet.Network{Dial: dial}).Dialer,
	})
}
