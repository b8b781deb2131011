package simulation_test

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	redisserver "github.com/alicebob/miniredis/v2/server"

	"example.com/redislock/internal/conformance"
)

// server is one Redis. It takes commands one at a time, on the world's goroutine, and the model of a lock answers each, too.
type server struct {
	world    *world
	number   int
	mini     *miniredis.Miniredis
	listener *conformance.Listener
	skew     time.Duration // the error of its clock
	down     int           // how many faults keep it from accepting connections
	admin    *session
	keys     map[string]bool       // all keys that were ever used
	told     []message             // all messages of scripts
	channels map[string]*process   // all channels that were ever subscribed to, with the last subscriber
	refuse   map[string]int        // the number of faults that refuse, by error code
	chance   map[string]*rand.Rand // the random sources of the errors
	run      int                   // the number of its present run
	began    time.Time             // the start of that run, by its clock
	restored bool                  // an older state was restored
	back     bool                  // its clock was stepped back
	ahead    bool                  // its clock was stepped forward

	// The state of the command that is being executed.
	refusing *refusal // the refusal for the first write of a script, or nil
	refused  bool
	granted  []string // channels on which a grant was announced
}

func newServer(w *world) *server {
	s := &server{world: w, number: len(w.servers), mini: miniredis.NewMiniRedis(), keys: map[string]bool{}, channels: map[string]*process{}, refuse: map[string]int{}, chance: map[string]*rand.Rand{}}
	if w.plan.quorum() {
		s.skew = w.plan.Skews[s.number]
	}
	s.began = s.now().Add(-24 * time.Hour)
	first, err := s.mini.Dial() // this starts the server
	if err != nil {
		panic(err)
	}
	_ = first.Close()
	s.tick()
	s.mini.ClockTTL(true)
	s.listener = conformance.New(s.mini, func(err error) { w.checks.find("model", "%v", err) })
	s.mini.Server().SetPreHook(s.hook)
	s.admin = s.accept(nil)
	return s
}

// now is the time by the server's clock.
func (s *server) now() time.Time { return time.Now().Add(s.skew) }

// step steps its clock. In Redis a key expires at a point in time, but the embedded server counts the time that is
// left, so the expiries are changed too.
func (s *server) step(by time.Duration) {
	s.tick()
	for _, key := range sortedKeys(s.keys) {
		if !s.mini.Exists(key) { // an expired key does not come back with the time; the model looks only when it is asked
			s.listener.Lost(key)
		}
	}
	if by < 0 {
		for _, key := range s.mini.Keys() {
			if left := s.mini.TTL(key); left > 0 {
				s.mini.SetTTL(key, left-by)
			}
		}
	}
	s.skew += by
}

func (s *server) tick() { s.mini.SetTime(s.now()) }

// session is the server's end of a connection.
type session struct {
	server     *server
	conn       *conn
	peer       *redisserver.Peer
	input      []byte // the beginning of an incomplete command
	subscribed bool
	ended      bool
	granted    []grant // grants in the next packet

	mu  sync.Mutex
	out bytes.Buffer
}

// Write takes the output of the server. Messages come from goroutines of their own.
func (s *session) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(b)
}

// said returns the output of the server since the last call.
func (s *session) said() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out.Len() == 0 {
		return nil
	}
	text := bytes.Clone(s.out.Bytes())
	s.out.Reset()
	return text
}

func (s *server) accept(c *conn) *session {
	one := &session{server: s, conn: c}
	one.peer = redisserver.NewPeer(bufio.NewWriter(one))
	return one
}

// take handles data that came by the connection.
func (s *session) take(data []byte) {
	s.input = append(s.input, data...)
	for !s.ended {
		args, rest, ok := command(s.input)
		if !ok {
			return
		}
		s.input = rest
		s.server.execute(s, args)
		s.server.world.repeat(s, args)
	}
}

// execute executes or refuses one command.
func (s *server) execute(by *session, args []string) {
	w := s.world
	s.granted = nil
	refused, within := s.verdict(args)
	if refused != "" {
		_, _ = by.Write(refused.wire())
		w.called(by, args, refused)
		return
	}
	before := by.said()
	s.refusing, s.refused = within, false
	s.dispatch(by, args)
	s.refusing = nil
	answer := by.said()
	v, _, _ := value(answer)
	if _, failed := v.(failure); failed && s.refused { // as Redis says it
		refused := failure(within.text + " script: 2ad1e0fa36b9f3c2f8a3d4a1a4f8b1fbd05ff5a0, on @user_script:1.")
		answer, v = refused.wire(), refused
	}
	_, _ = by.Write(append(before, answer...))
	if strings.EqualFold(args[0], "subscribe") {
		by.subscribed = true
		for _, channel := range args[1:] {
			s.channels[channel] = by.conn.owner
		}
	}
	w.called(by, args, v)
}

// hook sees each command, also those in scripts. A server that cannot write, or has no memory, refuses the first write of a script. A
// script that has written goes on to its end.
func (s *server) hook(c *redisserver.Peer, command string, args ...string) bool {
	if conformance.Nested(c) {
		if s.refusing != nil && slices.Contains(writing, command) {
			if slices.Contains(s.refusing.refuses, command) {
				s.refused = true
				c.WriteError(s.refusing.text)
				return true
			}
			s.refusing = nil
		}
		if command == "PUBLISH" {
			s.told = append(s.told, message{args[0], args[1]})
			if strings.HasPrefix(args[1], "g") {
				s.granted = append(s.granted, args[0])
			}
		}
	}
	return s.tells(c, command, args) || s.listener.Hook(c, command, args...)
}

func (s *server) dispatch(by *session, args []string) {
	s.tick()
	s.mini.Server().Dispatch(by.peer, slices.Clone(args))
	by.peer.Flush()
}

// forget makes the server forget its scripts.
func (s *server) forget() {
	s.dispatch(s.admin, []string{"SCRIPT", "FLUSH"})
	_ = s.admin.said()
}

// end ends the session: the channels of the connection have one receiver less.
func (s *session) end() {
	if s.ended {
		return
	}
	s.ended = true
	s.server.dispatch(s, []string{"UNSUBSCRIBE"})
	_ = s.said()
}

// cut ends the session from the server's side.
func (s *session) cut() {
	if !s.ended {
		s.end()
		s.server.world.send(s.conn, false, nil, io.EOF)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
