package torture

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// wakeChannels are the wake channels that have a subscriber.
func (x *Run) wakeChannels() []string {
	x.Helper()
	channels, err := x.Admin.PubSubChannels(context.Background(), prefix+":c:*").Result()
	x.done(err)
	return channels
}

func TestWaitersOutliveTheirSubscriptions(t *testing.T) {
	cut := int64(0)
	played(t, Row{
		Fault: "pub/sub connections killed at 10 Hz",
		Promise: "A message without a subscription costs time and never the lock. Every new subscription begins with a check, and each " +
			"wait is checked within two seconds anyway.",
		Inject: func(x *Run) {
			for x.Every(100 * time.Millisecond) {
				x.Fault("all subscriptions were cut")
				n, err := x.Admin.ClientKillByFilter(context.Background(), "TYPE", "pubsub").Result()
				x.done(err)
				cut += n
			}
		},
	})
	if cut == 0 {
		t.Error("there was no subscription to cut")
	}
}

func TestWaitersThatHearNothingAreToldByTheirChecks(t *testing.T) {
	muted := 0
	played(t, Row{
		Fault: "half-open subscriptions (packets dropped)",
		Promise: "A waiter whose messages are dropped finds its grant by a check, within two seconds. The waiters behind it wait for " +
			"this check, and not until a claim lapses.",
		Topology: Proxied(mute),
		Load:     Load{Lease: 5 * time.Second},
		Bound:    6 * time.Second,
		Short:    4 * time.Second,
		Inject: func(x *Run) {
			for x.Every(200 * time.Millisecond) {
				x.silence(func() { muted += x.Proxy.MuteSubscriptions() }, 0)
				x.Proxy.CloseSubscriptions()
			}
		},
	})
	if muted == 0 {
		t.Error("there was no subscription to mute")
	}
}

func TestWaitersThatAreCutOffArePassedOver(t *testing.T) {
	played(t, Row{
		Fault: "half-open waiters (packets dropped)",
		Promise: "A waiter that is cut off keeps the lock from the others for one claim at most, and after seven seconds of silence not " +
			"at all. When it is connected again, it joins at the position of its old ticket.",
		Topology:    Proxied(mute),
		Load:        Load{Lease: time.Second},
		Bound:       15 * time.Second, // seven seconds of silence, a claim and a check, on a slow machine
		Unreachable: true,             // those that are cut off
		Inject: func(x *Run) {
			for x.Every(200 * time.Millisecond) {
				x.silence(x.Proxy.Mute, mute)
				x.Proxy.Unmute()
			}
		},
	})
}

// mute is how many workers are behind the proxy.
const mute = 2

// silence mutes workers while they wait for a lock. It returns when all workers from a number on have been granted it after
// that.
func (x *Run) silence(do func(), from int) {
	x.Helper()
	workers := x.Workers()
	last := workers[len(workers)-1]
	x.Hold(last, "a", "exclusive")
	for _, w := range workers[:len(workers)-1] {
		x.Storm(w, "a", 1)
	}
	x.Eventually("they wait", func() bool { return x.Inspect("a").Waiting >= len(workers)-1 })
	x.Fault("waiters were cut off", "a")
	do()
	after := now()
	x.Drop(last, "a")
	for _, w := range workers[from : len(workers)-1] {
		x.Eventually(fmt.Sprintf("worker %d is granted the lock", w.Index), func() bool { return w.grantedAfter("a", after) })
	}
	for _, w := range workers {
		x.Cancel(w)
	}
}

func TestAFloodedSubscriptionIsMadeAnew(t *testing.T) {
	cut := 0
	played(t, Row{
		Fault: "subscribers' output buffers overrun",
		Promise: "If the server closes a subscription because its buffer is full, the Client subscribes anew and checks its waits. The " +
			"messages in the buffer are lost, and no lock.",
		Topology: OneServer("--client-output-buffer-limit", "pubsub 65536 0 0"),
		Load:     Load{Lease: 4 * time.Second},
		Bound:    8 * time.Second,
		Inject: func(x *Run) {
			text := strings.Repeat("x", 2<<10)
			for i := 0; x.Every(250 * time.Millisecond); i++ {
				before := x.subscribers()
				if i%2 == 0 {
					x.Fault("all subscribers were sent more than the server keeps for them")
					x.flood(text, 64)
					x.Eventually("subscribers are cut", func() bool { return gone(before, x.subscribers()) > 0 })
				} else {
					// A process that does not read: messages to it fill the kernel's buffers, and then the server's.
					w := x.Workers()[i%len(x.Workers())]
					x.Fault("a subscriber stopped reading, and was sent more than the server keeps for it")
					x.Pause(w)
					x.Eventually("a subscriber is cut", func() bool {
						x.flood(text, 64)
						return gone(before, x.subscribers()) > 0
					})
					x.Resume(w)
				}
				cut += gone(before, x.subscribers())
			}
		},
	})
	if t.Logf("%d subscriptions were cut", cut); cut == 0 {
		t.Error("no buffer was overrun")
	}
}

// flood sends this many texts to every wake channel, by one script, so that the server writes nothing to connections
// meanwhile. The texts are small, because newer servers keep a large one only once for all subscribers, and count it for none
// of them.
func (x *Run) flood(text string, times int) {
	x.Helper()
	ctx := context.Background()
	all := x.Admin.Pipeline()
	for _, channel := range x.wakeChannels() {
		all.Eval(ctx, "for _ = 1, ARGV[3] do redis.call('PUBLISH', ARGV[1], ARGV[2]) end return 0", nil, channel, text, times)
	}
	_, err := all.Exec(ctx)
	x.done(err)
}

// subscribers are the connections that subscribe, by their numbers.
func (x *Run) subscribers() (ids []string) {
	x.Helper()
	text, err := x.Admin.Do(context.Background(), "CLIENT", "LIST", "TYPE", "pubsub").Text()
	x.done(err)
	for line := range strings.Lines(text) {
		id, _, _ := strings.Cut(line, " ") // id=3 addr=…
		ids = append(ids, id)
	}
	return ids
}

// gone is how many of these connections have ended.
func gone(before, after []string) (n int) {
	for _, id := range before {
		if !slices.Contains(after, id) {
			n++
		}
	}
	return n
}
