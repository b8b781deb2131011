package torture

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"example.com/redislock"
	"example.com/redislock/quorum"
)

// roleVariable makes the test binary a worker: its value is the Config.
const roleVariable = "REDISLOCK_TORTURE_WORKER"

// closeTime bounds the time in which a worker ends.
const closeTime = 20 * time.Second

// known goroutines are left by go-redis itself: a cluster client that asks Sentinels does not close its connection to them.
var known = []goleak.Option{
	goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9.(*sentinelFailover).listen"),
	goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9.(*channel).initHealthCheck.func1"),
	goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9.(*channel).initMsgChan.func1"),
}

// Command is an order of the harness to a worker, a line of its standard input.
type Command struct {
	Do   string // stop, hold, drop, storm, cancel
	Name string
	Mode string
	N    int
}

// worker is one process of the load.
type worker struct {
	Config
	rdbs    []redis.UniversalClient
	clients []*redislock.Client
	client  *redislock.Client // of one server; with several nodes locker takes the locks
	locker  *quorum.Locker
	load    context.Context
	stop    context.CancelFunc

	out   sync.Mutex
	mu    sync.Mutex
	ops   int64
	drops map[string]chan struct{} // closed when that lock is to be dropped
	all   sync.WaitGroup
}

// workIfTold runs this process as a worker, if it is one.
func workIfTold() {
	text, ok := os.LookupEnv(roleVariable)
	if !ok {
		return
	}
	w := &worker{drops: map[string]chan struct{}{}}
	err := json.Unmarshal([]byte(text), &w.Config)
	if err == nil {
		err = w.live()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (w *worker) live() error {
	w.Load = w.Load.withDefaults()
	w.load, w.stop = context.WithCancel(context.Background())
	commands := make(chan Command)
	go listen(commands)
	before := goleak.IgnoreCurrent()
	logging.Disable() // go-redis tells of every attempt to reach a server that is gone

	opts := []redislock.ClientOption{redislock.WithPrefix(w.Prefix), redislock.WithName(fmt.Sprint("worker ", w.Worker))}
	if w.Load.Retention > 0 && w.Worker%2 == 1 {
		opts = append(opts, redislock.WithRetention(w.Load.Retention))
	}
	if w.Load.Margin > 0 {
		opts = append(opts, redislock.WithClockMargin(w.Load.Margin))
	}
	nodes := w.Nodes
	if len(nodes) == 0 {
		nodes = []Connect{w.Connect}
	}
	for _, n := range nodes {
		rdb := n.Open()
		if len(nodes) == 1 {
			rdb.AddHook(&tap{renew: w.Renew, say: w.say})
		}
		c, err := redislock.New(rdb, opts...)
		if err != nil {
			return err
		}
		w.rdbs, w.clients = append(w.rdbs, rdb), append(w.clients, c)
	}
	var err error
	if w.client = w.clients[0]; len(nodes) > 1 {
		if w.locker, err = overNodes(w.clients, w.Load); err != nil {
			return err
		}
	}
	var pens []*pen
	newPen := func() (*pen, error) {
		conn, err := net.Dial("tcp", w.Register)
		if err != nil {
			return nil, err
		}
		p := &pen{conn: conn, worker: w.Worker}
		pens = append(pens, p)
		return p, nil
	}
	for i := range w.Load.Callers {
		p, err := newPen()
		if err != nil {
			return err
		}
		c := &caller{worker: w, pen: p, r: rand.New(rand.NewPCG(w.Seed, uint64(i)))}
		w.all.Go(c.work)
	}
	w.say(Event{Kind: Ready})
	cancel := make(chan struct{})
	for command := range commands {
		switch command.Do {
		case "hold":
			p, err := newPen()
			if err != nil {
				return err
			}
			drop := make(chan struct{})
			w.drops[command.Name] = drop
			c := &caller{worker: w, pen: p}
			w.all.Go(func() { c.holdUntil(command.Name, command.Mode, drop) })
		case "drop":
			if drop, ok := w.drops[command.Name]; ok {
				close(drop)
				delete(w.drops, command.Name)
			}
		case "storm":
			for i := range command.N {
				c := &caller{worker: w, pen: pens[0], r: rand.New(rand.NewPCG(w.Seed, uint64(time.Now().UnixNano())+uint64(i)))}
				cancelled := cancel
				w.all.Go(func() { c.storm(command.Name, cancelled) })
			}
		case "cancel":
			close(cancel)
			cancel = make(chan struct{})
		}
		if command.Do == "stop" {
			break
		}
	}
	w.stop()
	w.all.Wait()

	ctx, over := context.WithTimeout(context.Background(), closeTime)
	defer over()
	var closing []error
	for _, c := range w.clients {
		closing = append(closing, c.Close(ctx))
	}
	err = errors.Join(closing...)
	w.say(Event{Kind: Closed, Err: classify(err), Text: text(err)})
	for _, rdb := range w.rdbs {
		_ = rdb.Close()
	}
	for _, p := range pens {
		_ = p.conn.Close()
	}
	// go-redis checks once a second whether a lost server is back, and only then notices that it was closed.
	err = goleak.Find(append(known, before)...)
	for until := time.Now().Add(closeTime); err != nil && time.Now().Before(until); {
		time.Sleep(100 * time.Millisecond)
		err = goleak.Find(append(known, before)...)
	}
	if err != nil {
		w.say(Event{Kind: Leaked, Text: err.Error()})
	}
	w.say(Event{Kind: Done})
	return nil
}

// listen passes on the orders of the harness. If the harness ends, so does the worker.
func listen(commands chan<- Command) {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var c Command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1)
		}
		select {
		case commands <- c:
		case <-time.After(time.Minute): // it takes no commands any more
		}
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(3)
}

// say writes an event, unbuffered. An event without a time gets that of the call.
func (w *worker) say(e Event) {
	if e.At == 0 {
		e.At = now()
	}
	line, err := json.Marshal(e)
	if err != nil {
		panic(err) // cannot happen: an Event can be marshalled
	}
	w.out.Lock()
	defer w.out.Unlock()
	if _, err := os.Stdout.Write(append(line, '\n')); err != nil {
		os.Exit(3) // the harness is gone
	}
}

func (w *worker) op() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ops++
	return w.ops
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
