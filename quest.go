package redislock

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// standardKeep is KEEP of lua/shared.lua: how long a key outlives its last grant on the idle path.
	standardKeep = 4600 * time.Second
)

// quest is one acquire on its way, or one of its two relatives: a hold that is to change its mode when the others allow
// it, and a hold that is taken over from another process.
type quest struct {
	client *Client
	name   string
	key    string
	settings
	changes *Lock    // the handle whose hold changes its mode; nil for any other quest
	resumes *handoff // what is taken over; nil for any other quest

	parent context.Context // the caller's
	asked  time.Time
	holder *holder // who had it when last heard
	ticket string  // of a place that was lost: it is sought again under a new token
	late   int     // grants that came too late to be relied on

	// Of the present token.
	token  string
	back   string // of the change that undoes it
	nonce  string
	bury   bool  // an attempt had no answer: a copy of it may be executed late
	joined bool  // it has a place
	seen   int64 // the greatest fence of the name that the Client had seen before it asked
	alone  bool  // there is no subscription: the checks alone will tell
	wait   *wait
}

func (q *quest) newToken() {
	q.dropWait()
	q.token, q.nonce = q.client.random.token(), q.client.random.nonce()
	if q.changes != nil {
		q.token, q.back = q.changes.hold.changeToken(), q.changes.hold.changeToken()
	}
	q.bury, q.joined = false, false
	q.seen = q.client.floors.of(q.name)
}

func (q *quest) dropWait() {
	if q.wait != nil {
		q.client.removeWait(q.wait)
		q.wait = nil
	}
}

// obtain asks, and waits if that is wanted, until there is a lock or a reason why not.
func (q *quest) obtain() (*Lock, error) {
	c, ctx := q.client, q.parent
	waits := !q.waitSet || q.settings.wait > 0
	if q.waitSet && waits {
		bounded, cancel := context.WithTimeout(ctx, q.settings.wait)
		defer cancel()
		ctx = bounded
	}
	if err := c.prepare(ctx); err != nil {
		return nil, q.fail(ctx, err)
	}
	q.newToken()
	defer q.dropWait()
	for {
		r, sent, epoch, err := q.ask(ctx, waits)
		if err != nil {
			return nil, q.fail(ctx, err)
		}
		switch r.status {
		case "granted":
			if l, err := q.take(ctx, waits, grant{fence: r.fence, sent: sent, valid: c.after(sent, r.now, r.at+r.lease), lease: r.lease.sub(0)}); l != nil || err != nil {
				return l, err
			}
		case "held":
			q.holder = &r.holder
			if !waits {
				return nil, q.fail(ctx, nil)
			}
			if q.alone, err = c.listen(ctx, q.name); err != nil { // subscribe, see it confirmed, then join
				return nil, q.fail(ctx, err)
			}
		case "waiting":
			if !q.joined && q.ticket == "" {
				c.observe(Event{Kind: EventQueued, Name: q.name, Wait: elapsed(q.asked)})
			}
			q.joined = true
			q.wait.joined(r, sent, epoch)
			o := q.wait.await(ctx)
			q.holder = q.wait.line.last()
			q.holder.waiting = max(q.holder.waiting-1, 0) // but for this one
			switch {
			case o.err != nil:
				return nil, q.fail(ctx, o.err)
			case o.gone:
				q.ticket = r.ticket
				if q.bury {
					q.undo()
				}
				q.newToken()
			default:
				q.ticket = r.ticket
				if l, err := q.take(ctx, waits, o.grant); l != nil || err != nil {
					return l, err
				}
			}
		case "over": // the hold was broken before its answer came
			q.newToken()
		case "clash":
			return nil, q.fail(ctx, clash(q.mode, r.note))
		case "conflict":
			return nil, q.fail(ctx, ErrConflict)
		case "gone":
			return nil, q.fail(ctx, ErrNotHeld)
		case "more": // the queue is being cleaned, some places at a time: ask again
		default:
			return nil, q.fail(ctx, fmt.Errorf("unexpected answer %q", r.status))
		}
	}
}

// ask sends the acquire once more, to join if the Client is subscribed.
func (q *quest) ask(ctx context.Context, waits bool) (r reply, sent time.Time, epoch uint64, err error) {
	c := q.client
	mode := noWait
	if waits {
		m, e := c.hears(q.name).state()
		if m == "" && q.alone {
			m = uncountable
		}
		if m != "" {
			mode, epoch = m, e
			if q.wait == nil { // before it is sent: the message may be faster than the reply
				q.wait = c.addWait(q.name, q.token, q.steal)
			}
		}
	}
	script, args := q.request(mode)
	undo := q.undoing(true)
	late := func(a answer) { // I8: nobody waits for this answer any more
		if a.err == nil {
			undo()
		}
	}
	a := c.ask(ctx, late, script, q.key, args...)
	q.bury = q.bury || a.unanswered
	if a.err != nil {
		return r, a.sent, epoch, a.err
	}
	if r, err = parseReply(a.value); err != nil {
		q.bury = true // whatever it was, let it not become a hold
	}
	if q.resumes != nil && r.status == "granted" {
		q.mode, q.weight = parseMode(r.note)
	}
	if r.status == "" { // the idle path: granted at this very time
		r.status, r.lease = "granted", micros(q.lease.Microseconds())
	}
	return r, a.sent, epoch, err
}

// request is the script that asks, and its arguments.
func (q *quest) request(wait string) (*script, []any) {
	c := q.client
	length, standard := c.length(q.lease)
	script := scriptAcquire
	if !standard {
		script = scriptAcquireOwn
	}
	ask := func(mode string) string {
		return fmt.Sprintf("%s%s%s%s\n%s\n%s", length, q.nonce, wait, c.sub.channel, mode, q.owner().info())
	}
	switch {
	case q.changes != nil:
		hold := q.changes.hold.lease.token
		return scriptConvert, []any{hold, ask(q.mode.line(q.weight, hold)), q.token}
	case q.resumes != nil:
		return scriptResume, []any{q.token, ask(""), q.resumes.token, q.resumes.fence}
	}
	args := []any{q.token, ask(q.mode.line(q.weight, ""))}
	if q.stealSet || q.ticket != "" {
		args = append(args, stealArg(q.steal), q.ticket)
	}
	return script, args
}

// length is a lease as the scripts read it, lease8 keep8: and how long the key outlives it. The second result is whether
// that is KEEP of lua/shared.lua, which the idle path sets.
func (c *Client) length(lease time.Duration) (text string, standard bool) {
	keep := lease + c.retention + 100*time.Second
	standard = c.retention == DefaultRetention && keep <= standardKeep
	if standard {
		keep = standardKeep
	}
	return fmt.Sprintf("%8d%8d", lease.Milliseconds(), (keep+time.Second-1)/time.Second), standard
}

// undoing is what gives up whatever the present token has or may yet get.
func (q *quest) undoing(bury bool) func() <-chan struct{} {
	c, key, token := q.client, q.key, q.token
	if q.changes != nil {
		h, back := q.changes.hold, q.back
		return func() <-chan struct{} { return h.convert(h.readArgs(back)) }
	}
	return func() <-chan struct{} { return c.giveUp(key, token, bury) }
}

func (q *quest) undo() <-chan struct{} { return q.undoing(q.bury)() }

func (q *quest) owner() Owner {
	o := q.client.owner
	o.Metadata = q.metadata
	return o
}

// take makes a Lock of a grant, once it is confirmed. A grant that came too late to be relied on is given back, and sought
// anew if the caller waits: then both results are nil.
func (q *quest) take(ctx context.Context, waits bool, g grant) (*Lock, error) {
	c := q.client
	q.dropWait()
	late := errLate
	if q.changes != nil || g.valid.left() > 0 {
		var err error
		switch g, err = q.confirm(g); {
		case errors.Is(err, errGone) && q.changes == nil && q.resumes == nil:
			late, g.valid = errGone, bound{}
		case errors.Is(err, errGone): // there is nothing to be sought anew
			q.giveBack()
			return nil, fmt.Errorf("%w: %w", ErrNotHeld, err)
		case err != nil: // I8
			q.giveBack()
			return nil, err
		}
	}
	if q.changes != nil { // its lease goes on as it was
		q.changes.hold.changed(q.mode, g.fence)
		return q.changes, nil
	}
	if g.valid.left() <= 0 {
		q.late++
		pause := time.NewTimer(min(backoff(q.late), time.Second))
		defer pause.Stop()
		q.giveBack()
		if !waits {
			return nil, late
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return nil, q.fail(ctx, late)
		}
		q.newToken()
		return nil, nil
	}
	h, l := c.newHold(q.parent, q.name, q.settings)
	e := &h.lease
	e.task.run = e.run
	e.client, e.name, e.key, e.token, e.nonce, e.fence = c, q.name, q.key, q.token, q.nonce, g.fence
	e.length, e.bury, e.once, e.lost = q.lease, q.bury, q.noRenewal, h.lose
	e.valid, e.granted = g.valid, g.sent
	if q.maxHold > 0 {
		e.total = bound{g.sent, q.maxHold}
	}
	if !c.adopt(h) {
		c.giveUp(q.key, q.token, q.bury)
		return nil, ErrClosed
	}
	e.start(g.lease < q.lease)
	return l, nil
}

// fail ends a quest without the lock: nothing of it is left behind (I8), and the error says which of three it was,
// contended, given up by the caller, or unreachable. ctx is the caller's with the bound of WithWait.
func (q *quest) fail(ctx context.Context, cause error) error {
	q.dropWait()
	if q.joined || q.bury {
		q.giveBack()
	}
	switch ended := q.parent.Err(); {
	case errors.Is(cause, ErrClosed), errors.Is(cause, ErrPermission), errors.Is(cause, ErrMode), errors.Is(cause, ErrConflict), errors.Is(cause, ErrNotHeld):
		return cause
	case cause == nil:
		return q.holder.error(nil)
	case ctx.Err() == nil:
		return cause
	case q.holder != nil:
		return q.holder.error(ended)
	case ended != nil:
		return ended
	default:
		return unanswered(q.settings.wait)
	}
}

// giveBack gives up what the present token has, and waits until that is done, or goes on in the background because it
// takes longer than a caller should wait.
func (q *quest) giveBack() {
	patience := time.NewTimer(giveUpPatience)
	defer patience.Stop()
	select {
	case <-q.undo():
	case <-patience.C:
	}
}

// clash is the error of a mode that cannot be used on a lock while others use it as they do.
func clash(m Mode, rules string) error {
	if rules == "" {
		return fmt.Errorf("%w: too many different modes are in use on this lock", ErrMode)
	}
	return fmt.Errorf("%w: %q has the rules %q here, and is in use on this lock with %q", ErrMode, m.Name(), m.rules, rules)
}

var errLate = errors.New("granted, but the answer took longer than the lease lasts")

// unanswered is the error of a wait that ended before Redis said anything.
func unanswered(wait time.Duration) error {
	return fmt.Errorf("no answer from Redis within WithWait(%v): %w", wait, context.DeadlineExceeded)
}
