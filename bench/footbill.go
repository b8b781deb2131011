package main

import (
	"context"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// bill is what a server and this process have used since their start.
type bill struct {
	at       time.Time
	server   float64 // µs of the server's main thread, system calls included
	client   float64 // µs of this process
	in, out  float64 // bytes to the server, and from it
	scripts  float64 // EVALSHA and EVAL executed
	script   float64 // the time of these scripts in µs, by commandstats
	memory   float64 // bytes that the server has allocated
	replicas float64 // bytes of the stream to replicas
	clients  float64 // connections to the server
}

// spent asks a server for its part. The request itself costs about 4 KiB, so what is measured between two of them
// must be much larger.
func (b footprint) spent(rdb redis.UniversalClient) bill {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
	defer cancel()
	text, err := rdb.Info(ctx, "cpu", "stats", "memory", "replication", "clients", "commandstats").Result()
	b.must(err)
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	number := func(name string) float64 {
		n, err := strconv.ParseFloat(fields[name], 64)
		if err != nil {
			b.Fatalf("INFO has %q for %s", fields[name], name)
		}
		return n
	}
	s := bill{
		at: time.Now(), client: b.cpuTime(),
		server:   1e6 * (number("used_cpu_user_main_thread") + number("used_cpu_sys_main_thread")),
		in:       number("total_net_input_bytes"),
		out:      number("total_net_output_bytes"),
		memory:   number("used_memory"),
		replicas: number("master_repl_offset"),
		clients:  number("connected_clients"),
	}
	for _, name := range []string{"cmdstat_evalsha", "cmdstat_eval"} {
		// calls=…,usec=…,usec_per_call=…
		for pair := range strings.SplitSeq(fields[name], ",") {
			key, value, _ := strings.Cut(pair, "=")
			n, _ := strconv.ParseFloat(value, 64)
			switch key {
			case "calls":
				s.scripts += n
			case "usec":
				s.script += n
			}
		}
	}
	return s
}

// cpuTime is the processor time of this process, in µs.
func (footprint) cpuTime() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e3
}
