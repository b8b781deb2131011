package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"example.com/redislock"
	"example.com/redislock/internal/glob"
	"example.com/redislock/internal/protocol"
)

// keptKind is what Redis remembers of names beside their locks: what was done once, the values that are shared, and the keys that
// were first.
type keptKind struct {
	command string
	what    string // of one, in messages
	key     func(protocol.Keys, string) string
	head    func(protocol.Keys) string // what the keys of all of them begin with
	reset   func(context.Context, *link, protocol.Keys, string) error
}

var memories = map[string]keptKind{
	"once": {
		"once", "done once", func(k protocol.Keys, name string) string { return k.Record("once:" + name) },
		func(k protocol.Keys) string { return string(k) + protocol.RecordKind + ":{once:" },
		func(ctx context.Context, l *link, _ protocol.Keys, name string) error {
			return l.client.OnceReset(ctx, name)
		},
	},
	"share": {
		"share", "shared value", func(k protocol.Keys, name string) string { return k.Record("share:" + name) },
		func(k protocol.Keys) string { return string(k) + protocol.RecordKind + ":{share:" },
		func(ctx context.Context, l *link, _ protocol.Keys, name string) error {
			return l.client.ShareReset(ctx, name)
		},
	},
	"first": {
		"first", "key that was first", func(k protocol.Keys, name string) string { return k.Dedupe(name) },
		func(k protocol.Keys) string { return string(k) + protocol.DedupeKind + ":{" },
		func(ctx context.Context, l *link, k protocol.Keys, name string) error {
			return l.rdb.Del(ctx, k.Dedupe(name)).Err()
		},
	},
}

// remembered is one of them, for programs. Since is absent of a key that was first, By of all but what was done once, and Bytes of all
// but a shared value.
type remembered struct {
	Name          string     `json:"name"`
	Since         *time.Time `json:"since,omitempty"`
	ForgotSeconds *float64   `json:"forgotten_in_seconds,omitempty"` // absent if it is never forgotten
	By            *ownerJSON `json:"by,omitempty"`
	Bytes         *int       `json:"bytes,omitempty"`
}

const onceHelp = `Lists what was done once (redislock run --once, Client.Once): the name, when it was done, how long Redis still remembers it, and who did
it. With NAME it shows that one alone. With --reset Redis forgets NAME: the next process that is asked to do it does it again.

`

const shareHelp = `Lists the values that are shared (Share): the key, when the value was fetched, how long Redis still keeps it, and its size in bytes. With
KEY it shows that one alone. With --reset Redis forgets the value of KEY: the next caller fetches it.

`

const firstHelp = `Lists the keys of Client.First, and how long Redis still remembers each. With KEY it shows that one alone. With --reset Redis forgets KEY:
the next call with that key is the first again.

`

func newOnce() *cobra.Command {
	return newMemory("once", "NAME", "Show what was done once, or have it forgotten", onceHelp)
}

func newShare() *cobra.Command {
	return newMemory("share", "KEY", "Show the values that are shared, or have one fetched anew", shareHelp)
}

func newFirst() *cobra.Command {
	return newMemory("first", "KEY", "Show which keys were first, or have one forgotten", firstHelp)
}

func newMemory(command, argument, short, help string) *cobra.Command {
	var (
		s     server
		o     output
		reset bool
	)
	m := memories[command]
	cmd := &cobra.Command{
		Use:   command + " [flags] [" + argument + "]",
		Short: short,
		Long: help + exits(map[int]string{0: "it is listed, shown or forgotten", exitUnknown: "nothing is remembered under that name"},
			0, exitUnknown, exitUsage, exitUnavailable, exitDenied),
		Example:               fmt.Sprintf("  redislock %[1]s\n  redislock %[1]s --reset something", command),
		Args:                  cobra.MaximumNArgs(1),
		DisableFlagsInUseLine: true,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&reset, "reset", false, "have Redis forget "+argument)
	o.flags(f)
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if reset && len(args) == 0 {
			return exitWith(exitUsage, "--reset: which? redislock %s --reset %s", command, argument)
		}
		p, l, err := begin(cmd, &s, &o)
		if err != nil {
			return err
		}
		defer l.close()
		keys := protocol.Keys(s.prefix)
		if len(args) == 0 {
			return l.listMemory(cmd, p, &o, &s, m, keys)
		}
		if args[0] == "" || len(args[0]) > redislock.MaxName {
			return exitWith(exitUsage, "a name has 1 to %d bytes", redislock.MaxName)
		}
		var one remembered
		var there bool
		if err := l.within(context.Background(), func(ctx context.Context) (err error) {
			if one, there, err = l.recalled(ctx, m, keys, args[0]); err == nil && there && reset {
				err = m.reset(ctx, l, keys, args[0])
			}
			return err
		}); err != nil {
			return err
		}
		switch {
		case !there:
			return exitWith(exitUnknown, "no %s is remembered as %s, under the prefix %q on Redis at %s", m.what, visible(args[0]), s.prefix, l.addr)
		case o.json():
			return o.write(p, one)
		case reset:
			_, err = fmt.Fprintf(p, "%s is forgotten.\n", visible(args[0]))
			return err
		}
		return p.rows(memoryHeadings, [][]cell{one.row(!p.tables)})
	}
	return cmd
}

var memoryHeadings = []string{"NAME", "SINCE", "FORGOTTEN IN", "BY, OR SIZE"}

// listMemory lists all of a kind. What cannot be read is told apart.
func (l *link) listMemory(cmd *cobra.Command, p *page, o *output, s *server, m keptKind, keys protocol.Keys) error {
	ctx, stop := l.attended(context.Background())
	defer stop()
	names, err := l.scanned(ctx, m.head(keys))
	if err != nil {
		return l.ended(ctx, err)
	}
	slices.Sort(names)
	var rows [][]cell
	var failed []failure
	for _, name := range names {
		one, there, err := l.recalled(ctx, m, keys, name)
		switch {
		case errors.Is(err, redislock.ErrDamaged):
			failed = append(failed, failure{name, l.explain(err)})
		case err != nil:
			return l.ended(ctx, err)
		case !there: // forgotten meanwhile
		case o.json():
			if err := o.write(p, one); err != nil {
				return err
			}
		default:
			rows = append(rows, one.row(!p.tables))
		}
	}
	v := voice{cmd.ErrOrStderr(), o.json()}
	switch {
	case o.json() || len(rows) == 0 && len(failed) > 0:
	case len(rows) == 0 && p.tables:
		v.say("no %s is remembered under the prefix %q on Redis at %s", m.what, s.prefix, l.addr)
	default:
		if err := p.rows(memoryHeadings, rows); err != nil {
			return err
		}
	}
	return v.failures(failed)
}

// scanned are the names of keys that begin with head, of every master.
func (l *link) scanned(ctx context.Context, head string) (names []string, err error) {
	var mu sync.Mutex
	seen := map[string]bool{}
	scan := func(ctx context.Context, master redis.UniversalClient) error {
		for cursor := uint64(0); ; {
			found, next, err := master.Scan(ctx, cursor, glob.Quote(head)+"*", 200).Result()
			if err != nil {
				return err
			}
			mu.Lock()
			for _, key := range found {
				if name, whole := strings.CutSuffix(strings.TrimPrefix(key, head), "}"); whole && !seen[name] {
					seen[name] = true
					names = append(names, protocol.Unescape(name))
				}
			}
			mu.Unlock()
			if cursor = next; cursor == 0 || ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	if cluster, ok := l.rdb.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error { return scan(ctx, master) })
	} else {
		err = scan(ctx, l.rdb)
	}
	return names, err
}

// recalled returns what Redis remembers of a name.
func (l *link) recalled(ctx context.Context, m keptKind, keys protocol.Keys, name string) (one remembered, there bool, err error) {
	key := m.key(keys, name)
	value, err := l.rdb.Get(ctx, key).Result()
	if errors.Is(err, redis.Nil) {
		return one, false, nil
	}
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		err = fmt.Errorf("%w: %s: %w", redislock.ErrDamaged, visible(key), err)
	}
	if err != nil {
		return one, false, err
	}
	left, err := l.rdb.PTTL(ctx, key).Result()
	if err != nil || left == -2 {
		return one, false, err
	}
	one = remembered{Name: name}
	if left >= 0 { // otherwise somebody has seen to it that it is never forgotten
		seconds := left.Seconds()
		one.ForgotSeconds = &seconds
	}
	if m.command == "first" {
		return one, true, nil
	}
	if len(value) > protocol.FenceLength {
		if micros, err := strconv.ParseInt(value[:protocol.FenceLength], 10, 64); err == nil {
			since := time.UnixMicro(micros).UTC()
			one.Since = &since
		}
		value = value[protocol.FenceLength+1:]
	}
	if m.command == "share" {
		size := max(0, len(value)-1) // without what tells a value from an error
		one.Bytes = &size
		return one, true, nil
	}
	if parts := strings.SplitN(value, "\n", 4); len(parts) == 4 {
		number, trace, _ := strings.Cut(parts[2], " ")
		pid, _ := strconv.Atoi(number)
		one.By = &ownerJSON{Client: parts[0], Host: parts[1], PID: pid, Metadata: parts[3], Trace: trace}
	}
	return one, true, nil
}

// row is one of them in a row: for people, or precise.
func (r remembered) row(precise bool) []cell {
	since, left, by := "-", "never", "-"
	switch {
	case r.ForgotSeconds == nil:
	case precise:
		left = strconv.FormatFloat(*r.ForgotSeconds, 'f', 3, 64)
	default:
		left = rounded(time.Duration(*r.ForgotSeconds * float64(time.Second)).Round(time.Second))
	}
	if r.Since != nil {
		since = r.Since.Local().Format("2006-01-02 15:04:05")
	}
	if precise {
		if r.Since != nil {
			since = r.Since.UTC().Format(sortable)
		}
	}
	switch {
	case r.By != nil:
		by = readableOwner(redislock.Owner{Client: r.By.Client, Host: r.By.Host, PID: r.By.PID, Metadata: r.By.Metadata}).String()
	case r.Bytes != nil:
		by = fmt.Sprintf("%d bytes", *r.Bytes)
	}
	return []cell{{visible(r.Name), heading}, {since, plain}, {left, plain}, {by, plain}}
}

// sortable is a time whose texts are in the order of the times.
const sortable = "2006-01-02T15:04:05.000000Z07:00"
