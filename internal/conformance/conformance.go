// Package conformance listens to an embedded server in tests, and has the model of a lock (internal/model) answer each script,
// too. If the server answers otherwise than the model, the difference is reported with the call, the state before it and both
// answers.
//
//	Client ── EVALSHA ──▶ Listener ──▶ server ── TIME, PUBSUB NUMSUB ──▶ Listener
//	                         │◀── reply ───┘
//	                         ▼
//	                   model.Acceptor
//
// The commands of all connections pass one after the other, so their order is that of the server.
package conformance

import (
	"bufio"
	"bytes"
	"crypto/sha1" // names scripts as Redis does, not a safeguard
	"encoding/hex"
	"maps"
	"reflect"
	"strconv"
	"sync"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"

	"example.com/redislock/internal/model"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/lua"
)

// Listener follows the commands that a server executes. Make one with [Listen], or with [New] where something else has the
// server's hook.
type Listener struct {
	// Acceptor is for what happens behind the server's commands, such as miniredis' FlushAll.
	*model.Acceptor
	server *server.Server
	report func(error)

	mu     sync.Mutex // one command at a time
	script *model.Call
	names  map[string]string     // of scripts, by their digests
	own    map[*server.Peer]bool // commands that were passed on already
	ownMu  sync.Mutex
}

// Listen has every command of a server pass through a new Listener. It must be called before the first command; report is called for each
// difference, on the goroutine of a connection.
func Listen(m *miniredis.Miniredis, report func(error)) *Listener {
	l := New(m, report)
	m.Server().SetPreHook(l.Hook)
	return l
}

// New returns a Listener whose Hook the caller installs.
func New(m *miniredis.Miniredis, report func(error)) *Listener {
	if m.Server() == nil { // it begins with the first connection
		if conn, err := m.Dial(); err == nil {
			_ = conn.Close()
		}
	}
	return &Listener{Acceptor: model.NewAcceptor(), server: m.Server(), report: report, own: map[*server.Peer]bool{}, names: maps.Clone(names())}
}

// Know says that this text is the script of that name, too, such as one without its fast paths.
func (l *Listener) Know(name, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names[digestOf(text)] = name
}

func digestOf(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Hook is a [server.Hook]: it has the server execute the command, and answers true.
func (l *Listener) Hook(c *server.Peer, command string, args ...string) bool {
	if l.isOwn(c) {
		return false
	}
	if Nested(c) { // on the goroutine that executes a script, which holds mu
		if l.script == nil {
			return false
		}
		switch command {
		case "TIME", "PUBSUB":
			l.within(command, args, l.pass(c, command, args))
			return true
		case "PUBLISH", "SPUBLISH":
			l.script.Sent = append(l.script.Sent, model.Sent{Channel: args[0], Text: args[1]})
		}
		return false
	}
	switch command {
	case "EVAL", "EVALSHA":
		l.mu.Lock()
		defer l.mu.Unlock()
		l.evaluate(c, command, args)
	case "HDEL", "DEL", "UNLINK", "FLUSHALL", "FLUSHDB":
		l.mu.Lock()
		defer l.mu.Unlock()
		l.removed(command, args, l.pass(c, command, args))
	case "HSET", "HSETNX", "HMSET", "HINCRBY", "SET", "RENAME", "RESTORE", "EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT", "PERSIST":
		l.mu.Lock()
		defer l.mu.Unlock()
		l.pass(c, command, args)
		l.Forget(args[0])
	default:
		return false
	}
	return true
}

// evaluate takes a script: its time and receivers are heard while it runs.
func (l *Listener) evaluate(c *server.Peer, command string, args []string) {
	call := l.read(command, args)
	l.script = call
	reply := l.pass(c, command, args)
	l.script = nil
	if call == nil {
		return
	}
	call.Reply = reply
	if call.Script == "" { // somebody else's
		if _, failed := reply.(error); !failed {
			for _, key := range call.Keys {
				l.Forget(key)
			}
		}
		return
	}
	if err := l.Accept(*call); err != nil {
		l.report(err)
	}
}

// read is a call without its result, or nil if the server will refuse it.
func (l *Listener) read(command string, args []string) *model.Call {
	if len(args) < 2 {
		return nil
	}
	digest := args[0]
	if command == "EVAL" {
		digest = digestOf(args[0])
	}
	n, err := strconv.Atoi(args[1])
	if err != nil || n < 0 || n > len(args)-2 {
		return nil
	}
	return &model.Call{Script: l.names[digest], Keys: args[2 : 2+n], Args: args[2+n:], Receivers: map[string]int{}, Heard: true}
}

// within hears what a script asks of the server.
func (l *Listener) within(command string, args []string, reply any) {
	all, ok := reply.([]any)
	if !ok || len(all) != 2 {
		return
	}
	switch command {
	case "TIME":
		s, _ := all[0].(string)
		us, _ := all[1].(string)
		seconds, _ := strconv.ParseInt(s, 10, 64)
		micros, _ := strconv.ParseInt(us, 10, 64)
		l.script.Now = protocol.Micros(seconds*1_000_000 + micros)
	case "PUBSUB":
		channel, _ := all[0].(string)
		if n, ok := all[1].(int64); ok {
			l.script.Receivers[channel] = int(n)
		}
	}
}

// removed takes what is not done by a script.
func (l *Listener) removed(command string, args []string, reply any) {
	switch command {
	case "FLUSHALL", "FLUSHDB":
		l.LostAll()
	case "DEL", "UNLINK":
		for _, key := range args {
			l.Lost(key)
		}
	case "HDEL":
		if len(args) != 2 || len(args[1]) != protocol.TokenLength {
			l.Forget(args[0])
		} else if err := l.Accept(model.Call{Script: "hdel", Keys: args[:1], Args: args[1:], Reply: reply}); err != nil {
			l.report(err)
		}
	}
}

// pass has the server execute a command, and is its reply.
func (l *Listener) pass(c *server.Peer, command string, args []string) any {
	var raw bytes.Buffer
	w := bufio.NewWriter(&raw)
	peer := server.NewPeer(w)
	peer.Ctx, peer.Resp3, peer.ClientName = c.Ctx, c.Resp3, c.ClientName
	l.setOwn(peer, true)
	l.server.Dispatch(peer, append([]string{command}, args...))
	l.setOwn(peer, false)
	peer.Flush()
	c.Ctx = peer.Ctx
	c.WriteRaw(raw.String())
	reply, err := server.ParseReply(bufio.NewReader(&raw))
	if err != nil {
		return err
	}
	return plain(reply)
}

// plain is a reply as go-redis gives it.
func plain(reply any) any {
	switch r := reply.(type) {
	case int:
		return int64(r)
	case server.Simple:
		return string(r)
	case []any:
		all := make([]any, len(r))
		for i := range r {
			all[i] = plain(r[i])
		}
		return all
	}
	return reply
}

func (l *Listener) isOwn(c *server.Peer) bool {
	l.ownMu.Lock()
	defer l.ownMu.Unlock()
	return l.own[c]
}

func (l *Listener) setOwn(c *server.Peer, is bool) {
	l.ownMu.Lock()
	defer l.ownMu.Unlock()
	if is {
		l.own[c] = true
	} else {
		delete(l.own, c)
	}
}

// Nested reports whether a command comes from a script. miniredis says so in a field of its own.
func Nested(c *server.Peer) bool {
	ctx := reflect.ValueOf(c.Ctx)
	if ctx.Kind() != reflect.Pointer || ctx.IsNil() || ctx.Elem().Kind() != reflect.Struct {
		return false
	}
	field := ctx.Elem().FieldByName("nested")
	return field.IsValid() && field.Bool()
}

// names are those of the scripts, by their digests.
var names = sync.OnceValue(func() map[string]string {
	names := map[string]string{}
	for _, s := range []*lua.Script{
		lua.Acquire, lua.AcquireOwn, lua.Release, lua.Renew, lua.Keep, lua.Check, lua.Break, lua.Confirm, lua.Convert, lua.Resume, lua.Inspect,
		lua.Watch, lua.Ask, lua.Limit, lua.Record, lua.Recall, lua.Erase, lua.Preflight, lua.Probe, lua.WeakRelease,
	} {
		names[s.Digest] = s.Name
	}
	return names
})
