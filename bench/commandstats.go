package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// commandStats is what a server executed, by command in lower case. Commands inside scripts are counted in addition
// to the scripts, so a sum over all counts them twice: see [monitored].
type commandStats map[string]commandStat

// commandStat is one command's share.
type commandStat struct {
	calls float64
	usec  float64 // the server's time in µs; that of a script includes its commands
}

// of returns the sum over some commands.
func (s commandStats) of(commands []string) (sum commandStat) {
	for _, c := range commands {
		sum.calls += s[c].calls
		sum.usec += s[c].usec
	}
	return sum
}

// readCommandStats asks a server for all since its start or the last CONFIG RESETSTAT.
func readCommandStats(ctx context.Context, rdb redis.UniversalClient) (commandStats, error) {
	text, err := rdb.Info(ctx, "commandstats").Result()
	if err != nil {
		return nil, err
	}
	return parseCommandStats(text)
}

// parseCommandStats reads lines such as cmdstat_evalsha:calls=3,usec=120,usec_per_call=40.00,…
func parseCommandStats(text string) (commandStats, error) {
	stats := commandStats{}
	for line := range strings.Lines(text) {
		line, found := strings.CutPrefix(strings.TrimSpace(line), "cmdstat_")
		name, rest, _ := strings.Cut(line, ":")
		if !found {
			continue
		}
		var one commandStat
		for field := range strings.SplitSeq(rest, ",") {
			key, value, _ := strings.Cut(field, "=")
			var to *float64
			switch key {
			case "calls":
				to = &one.calls
			case "usec":
				to = &one.usec
			default:
				continue
			}
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return nil, fmt.Errorf("commandstats of %s: %w", name, err)
			}
			*to = n
		}
		stats[name] = one
	}
	return stats, nil
}
