package redislock_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/model"
	"example.com/redislock/internal/protocol"
)

// Random histories are played to the library and to the model. After each step both must have the same holders, in the same modes,
// and the same queue in the same order.

// player is one caller: it waits for the lock, holds it, or is gone.
type player struct {
	who    string
	lock   *redislock.Lock
	got    chan error
	cancel context.CancelFunc
}

// history is one game.
type history struct {
	*env
	expected
	r       *rand.Rand
	world   []redislock.Mode
	clients []*redislock.Client
	players map[string]*player
	next    int
	fence   int64
	steps   []string
}

var histories = flag.Int("histories", 6, "how many random histories are played to the library and to its model")

func TestRandomHistoriesMatchTheModel(t *testing.T) {
	both(t, func(e *env) {
		for seed := range unlessShort(*histories, 3) {
			h := &history{env: e, r: rand.New(rand.NewPCG(uint64(seed), 3)), world: worlds[seed%len(worlds)], players: map[string]*player{}}
			for range 3 {
				h.clients = append(h.clients, e.client())
			}
			for range 40 {
				h.step()
				h.settle()
				if e.Failed() {
					e.Fatalf("seed %d, after %q", seed, h.steps)
				}
			}
			for len(h.holders())+len(h.waiters()) > 0 { // in the order of the queue, or it would not end
				for _, held := range h.holders() {
					h.release(held)
					h.settle()
				}
			}
			e.untouched("x")
			for _, c := range h.clients {
				if err := c.Close(context.Background()); err != nil {
					e.Error(err)
				}
			}
		}
	})
}

// did notes a step for the report.
func (h *history) did(format string, args ...any) {
	h.steps = append(h.steps, fmt.Sprintf(format, args...))
}

func (h *history) someone(among []string) string { return among[h.r.IntN(len(among))] }

func (h *history) step() {
	switch op := h.r.IntN(20); {
	case op < 9 || len(h.holders()) == 0:
		h.ask()
	case op < 13:
		h.release(h.someone(h.holders()))
	case op < 15 && len(h.waiters()) > 0:
		h.cancel(h.someone(h.waiters()))
	case op < 16:
		h.expire()
	case op < 17:
		h.steal()
	case op < 18:
		h.breakAll()
	default:
		h.change(h.someone(h.holders()))
	}
}

// ask lets a new player acquire.
func (h *history) ask(opts ...redislock.Option) (who string) {
	h.next++
	who = fmt.Sprint("p", h.next)
	mode, weight := h.world[h.r.IntN(len(h.world))], 1
	if mode.Name() == "semaphore" {
		weight = 1 + h.r.IntN(3)
	}
	tries := len(opts) == 0 && h.r.IntN(6) == 0
	opts = append(opts, redislock.WithMode(mode), redislock.WithWeight(weight), redislock.WithMetadata(who))
	if tries {
		opts = append(opts, trying)
	}
	h.did("%s asks in %v, weight %d, %v", who, mode, weight, !tries)
	free := h.asks(who, mode, weight, tries) == "granted"
	ctx, cancel := context.WithCancel(context.Background())
	p := &player{who: who, got: make(chan error, 1), cancel: cancel}
	c := h.clients[h.r.IntN(len(h.clients))]
	if tries {
		l, err := c.Acquire(ctx, "x", opts...)
		if free != (err == nil) || err != nil && !errors.Is(err, redislock.ErrHeld) {
			h.Errorf("TryAcquire of %s: %v", who, err)
		}
		if err != nil {
			return who
		}
		p.lock = l
		p.got <- nil
	} else {
		go func() {
			l, err := c.Acquire(ctx, "x", opts...)
			p.lock = l
			p.got <- err
		}()
	}
	h.players[who] = p
	return who
}

func (h *history) release(who string) {
	h.did("%s releases", who)
	h.drop(who) // and with it the change that it waits for
	p := h.players[who]
	if err := p.lock.Release(context.Background()); err != nil {
		h.Errorf("%s releases: %v", who, err)
	}
	delete(h.players, who)
}

func (h *history) cancel(who string) {
	h.did("%s is cancelled", who)
	h.drop(who)
	p := h.players[who]
	p.cancel()
	if err := <-p.got; !errors.Is(err, context.Canceled) {
		h.Errorf("%s is cancelled: %v", who, err)
	}
	delete(h.players, who)
}

// expire has a player whose lease ends; in fake time it is one that died.
func (h *history) expire() {
	if h.mini != nil && len(h.waiters()) == 0 {
		for _, mode := range h.world {
			if h.asks("dead", mode, 1, true) == "granted" {
				h.did("one dies in %v", mode)
				ends := h.dead("x", 2*time.Second, redislock.WithMode(mode), redislock.WithMetadata("dead"))
				h.fence = max(h.fence, ends.Add(-2*time.Second).UnixMicro())
				h.settle()
				h.ask()
				h.settle()
				time.Sleep(time.Until(ends) + 4*time.Second) // the lease, and a check if nobody waits for its end
				h.drop("dead")
				return
			}
		}
	}
	who := h.ask(redislock.WithoutRenewal(), redislock.WithLease(500*time.Millisecond))
	h.settle()
	if !slices.Contains(h.holders(), who) {
		h.cancel(who)
		return
	}
	h.did("%s lapses", who)
	<-h.players[who].lock.Context().Done()
	h.gone(who, redislock.ErrLost)
}

// steal adds a player that finds all holds stale, and does not stay. Those that are in its way are robbed.
func (h *history) steal() {
	const stale = 900 * time.Millisecond
	if h.upgrading() != "" { // a hold that has changed its mode is as old as before, so the next check would steal it again
		return
	}
	time.Sleep(stale + 10*time.Millisecond)
	who := h.ask(redislock.WithStealAfter(stale))
	if slices.Contains(h.holders(), who) {
		return
	}
	h.did("%s steals", who)
	h.robbed(h.steals(who))
	h.settle()
	if slices.Contains(h.waiters(), who) {
		h.cancel(who)
	}
}

func (h *history) breakAll() {
	h.did("break")
	if _, err := h.clients[0].Break(context.Background(), "x", "an operator"); err != nil {
		h.Errorf("break: %v", err)
	}
	h.robbed(h.holders())
}

// robbed drops some holds at once, with their pending changes.
func (h *history) robbed(held []string) {
	upgrades := h.upgrading()
	h.drops(held)
	if upgrades != "" {
		if err := <-h.players[upgrades+"+"].got; !errors.Is(err, redislock.ErrNotHeld) {
			h.Errorf("%s, which is robbed, gets %v", upgrades, err)
		}
	}
	for _, who := range held {
		<-h.players[who].lock.Context().Done()
		h.gone(who, redislock.ErrStolen)
	}
}

// gone drops a player whose hold ended without it.
func (h *history) gone(who string, why error) {
	h.drop(who)
	p := h.players[who]
	if err := p.lock.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, why) {
		h.Errorf("%s, which lost the lock, releases: %v", who, err)
	}
	delete(h.players, who)
}

// change upgrades or downgrades.
func (h *history) change(who string) {
	l, mode := h.players[who].lock, h.mode(who)
	switch {
	case h.upgrading() == who || mode != "read" && mode != "write":
	case mode == "write":
		h.did("%s downgrades", who)
		h.convert(who, redislock.Read)
		if err := l.Downgrade(context.Background()); err != nil {
			h.Errorf("%s downgrades: %v", who, err)
		}
	case h.convert(who, redislock.Write) == "conflict":
		h.did("%s upgrades in vain", who)
		if err := l.Upgrade(context.Background()); !errors.Is(err, redislock.ErrConflict) {
			h.Errorf("%s upgrades beside another: %v", who, err)
		}
	default:
		h.did("%s upgrades", who)
		// Its place is a player of its own, which leaves when it is granted.
		ctx, cancel := context.WithCancel(context.Background())
		p := &player{who: who + "+", got: make(chan error, 1), cancel: cancel}
		h.players[p.who] = p
		go func() { p.got <- l.Upgrade(ctx) }()
	}
}

// settle waits until the library has the state of the model, and checks the grants on the way.
func (h *history) settle() {
	var info redislock.Info
	same := func() bool {
		var err error
		info, err = h.clients[0].Inspect(context.Background(), "x")
		if err != nil {
			h.stop(err)
		}
		return h.seen(info) == h.expected.String()
	}
	for until := time.Now().Add(10 * time.Second); !same(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			h.Fatalf("the model says%s\nthe library%s\nafter %q", h.expected.String(), h.seen(info), h.steps)
		}
	}
	for _, who := range h.granted { // I2: in the order of the grants
		if who == "dead" {
			continue
		}
		p := h.players[who]
		if p == nil {
			continue // and gone again
		}
		if err := <-p.got; err != nil {
			h.Fatalf("%s was granted, and got %v, after %q", who, err, h.steps)
		}
		l := p.lock
		if of, upgrade := strings.CutSuffix(who, "+"); upgrade {
			delete(h.players, who)
			l = h.players[of].lock
		} else {
			p.got <- nil
		}
		if l.Fence() <= h.fence {
			h.Fatalf("I2: %s has fence %d, after %d, after %q", who, l.Fence(), h.fence, h.steps)
		}
		h.fence = l.Fence()
	}
	h.granted = nil
	if info.Fence < h.fence {
		h.Fatalf("I2: the last fence is %d, and %d was granted", info.Fence, h.fence)
	}
}

// seen is the state of the library, in the form of the model.
func (h *history) seen(info redislock.Info) string {
	var b strings.Builder
	for _, held := range info.Holds {
		fmt.Fprintf(&b, " %s:%v", held.Owner.Metadata, held.Mode)
	}
	b.WriteString(" |")
	for _, p := range info.Places {
		fmt.Fprintf(&b, " %s", p.Owner.Metadata)
		if p.Since.IsZero() {
			b.WriteString("+")
		}
	}
	return b.String()
}

var (
	guest = redislock.NewMode("guest", redislock.AtMost(1, "guest"), redislock.CompatibleWith("host"))
	host  = redislock.NewMode("host", redislock.AtMost(2, "guest"), redislock.CompatibleWith("read"))

	small  = redislock.NewMode("small", redislock.AtMost(2, "small", "large"), redislock.CompatibleWith("read"))
	large  = redislock.NewMode("large", redislock.AtMost(2, "small", "large"), redislock.AtMost(0, "large"))
	begins = redislock.NewMode("begins", redislock.AtGrant(redislock.AtMost(1, "read")), redislock.CompatibleWith("small"))
	beside = redislock.Read.Beside(redislock.CompatibleWith("begins"), redislock.AtMost(2, "read", "small"))
)

// worlds are the modes that are used together in one history.
var worlds = [][]redislock.Mode{
	{redislock.Exclusive},
	{redislock.Read, redislock.Read, redislock.Read, redislock.Write},
	{redislock.Semaphore(3), redislock.Semaphore(3), redislock.Semaphore(5)},
	{guest, host, redislock.Read, redislock.Exclusive},
	{small, large, begins, beside, redislock.Read},
	{redislock.Exclusive, redislock.Write, redislock.Read, redislock.Semaphore(3), redislock.Semaphore(5), guest, host},
}

// expected is the state of the lock in the model. A player is a token, and no deadline passes, as time hardly moves.
type expected struct {
	lock    model.Lock
	now     model.Micros
	changes int
	granted []string // who was granted, in order, since it was last looked at
}

// execute lets the model execute a request, and records the grants.
func (m *expected) execute(s model.Script) model.Answer {
	m.now++
	at := model.Instant{Now: m.now + 1000*model.Second, Rules: &model.Protocol, Subscribed: func(string) bool { return true }}
	after, answer, messages := model.Execute(&m.lock, s, at)
	m.lock = after
	if c, ok := s.(model.Convert); ok && c.Grants && answer.Status == "granted" {
		m.granted = append(m.granted, playerOf(c.Change)) // others may be granted after it
	}
	for _, message := range messages {
		if message.Kind == 'g' {
			m.granted = append(m.granted, playerOf(message.Token))
		}
	}
	if a, ok := s.(model.Acquire); ok && answer.Status == "granted" {
		m.granted = append(m.granted, a.Token)
	}
	return answer
}

// asks has a player acquire, and says whether it holds the lock, waits, or neither.
func (m *expected) asks(who string, in redislock.Mode, weight int, tries bool) string {
	r := model.Request{Lease: 3600 * model.Second, Keep: 4600 * model.Second, Wait: 'u', Channel: who}
	if r.Mode = (model.Mode{Mode: redislock.Wire(in)}); in != redislock.Exclusive {
		r.Mode.Weight = weight
	}
	if tries {
		r.Wait = '-'
	}
	return m.execute(model.Acquire{Token: who, Request: r}).Status
}

// drop ends the hold or the place of a player, or its wait for a change.
func (m *expected) drop(player string) {
	for _, p := range m.lock.Queue {
		if playerOf(p.Token) == player {
			player = p.Token
			break
		}
	}
	m.execute(model.Release{Token: player})
}

// steals has a waiter revoke what is in its way, and says whose holds these are.
func (m *expected) steals(who string) (robbed []string) {
	m.execute(model.Check{Channel: who, Wait: 'u', Stale: true, Tokens: []string{who}})
	for _, h := range m.lock.Holds {
		if h.State == model.Revoked {
			robbed = append(robbed, h.Token)
		}
	}
	return robbed
}

// drops ends some holds at once.
func (m *expected) drops(players []string) {
	b := model.Break{Reason: "why"}
	for _, h := range m.lock.Holds {
		if !slices.Contains(players, h.Token) {
			continue
		}
		b.Holds = append(b.Holds, model.Grant{Token: h.Token, Fence: h.Fence})
	}
	m.execute(b)
}

// convert changes the mode of a player's hold.
func (m *expected) convert(player string, to redislock.Mode) string {
	m.changes++
	r := model.Request{Lease: 3600 * model.Second, Keep: 4600 * model.Second, Wait: 'u', Channel: player}
	r.Mode = model.Mode{Mode: redislock.Wire(to), Weight: 1}
	c := model.Convert{Token: player, Request: r, Grants: to == redislock.Write, Change: model.Changed(m.changes, player)}
	return m.execute(c).Status
}

func (m *expected) holders() (all []string) {
	for _, h := range m.lock.Holds {
		all = append(all, h.Token)
	}
	return all
}

func (m *expected) waiters() (all []string) {
	for _, p := range m.lock.Queue {
		all = append(all, playerOf(p.Token))
	}
	return all
}

// mode is that of a holder, as people are shown it.
func (m *expected) mode(player string) string {
	for _, h := range m.lock.Holds {
		if h.Token == player {
			return modeText(h.Request.Mode.Mode)
		}
	}
	return ""
}

// upgrading is the player whose reader's hold waits to become the writer's, if there is one.
func (m *expected) upgrading() string {
	for _, p := range m.lock.Queue {
		if p.Of != "" {
			return p.Of
		}
	}
	return ""
}

// playerOf is the player of a token: of a change, that of the hold with a plus.
func playerOf(token string) string {
	if token[0] == '0' {
		return token[10:] + "+"
	}
	return token
}

func modeText(m protocol.Mode) string {
	switch {
	case m.Name == "":
		return "exclusive"
	case m.Capacity > 0:
		return fmt.Sprintf("%s(%d)", m.Name, m.Capacity)
	}
	return m.Name
}

func (m *expected) String() string {
	var b strings.Builder
	for _, player := range m.holders() {
		fmt.Fprintf(&b, " %s:%s", player, m.mode(player))
	}
	b.WriteString(" |")
	for _, player := range m.waiters() {
		b.WriteString(" " + player)
	}
	return b.String()
}
