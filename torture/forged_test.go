package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
)

// attacker may publish and listen on every channel, and read or write no key.
type attacker struct {
	rdb   *redis.Client
	sent  map[string]bool  // by the attacker
	seen  []*redis.Message // the last messages of others
	fresh []*redis.Message // those messages whose receivers have not got a false one yet
	news  []string         // channels
	r     *rand.Rand
}

func (a *attacker) digits(n int) string {
	text := make([]byte, n)
	for i := range text {
		text[i] = byte('0' + a.r.IntN(10))
	}
	return string(text)
}

func (a *attacker) noise(n int) string {
	text := make([]byte, n)
	for i := range text {
		text[i] = byte(a.r.Uint32())
	}
	return string(text)
}

// lie is a message that violates the protocol.
func (a *attacker) lie() string {
	later := fmt.Sprintf("%016d", time.Now().Add(time.Hour).UnixMicro())
	lies := []string{
		"", "g", "s", "o", "e", "oa", "ea", a.noise(a.r.IntN(200)),
		"g" + a.noise(22) + later + later + "99999999",
		"g" + a.digits(22+16+16+8),
		"g" + a.noise(22+16+16+8),
		"s" + a.noise(22+16),
		"s" + a.digits(22+16) + "because",
	}
	if len(a.seen) > 0 {
		lies = append(lies, a.twist(a.seen[a.r.IntN(len(a.seen))].Payload)...)
	}
	return lies[a.r.IntN(len(lies))]
}

// twist is a false message about a wait, or about the hold that it became, with its real token.
func (a *attacker) twist(real string) []string {
	if len(real) < 1+22 {
		return nil
	}
	later := fmt.Sprintf("%016d", time.Now().Add(time.Hour).UnixMicro())
	token := real[1:23]
	return []string{
		"g" + token + later + later + "99999999", "g" + token + later + real[min(39, len(real)):],
		"s" + token + a.noise(16) + "because", "s" + token + a.digits(16), "o" + token, "e" + token,
	}
}

// strike sends false messages, and repeats true ones, to waiters and to all.
func (a *attacker) strike(ctx context.Context, n int) (forged, replayed int, err error) {
	all := a.rdb.Pipeline()
	send := func(payload string) {
		a.sent[payload] = true
		all.Publish(ctx, a.news[a.r.IntN(len(a.news))], payload)
	}
	for range n {
		send(a.lie())
		forged++
	}
	for _, m := range a.fresh { // at once to the receiver of the true message
		for _, lie := range a.twist(m.Payload) {
			a.sent[lie] = true
			all.Publish(ctx, m.Channel, lie)
			forged++
		}
	}
	a.fresh = nil
	for range min(n, len(a.seen)) {
		m := a.seen[a.r.IntN(len(a.seen))]
		a.sent[m.Payload] = true
		all.Publish(ctx, m.Channel, m.Payload) // to whom it was sent
		send(m.Payload)
		replayed += 2
	}
	_, err = all.Exec(ctx)
	return forged, replayed, err
}

func TestForgedAndReplayedMessagesGrantAndTakeNothing(t *testing.T) {
	forged, replayed := 0, 0
	x := played(t, Row{
		Fault: "forged and replayed messages",
		Promise: "A user that may publish and listen on the channels, and may not read the keys, can neither take a lock away nor get " +
			"one. A message grants only what a wait with that token asked for, and only once. A forged message costs a check.",
		Inject: func(x *Run) {
			ctx := context.Background()
			a := &attacker{
				rdb: x.Server.Connect(x.Server.AddUser("attacker", "+publish +psubscribe &*")), sent: map[string]bool{},
				r: rand.New(rand.NewPCG(1, uint64(now()))),
			}
			if err := a.rdb.HGetAll(ctx, x.Key("a")).Err(); !redis.HasErrorPrefix(err, "NOPERM") {
				x.Fatalf("the attacker can read the key: %v", err)
			}
			ears := a.rdb.PSubscribe(ctx, prefix+"*")
			_, err := ears.Receive(ctx)
			x.done(err)
			defer func() { x.done(ears.Close()) }()
			heard := ears.Channel(redis.WithChannelSize(10_000))
			var robbery sync.WaitGroup
			defer robbery.Wait()
			robbery.Go(func() {
				for x.Injecting() {
					if err := x.robHarness(); err != nil {
						x.Error(err)
					}
				}
			})
			workers := x.Workers()
			for i := 0; x.Every(20 * time.Millisecond); i++ {
				if i%10 == 0 { // a hold that lasts, and was granted by a message
					x.Drop(workers[i/10%len(workers)], "a")
					x.Hold(workers[(i/10+1)%len(workers)], "a", "exclusive")
				}
				for len(heard) > 0 {
					if m := <-heard; !a.sent[m.Payload] && strings.ContainsAny(m.Payload[:min(1, len(m.Payload))], "gs") {
						a.seen, a.fresh = append(a.seen, m), append(a.fresh, m)
					}
				}
				a.seen = a.seen[max(0, len(a.seen)-200):]
				a.news = append(x.wakeChannels(), prefix+":n", prefix+":n:{a}")
				x.Fault("messages were forged and sent again", "b", "c", "d")
				f, r, err := a.strike(ctx, 20)
				x.done(err)
				forged, replayed = forged+f, replayed+r
			}
			for _, w := range workers {
				x.Drop(w, "a")
			}
		},
	})
	for _, w := range x.workers {
		for _, e := range w.log() {
			if e.Err == Stolen {
				t.Errorf("worker %d believed that a lock was stolen: %s %s", w.Index, e.Kind, e.Text)
			}
		}
	}
	t.Logf("%d messages were forged, %d sent again", forged, replayed)
	if replayed == 0 {
		t.Error("nothing was sent again")
	}
}

// robHarness lets the harness steal a lock from itself. That sends a message which others can hear.
func (x *Run) robHarness() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l, err := x.Client().Acquire(ctx, "stolen")
	if err != nil {
		return err
	}
	thief, err := x.Client().Acquire(ctx, "stolen", redislock.WithStealAfter(100*time.Millisecond))
	if err != nil {
		return err
	}
	_ = l.Release(ctx) // it was stolen
	return thief.Release(ctx)
}
