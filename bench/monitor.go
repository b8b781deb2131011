package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// request is a command as a server executed it.
type request struct {
	args   []string
	script bool // called by a script, not sent by a client
}

// monitored runs f and returns what the server executed meanwhile, by MONITOR. So the commands of a library are taken
// from real traffic, also after the library has changed.
func monitored(ctx context.Context, addr string, f func() error) ([]request, error) {
	const end = "nothing comes after this"
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(conn)
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		return nil, err
	}
	if answer, err := lines.ReadString('\n'); err != nil || answer != "+OK\r\n" {
		return nil, fmt.Errorf("MONITOR answers %q, %v", answer, err)
	}
	err = f()
	if err != nil {
		return nil, err
	}
	rdb := redis.NewClient(&redis.Options{Addr: addr, PoolSize: 1})
	defer rdb.Close()
	if err := rdb.Echo(ctx, end).Err(); err != nil {
		return nil, err
	}
	var all []request
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return nil, err
		}
		r, err := parseMonitor(strings.TrimSpace(line))
		if err != nil {
			return nil, err
		}
		if len(r.args) == 2 && r.args[1] == end {
			return all, nil
		}
		all = append(all, r)
	}
}

// parseMonitor reads a line such as +1339518083.107412 [0 127.0.0.1:60866] "set" "k" "a\x00b"
func parseMonitor(line string) (r request, err error) {
	from, rest, found := strings.Cut(line, "] ")
	if !found {
		return r, fmt.Errorf("MONITOR says %q", line)
	}
	r.script = strings.HasSuffix(from, " lua")
	for rest != "" {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return r, fmt.Errorf("MONITOR says %q: %w", line, err)
		}
		arg, err := strconv.Unquote(quoted)
		if err != nil {
			return r, fmt.Errorf("MONITOR says %q: %w", line, err)
		}
		r.args = append(r.args, arg)
		rest = strings.TrimPrefix(rest[len(quoted):], " ")
	}
	return r, nil
}

// about returns the requests that clients sent with this text in an argument.
func about(all []request, text string) (some []request) {
	for _, r := range all {
		if !r.script && slices.ContainsFunc(r.args, func(arg string) bool { return strings.Contains(arg, text) }) {
			some = append(some, r)
		}
	}
	return some
}

// commandsAbout returns the names of the commands, in lower case, that clients sent with this text in an argument.
func commandsAbout(all []request, text string) (names []string) {
	for _, r := range about(all, text) {
		if name := strings.ToLower(r.args[0]); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
