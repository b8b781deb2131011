package redislock_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// actor is a process of a transcript: a hook shows its requests, and what befalls it is in its hook and its connections.
type actor struct {
	stage  *stage
	name   string
	rdb    *redis.Client
	client *redislock.Client
	number int // of the process, from 1

	mu      sync.Mutex
	channel string // its wake channel
	mute    bool
	deaf    bool
	dead    bool
	conns   []net.Conn
	nets    []*fakenet.Network  // of each connection
	lost    map[string][]string // "answer" or "request" of each of the next, by script
	refused map[string]string   // the error, by script
	last    map[string][]any    // the arguments of the last request, by script
}

func (s *stage) begin(name string) *actor {
	i := &actor{stage: s, name: name, number: len(s.instances) + 1, lost: map[string][]string{}, refused: map[string]string{}, last: map[string][]any{}}
	i.rdb = redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", Protocol: 2, DisableIdentity: true, Dialer: i.dial})
	i.rdb.AddHook(i)
	var err error
	i.client, err = redislock.New(i.rdb, redislock.WithName(name), redislock.WithJitter(func(d time.Duration) time.Duration { return d / 2 }), redislock.WithObserver(redislock.ObserverFunc(func(e redislock.Event) {
		i.say(ofEvent, "  %s: event %v %s", name, e.Kind, e.Name)
	})))
	if err != nil {
		s.Fatal(err)
	}
	i.warm()
	return i
}

// say adds a line, unless the process has died: what it still tries is not shown.
func (i *actor) say(k kind, format string, args ...any) {
	i.mu.Lock()
	dead := i.dead
	i.mu.Unlock()
	if !dead {
		i.stage.say(k, format, args...)
	}
}

// warm has the process connect, subscribe, and know the scripts, which is not shown.
func (i *actor) warm() {
	i.stage.mu.Lock()
	count, names := maps.Clone(i.stage.count), maps.Clone(i.stage.names)
	i.stage.mu.Unlock()
	for range 2 { // the second finds all connections made
		if err := i.client.Do(context.Background(), "warm", func(context.Context) error {
			settle()
			return nil
		}); err != nil {
			i.stage.Fatal(err)
		}
		settle()
	}
	i.stage.mu.Lock()
	defer i.stage.mu.Unlock()
	i.stage.lines, i.stage.count, i.stage.names = nil, count, names
	i.stage.names["c"+i.channel] = i.name
}

// suffer has something befall the process.
func (i *actor) suffer(words []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch words[0] {
	case "lose":
		i.lost[words[3]] = append(i.lost[words[3]], words[2])
	case "refuse":
		i.refused[words[2]] = strings.Join(words[3:], " ")
	case "repeat":
		args := slices.Clone(i.last[words[2]])
		answer := i.stage.raw.Do(context.Background(), args...)
		i.stage.say(ofRequest, "  %s ⇝ %s\n    %s", i.name, i.stage.request(args), i.stage.answer(words[2], answer))
	case "deaf", "hears":
		i.deaf = words[0] == "deaf"
	case "mute":
		i.mute = true
		for _, n := range i.nets {
			n.Cut()
		}
	case "die":
		i.dead = true
		for _, conn := range i.conns {
			_ = conn.Close()
		}
	}
}

func (i *actor) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dead {
		return nil, errors.New("the process has died")
	}
	// Each connection has a delay of its own, so that no two packets arrive at the same instant.
	n := &fakenet.Network{Dial: i.stage.mini.Dial, Delay: time.Millisecond + time.Duration(i.number)*100*time.Microsecond + time.Duration(len(i.conns))*time.Microsecond}
	if i.mute {
		n.Cut()
	}
	conn, err := n.Dialer(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	i.nets = append(i.nets, n)
	i.conns = append(i.conns, conn)
	return &connection{Conn: conn, instance: i}, nil
}

// connection loses what comes by a subscription while its process is deaf.
type connection struct {
	net.Conn
	instance  *actor
	mu        sync.Mutex
	subscribe bool
}

func (c *connection) Write(data []byte) (int, error) {
	if bytes.Contains(data, []byte("subscribe")) {
		if at := bytes.Index(data, []byte("redislock:c:")); at >= 0 {
			c.instance.mu.Lock()
			c.instance.channel = string(data[at : at+len("redislock:c:")+22])
			c.instance.mu.Unlock()
		}
		c.mu.Lock()
		c.subscribe = true
		c.mu.Unlock()
	}
	return c.Conn.Write(data)
}

func (c *connection) Read(data []byte) (int, error) {
	for {
		n, err := c.Conn.Read(data)
		c.mu.Lock()
		subscribe := c.subscribe
		c.mu.Unlock()
		c.instance.mu.Lock()
		deaf := c.instance.deaf
		c.instance.mu.Unlock()
		if err != nil || !deaf || !subscribe {
			return n, err
		}
	}
}

// DialHook changes nothing.
func (i *actor) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook shows single requests.
func (i *actor) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return i.pass([]redis.Cmder{cmd}, func() error { return next(ctx, cmd) })
	}
}

// ProcessPipelineHook shows those that leave together.
func (i *actor) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return i.pass(cmds, func() error { return next(ctx, cmds) })
	}
}

// serverError is what a server answers in the place of what was asked for.
type serverError string

func (e serverError) Error() string { return string(e) }
func (serverError) RedisError()     {}

func (i *actor) pass(cmds []redis.Cmder, next func() error) error {
	fate := map[redis.Cmder]error{}
	silent := error(nil)
	i.mu.Lock()
	for _, cmd := range cmds {
		script := scriptOf(cmd.Args())
		i.last[script] = slices.Clone(cmd.Args())
		lost := ""
		if next := i.lost[script]; len(next) > 0 {
			lost, i.lost[script] = next[0], next[1:]
		}
		switch {
		case lost == "request":
			silent = errors.New("i/o timeout")
		case i.refused[script] != "":
			silent = serverError(i.refused[script])
			delete(i.refused, script)
		case lost == "answer":
			fate[cmd] = errors.New("i/o timeout")
		}
	}
	i.mu.Unlock()
	var err error
	if silent == nil {
		err = next()
	}
	for _, cmd := range cmds {
		if script := scriptOf(cmd.Args()); script == "hello" || script == "probe" { // they say nothing of a lock
			continue
		}
		request := i.stage.request(cmd.Args())
		answer := i.stage.answer(scriptOf(cmd.Args()), cmd)
		if err != nil && len(cmds) == 1 { // it is not in the command yet
			answer = err.Error()
		}
		if failed := fate[cmd]; failed != nil {
			answer += ", and the answer is lost"
			cmd.SetErr(failed)
			err = failed
		}
		if silent != nil {
			answer = silent.Error()
			cmd.SetErr(silent)
			err = silent
		}
		i.say(ofRequest, "  %s → %s\n    %s", i.name, request, answer)
	}
	return err
}
