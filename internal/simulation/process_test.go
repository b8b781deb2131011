package simulation_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/quorum"
)

// process is an instance of the application: a Client over connections of its own; or one for each node of a quorum, and a Locker over them.
type process struct {
	world    *world
	number   int
	name     string
	rdbs     []*redis.Client
	clients  []*redislock.Client
	client   *redislock.Client // the only Client, or that of the first node
	locker   *quorum.Locker
	ended    map[string]time.Time // when its last operation on a name has ended
	observer *observer
	life     context.Context // ends when the process is gone
	end      context.CancelFunc
	gone     bool
	closed   bool
	packets  []*crossing // actions for when packets have come or gone
}

// crossing is an action for when a number of further packets of a process have arrived.
type crossing struct {
	left   int
	before bool
	do     func()
}

func (w *world) begin(number int) *process {
	defer inProcess(inProcess(number + 1))
	p := &process{world: w, number: number, name: string(rune('A' + number)), observer: &observer{}, ended: map[string]time.Time{}}
	p.life, p.end = context.WithCancel(context.Background())
	p.observer.process = p
	for _, s := range w.servers {
		rdb := redis.NewClient(&redis.Options{
			Addr: s.addr(), Protocol: 2, DisableIdentity: true, Dialer: p.dial,
			// go-redis keeps the timer of a wait for a connection for the next wait, which would be in another bubble.
			PoolSize: 1000,
		})
		c, err := redislock.New(rdb, redislock.WithName(p.name), redislock.WithObserver(p.observer))
		if err != nil {
			panic(err)
		}
		p.rdbs, p.clients = append(p.rdbs, rdb), append(p.clients, c)
	}
	p.client = p.clients[0]
	if w.plan.quorum() {
		p.join()
	}
	w.processes = append(w.processes, p)
	return p
}

// crossed runs the actions that are due with a packet, before or after it is delivered.
func (p *process) crossed(before bool) {
	if _, stands := p.world.stands(p); stands {
		return
	}
	for i := 0; i < len(p.packets); i++ {
		c := p.packets[i]
		if before {
			c.left--
		}
		if c.left == 0 && c.before == before || c.left < 0 {
			p.packets = append(p.packets[:i], p.packets[i+1:]...)
			i--
			c.do()
		}
	}
}

// observer records the events of a Client, and may misbehave.
type observer struct {
	process *process
	mu      sync.Mutex
	fault   string
	until   time.Time
}

func (o *observer) misbehave(how string, length time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fault, o.until = how, time.Now().Add(length)
}

func (o *observer) Observe(e redislock.Event) {
	o.process.world.history.say("%s: event %v %s", o.process.name, e.Kind, e.Name)
	o.process.world.history.count("event " + e.Kind.String())
	o.mu.Lock()
	fault, until := o.fault, o.until
	o.mu.Unlock()
	if !time.Now().Before(until) {
		return
	}
	if fault == "observer panics" {
		panic("the observer panics")
	}
	time.Sleep(time.Until(until))
}

// doing is an operation under way.
type doing struct {
	operation
	*process
	draw    *rand.Rand
	ctx     context.Context
	cancel  context.CancelFunc
	asked   time.Time
	entered bool
	units   int           // the units of the semaphore that it wants
	turns   bool          // its lock may go on within the process, or linger
	through bool          // its body has ended, and only the release is left
	wait    time.Duration // WithWait of its acquire, if it has one and nothing else
}

// operate begins an operation.
func (w *world) operate(op operation) {
	p := w.processes[op.Client]
	if until, stands := w.stands(p); stands {
		w.waiting++
		w.at(until, func() { w.waiting--; w.operate(op) })
		return
	}
	defer inProcess(inProcess(p.number + 1))
	d := &doing{operation: op, process: p, draw: source(op.Seed, 3), asked: time.Now()}
	w.history.ops++
	w.history.add("%s begins %d: %s %s", p.name, op.Number, op.Kind, op.Name)
	d.ctx, d.cancel = context.WithCancel(p.life)
	ending := d.draw.IntN(10)
	if w.plan.Rush {
		ending = -1
	}
	switch ending {
	case 0, 1, 2: // after some time
		d.ctx, d.cancel = context.WithTimeout(p.life, upTo(d.draw, 100*time.Microsecond, 30*time.Second))
	case 3, 4: // after some number of packets
		p.packets = append(p.packets, &crossing{1 + d.draw.IntN(12), d.draw.IntN(2) == 0, func() {
			w.history.say("%d is cancelled", op.Number)
			d.cancel()
		}})
	case 5:
		var cancel func()
		cancel = func() {
			if until, stands := w.stands(p); stands {
				w.at(until, cancel)
				return
			}
			w.history.add("%d is cancelled", op.Number)
			d.cancel()
		}
		w.after(upTo(d.draw, 100*time.Microsecond, 10*time.Second), cancel)
	}
	w.doing[op.Number] = d
	go func() {
		outcome := "panicked"
		defer func() {
			if r := recover(); r != nil && r != errBody {
				outcome = fmt.Sprintf("panicked: %v", r)
			}
			w.history.say("%d ends: %s", op.Number, outcome)
			d.cancel()
			w.mu.Lock()
			delete(w.doing, op.Number)
			p.ended[op.Name] = time.Now()
			w.mu.Unlock()
			w.notice()
		}()
		if err := d.perform(); err != nil {
			d.late(err)
			d.inVain()
			outcome = err.Error()
		} else {
			outcome = "done"
		}
	}()
}

// pause waits for some time in a body, or until its context ends. Some bodies ignore their context.
func (d *doing) pause(ctx context.Context, most time.Duration) {
	length := upTo(d.draw, 10*time.Microsecond, most)
	timer := time.NewTimer(length)
	defer timer.Stop()
	if d.draw.IntN(8) == 0 {
		<-timer.C
		return
	}
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// late checks that an acquire with a bound on its wait kept it. It may wait for its own clean-up for at most ten milliseconds.
// AcquireAll gives back what it has taken first, as documented.
func (d *doing) late(err error) {
	due, least := latest(d.asked.Add(d.wait), d.world.weather.stopped[d.number].Add(10*time.Millisecond)), 12*time.Millisecond
	if d.world.plan.quorum() { // a quorum waits for at most twenty
		least = 22 * time.Millisecond
	}
	if d.wait > 0 && !d.entered && d.Kind != "all" && d.Kind != "path" && d.observer.fault == "" && time.Since(due) > least {
		d.world.checks.find("bound", "%d had %v, and took %v", d.Number, d.wait, time.Since(d.asked))
	}
}
