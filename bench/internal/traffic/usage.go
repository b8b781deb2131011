package traffic

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Usage is what INFO commandstats says of each command, in lower case, those inside scripts too; what it says of
// subcommands is added up.
type Usage map[string]Cost

// Cost is how often a command was executed, and how many µs that took the server.
type Cost struct{ Calls, Micros int64 }

// Read asks a server for what it was used for since it counts.
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

// Add adds what another server was used for.
func (u Usage) Add(other Usage) {
	for name, c := range other {
		u[name] = Cost{u[name].Calls + c.Calls, u[name].Micros + c.Micros}
	}
}

// Since is what was used after before.
func (u Usage) Since(before Usage) Usage {
	d := Usage{}
	for name, c := range u {
		d[name] = Cost{c.Calls - before[name].Calls, c.Micros - before[name].Micros}
	}
	return d
}

// Micros is the server's time for these requests, in µs. The time of a script has that of the commands in it, which
// have theirs in the Usage once more: of a command that clients send and scripts call, the requests are given their
// share by number.
func (u Usage) Micros(requests Sent) (micros float64) {
	for name, c := range u {
		if c.Calls > 0 {
			micros += float64(c.Micros) * min(1, float64(requests[name])/float64(c.Calls))
		}
	}
	return micros
}
