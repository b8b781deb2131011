package trouble

import (
	"slices"
	"time"

	"example.com/redislock"
)

// past is what is remembered of one lock.
type past struct {
	last  redislock.Info
	look  int             // the number of the last look
	waits []time.Duration // the waits that were served
	grows growth
	ends  []End
	found []Trouble // the troubles of the last look
	held  time.Time // when somebody was last seen to hold it
}

// growth is a time in which the queue did not become shorter.
type growth struct {
	since    time.Time
	from, to int
}

func (p *past) see(info redislock.Info) {
	p.served(info)
	p.ended(info)
	switch g := &p.grows; {
	case info.Waiting == 0 || info.Waiting < g.to || g.since.IsZero() || info.Now.Sub(p.last.Now) > blind:
		*g = growth{info.Now, info.Waiting, info.Waiting}
	default:
		g.to = info.Waiting
	}
	if info.Holders > 0 {
		p.held = info.Now
	}
	p.last = brief(info)
	p.found = ofLock(info, p.before())
	if len(p.found) > 0 {
		if p.found[0].Kind == NoLeader {
			p.lastLeader(&p.found[0])
		}
		return
	}
	switch g := p.grows; {
	case kindOf(info.Name) == "elect" && info.Idle():
		t := Trouble{
			Kind: NoLeader, Level: Warning, Lock: info.Name, Since: p.held, Title: "nobody leads, and there is no candidate",
			Means: []Text{"All processes that took part have ended, or do not reach Redis. What the leader does is not done."},
			Steps: []Step{seeLock(info.Name), {Mend, "Start a process that takes part: it leads within seconds", "", ""}},
		}
		p.lastLeader(&t)
		p.found = append(p.found, t)
	case info.Waiting > 0 && queues(info.Name) && g.to-g.from >= growBy && info.Now.Sub(g.since) >= growTime:
		t := Trouble{
			Kind: Grows, Level: Warning, Lock: info.Name, Since: g.since, Waiting: info.Waiting, Title: says("the queue only grows: from %d to %d", g.from, g.to),
			Means: []Text{"More callers come than are served."}, Steps: []Step{watch(info.Name)},
		}
		if len(info.Holds) > 0 {
			h := present(info)
			t.Means = append(t.Means, says("%s holds the lock, since %s. If one holder works for long, see what it does. If the holders change, there are too many callers for one lock.", Who(h.Owner), moment(h.Since)))
			t.Steps = ranked(look(h.Owner, "which holds it"), watch(info.Name), askStep(info))
		}
		p.found = append(p.found, t)
	}
}

// lastLeader adds to a trouble who led last, if the lease of that leader ran out.
func (p *past) lastLeader(t *Trouble) {
	if last := len(p.ends) - 1; last >= 0 && p.ends[last].How == Lapsed {
		who := p.ends[last].Owner
		if t.Since.IsZero() {
			t.Since = p.ends[last].At
		}
		t.Means = append(t.Means, says("The last to lead was %s, until %s: its lease ran out.", Who(who), moment(p.ends[last].At)))
		t.Steps = ranked(append([]Step{look(who, "the last leader")}, t.Steps...)...)
	}
}

// before returns what is known before the next look.
func (p *past) before() before {
	known := before{long: p.long(), held: p.held}
	for _, e := range p.ends {
		known.ended = later(known.ended, e.At)
	}
	return known
}

// served remembers how long the present holders have waited.
func (p *past) served(info redislock.Info) {
	for _, h := range info.Holds {
		for _, w := range p.last.Places {
			if w.ID == h.ID && !w.Since.IsZero() {
				if p.waits = append(p.waits, h.Since.Sub(w.Since)); len(p.waits) > maxWaits {
					p.waits = slices.Delete(p.waits, 0, 1)
				}
			}
		}
	}
}

// long is how long a wait must be to count as long for this lock.
func (p *past) long() time.Duration {
	if len(p.waits) < enoughWaits {
		return LongWait
	}
	return max(leastLong, longFactor*slices.Max(p.waits))
}

// ended remembers holds that are gone and did not end as they should. It leaves out a hold that may be among those that are not
// shown, and one that may have been renewed and released between two looks.
func (p *past) ended(info redislock.Info) {
	for _, h := range p.last.Holds {
		if info.Holders > len(info.Holds) || slices.ContainsFunc(info.Holds, func(is redislock.Hold) bool { return is.ID == h.ID }) {
			continue
		}
		was, _ := late(h, p.last.Now)
		switch {
		case h.Revoked:
			p.end(End{How: Robbed, Owner: h.Owner, At: info.Now, Fence: h.Fence})
		case was && !h.Deadline.After(info.Now):
			p.end(End{How: Lapsed, Owner: h.Owner, At: h.Deadline, Fence: h.Fence})
		}
	}
}

func (p *past) end(e End) {
	for _, known := range p.ends {
		if known.Fence == e.Fence { // it is known already
			return
		}
	}
	if p.ends = append(p.ends, e); len(p.ends) > maxEnds {
		p.ends = slices.Delete(p.ends, 0, 1)
	}
}

// brief is the part of a state that is compared with the next look.
func brief(info redislock.Info) redislock.Info {
	info.Holds, info.Places = slices.Clone(info.Holds), slices.Clone(info.Places)
	return info
}
