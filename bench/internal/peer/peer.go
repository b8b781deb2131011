// Package peer has the measured lock libraries behind one interface, each with its documented defaults, and faster
// variants of those that poll.
package peer

import (
	"context"
	"net"
	"runtime/debug"
	"strings"
	"time"
)

// Locker is one client of a lock library with connections of its own, as a process has it.
type Locker interface {
	// Lock takes the lock of that name, and waits for it until ctx ends.
	Lock(ctx context.Context, name string) (Release, error)
	// Close ends the client and its connections. Nothing may be held then.
	Close()
}

// Release gives a lock back, and returns when the library reports that.
type Release func(ctx context.Context) error

// Options are the settings that all libraries share.
type Options struct {
	// Pool is the most connections of a client over go-redis; 0 is go-redis's own default, ten per CPU. rueidis has
	// one connection for each CPU up to eight.
	Pool int
	// TTL is how long a lock outlives its holder; 0 is the library's default, and 30 s for bsm/redislock, which has none.
	TTL time.Duration
	// Cluster says that addr is a node of a cluster.
	Cluster bool
	// Wrap is called for each connection that is made, and its result is used in the place of the connection. It may be
	// nil.
	Wrap func(net.Conn) net.Conn
}

// wrap wraps the result of a dial.
func (o Options) wrap(conn net.Conn, err error) (net.Conn, error) {
	if err != nil || o.Wrap == nil {
		return conn, err
	}
	return o.Wrap(conn), nil
}

// Peer is a library in one setting.
type Peer struct {
	// Name is the name in tables, such as "redsync, 1 ms".
	Name string
	// Module is its module path.
	Module string
	// Setting describes the setting.
	Setting string
	// Polls says that its waiters poll.
	Polls bool
	// Variant says that the setting is not the default one.
	Variant bool
	// Renews says that it renews its locks by itself.
	Renews bool
	// Open makes a client.
	Open func(addr string, o Options) (Locker, error)
}

// Ours is the name of this library in tables.
const Ours = "redislock"

// All are the libraries, this one first.
func All() []Peer { return []Peer{ours(), bsm(), bsmFast(), syncs(), syncsFast(), ruei()} }

// Everywhere are all subjects of any section, each name once.
func Everywhere() []Peer {
	all := append(All(), Majorities()...)
	return append(append(append(all, Turns()...), Lingers()[0]), Readers()...)
}

// Version is the version of a module in this program, such as "v9.23.0".
func Version(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	best := ""
	version := "unknown"
	for _, m := range info.Deps {
		if (m.Path == module || strings.HasPrefix(module, m.Path+"/")) && len(m.Path) > len(best) {
			best, version = m.Path, m.Version
		}
	}
	return version
}
