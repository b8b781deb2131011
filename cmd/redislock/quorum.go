package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"example.com/redislock"
	"example.com/redislock/quorum"
	"example.com/redislock/ui/doctor"
)

// several are the masters of --quorum.
type several struct {
	urls    []string
	longest time.Duration
}

func (s *several) flags(f *pflag.FlagSet, what string) {
	f.StringSliceVar(&s.urls, "quorum", nil, what+" on a majority of these independent masters, as `URL,URL,URL`, instead of --redis")
}

// given reports whether a quorum is asked for, and refuses flags that mean nothing with it.
func (s *several) given(f *pflag.FlagSet, others ...string) (bool, error) {
	if len(s.urls) == 0 {
		return false, nil
	}
	for _, other := range append([]string{"redis", "cluster", "sentinel-master"}, others...) {
		if f.Changed(other) {
			return true, exitWith(exitUsage, "--quorum and --%s contradict each other", other)
		}
	}
	return true, nil
}

// connect makes a link to each master, and a Locker over them. The first link stands for all where only one is asked.
func (s *several) connect(of server, opts ...redislock.ClientOption) (links []*link, q *quorum.Locker, err error) {
	defer func() {
		if err != nil {
			closeAll(links)
		}
	}()
	var clients []*redislock.Client
	for _, url := range s.urls {
		of.url = url
		l, err := of.connect(opts...)
		if err != nil {
			return links, nil, err
		}
		links, clients = append(links, l), append(clients, l.client)
	}
	longest := quorum.DefaultLongestLease
	if s.longest > 0 {
		longest = s.longest
	}
	if q, err = quorum.New(clients, quorum.WithLongestLease(longest)); err != nil {
		return links, nil, exitWith(exitUsage, "--quorum: %v", withoutOperation(err))
	}
	return links, q, nil
}

// begin is begin of a command over several masters. The caller closes the links.
func (m *several) begin(cmd *cobra.Command, s *server, o *output) (p *page, links []*link, q *quorum.Locker, err error) {
	if p, err = pageOf(cmd, o); err == nil {
		links, q, err = m.connect(*s)
	}
	return p, links, q, err
}

// closeAll closes links side by side.
func closeAll(links []*link) {
	done := make(chan struct{})
	for _, l := range links {
		go func() {
			l.close()
			done <- struct{}{}
		}()
	}
	for range links {
		<-done
	}
}

// overQuorum takes the lock on a majority.
func (r *runner) overQuorum(q *quorum.Locker) func(*link, *attempt) error {
	return func(_ *link, a *attempt) error {
		lock, err := q.Acquire(a.ctx, r.name)
		if err != nil {
			return err
		}
		err = a.body(lock.Context())
		loss := lock.Release(context.Background())
		switch {
		case loss == nil:
		case errors.Is(loss, redislock.ErrNotHeld):
			return loss
		default:
			r.voice.tell(message{Name: r.name}, "%q could not be given back by a majority: %v; it lapses by itself", r.name, withoutOperation(loss))
		}
		return err
	}
}

// showQuorum is show over several masters.
func showQuorum(w *page, o *output, q *quorum.Locker, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), reachTime)
	defer cancel()
	info, err := q.Inspect(ctx, name)
	if err != nil {
		return exitWith(exitUnavailable, "%v", err)
	}
	if o.json() {
		return o.write(w, jsonQuorum(info))
	}
	var b strings.Builder
	if info.Held {
		fmt.Fprintf(&b, "%s: held by a majority, by %s since %s, fence %d\n", visible(name), readableOwner(info.Holder), moment3(info.Since), info.Fence)
	} else {
		fmt.Fprintf(&b, "%s: held by no majority\n", visible(name))
	}
	for _, n := range info.Nodes {
		if n.Err != nil {
			fmt.Fprintf(&b, "\n%s: %s\n", n.Addr, visible(withoutOperation(n.Err).Error()))
			continue
		}
		fmt.Fprintf(&b, "\nOn %s:\n%s", n.Addr, describe(forPeople(n.Info), 0, ""))
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// quorumJSON is the output of show for a lock on several masters.
type quorumJSON struct {
	Name  string           `json:"name"`
	Held  bool             `json:"held"`
	Fence int64            `json:"fence,omitempty"`
	Nodes []quorumNodeJSON `json:"nodes"`
}

type quorumNodeJSON struct {
	Address string `json:"address"`
	Error   string `json:"error,omitempty"`
	Lock    any    `json:"lock,omitempty"`
}

func jsonQuorum(info quorum.Info) quorumJSON {
	all := quorumJSON{Name: info.Name, Held: info.Held, Fence: info.Fence, Nodes: []quorumNodeJSON{}}
	for _, n := range info.Nodes {
		one := quorumNodeJSON{Address: n.Addr}
		if n.Err != nil {
			one.Error = n.Err.Error()
		} else {
			one.Lock = jsonLock(n.Info)
		}
		all.Nodes = append(all.Nodes, one)
	}
	return all
}

// showOverQuorum is the command show with --quorum.
func showOverQuorum(cmd *cobra.Command, s *server, o *output, m *several, name string) error {
	p, links, q, err := m.begin(cmd, s, o)
	if err != nil {
		return err
	}
	defer closeAll(links)
	return showQuorum(p, o, q, name)
}

// lsOverQuorum is the command ls with --quorum. A master that cannot be asked is told of; without a majority nothing is listed.
func lsOverQuorum(cmd *cobra.Command, s *server, o *output, m *several, pattern string, wanted func(redislock.Info) bool, order func(a, b redislock.Info) int) error {
	p, links, _, err := m.begin(cmd, s, o)
	if err != nil {
		return err
	}
	defer closeAll(links)
	v := voice{cmd.ErrOrStderr(), o.json()}
	answers := make([]listOf, len(links))
	var asked sync.WaitGroup
	for i, l := range links {
		asked.Go(func() {
			answers[i].infos, answers[i].failed, answers[i].err = l.list(context.Background(), pattern, wanted)
		})
	}
	asked.Wait()
	locks, failed, left := map[string]*quorum.Info{}, []failure(nil), len(links)
	for i, a := range answers {
		if a.err != nil {
			v.say("%s is left out: %v", links[i].addr, a.err)
			left--
		}
		failed = append(failed, a.failed...)
		for _, info := range a.infos {
			if locks[info.Name] == nil {
				locks[info.Name] = &quorum.Info{Name: info.Name}
			}
			all := locks[info.Name]
			all.Nodes = append(all.Nodes, quorum.NodeInfo{Addr: links[i].addr, Info: info})
		}
	}
	if left <= len(links)/2 {
		return exitWith(exitUnavailable, "no majority of %d masters could be asked", len(links))
	}
	shown := make([]redislock.Info, 0, len(locks))
	for _, info := range locks {
		shown = append(shown, ofMajority(info, len(links)/2+1))
	}
	slices.SortFunc(shown, order)
	switch {
	case o.json():
		for _, info := range shown {
			if err := o.write(p, jsonQuorum(*locks[info.Name])); err != nil {
				return err
			}
		}
	case len(shown) == 0 && p.tables && len(failed) == 0:
		v.say("%s under the prefix %q on these masters", noLocks(pattern), s.prefix)
	case len(shown) > 0:
		if err := p.locks(shown, 0); err != nil {
			return err
		}
	}
	return v.failures(failed)
}

// listOf is the answer of one master.
type listOf struct {
	infos  []redislock.Info
	failed []failure
	err    error
}

// ofMajority is a lock as those masters have it of which a majority has the same fence, and notes that there are such; without a holder
// where there are none.
func ofMajority(of *quorum.Info, majority int) (shown redislock.Info) {
	with := map[int64]int{}
	for _, n := range of.Nodes {
		shown.Waiting = max(shown.Waiting, n.Info.Waiting)
		for _, h := range n.Info.Holds {
			with[h.Fence]++
		}
	}
	shown.Name, shown.Now = of.Name, of.Nodes[0].Info.Now
	for _, n := range of.Nodes {
		for _, h := range n.Info.Holds {
			if with[h.Fence] >= majority && !of.Held {
				of.Held, of.Fence, of.Holder, of.Since = true, h.Fence, h.Owner, h.Since
				waiting := shown.Waiting
				shown = n.Info
				shown.Waiting = waiting
			}
		}
	}
	return shown
}

// doctorOfQuorum is the command doctor with --quorum.
func doctorOfQuorum(cmd *cobra.Command, s *server, o *output, m *several, strict bool, options []doctor.Option) error {
	p, links, _, err := m.begin(cmd, s, o)
	if err != nil {
		return err
	}
	defer closeAll(links)
	var masters []redis.UniversalClient
	for _, l := range links {
		masters = append(masters, l.rdb)
	}
	return tellReport(p, o, doctor.ExamineQuorum(context.Background(), masters, s.prefix, options...), strict)
}
