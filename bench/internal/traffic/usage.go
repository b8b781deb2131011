package traffic

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Usage has the figures of INFO commandstats for each command, in lower case, with those inside scripts. Subcommands
// are added up.
type Usage map[string]Cost

// Cost is how often a command was executed, and how many µs that took the server.
type Cost struct{ Calls, Micros int64 }

// Read asks a server for its usage since its counts began.
func Read(ctx context.Context, rdb redis.UniversalClient) (Usage, error) {
	text, err := rdb.Info(ctx, "commandstats").Result()
	if err != nil {
		return nil, err
	}
	return parse(text)
}

func parse(text string) (Usage, error) {
	u := Usage{}
	for line := range strings.Lines(text) {
		// cmdstat_client|setinfo:calls=3,usec=120,…
		line, found := strings.CutPrefix(strings.TrimSpace(line), "cmdstat_")
		if !found {
			continue
		}
		name, rest, _ := strings.Cut(line, ":")
		name, _, _ = strings.Cut(name, "|")
		var c Cost
		if _, err := fmt.Sscanf(rest, "calls=%d,usec=%d,", &c.Calls, &c.Micros); err != nil {
			return nil, fmt.Errorf("commandstats say %q: %w", line, err)
		}
		u[name] = Cost{u[name].Calls + c.Calls, u[name].Micros + c.Micros}
	}
	return u, nil
}

// Add adds the usage of another server.
func (u Usage) Add(other Usage) {
	for name, c := range other {
		u[name] = Cost{u[name].Calls + c.Calls, u[name].Micros + c.Micros}
	}
}

// Since returns the usage after the given state.
func (u Usage) Since(before Usage) Usage {
	d := Usage{}
	for name, c := range u {
		d[name] = Cost{c.Calls - before[name].Calls, c.Micros - before[name].Micros}
	}
	return d
}

// Micros is the server's time for these requests, in µs. The time of a script includes that of its commands, which
// are in the Usage once more. If both clients and scripts use a command, its time is divided by their numbers.
func (u Usage) Micros(requests Sent) (micros float64) {
	for name, c := range u {
		if c.Calls > 0 {
			micros += float64(c.Micros) * min(1, float64(requests[name])/float64(c.Calls))
		}
	}
	return micros
}
