package doctor

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// facts are what one server told about itself. Checks only read them, so they can be tested without a server in that
// state.
type facts struct {
	rdb     redis.UniversalClient
	options *redis.Options // nil if they are not known
	addr    string
	node    string // addr if there are several servers; otherwise empty
	settings

	silence    error // the error if the server does not answer; then nothing else was asked
	roundTrips []time.Duration
	info       map[string]string
	infoErr    error
	config     map[string]string
	configErr  error
	hello      map[string]string // the reply to HELLO, which every user may send: server, version, proto, mode, role
	laddr      string            // the server's address of this connection; "" if it does not say
	user       string            // "" if the user may not ask
	time       sample
	timeErr    error
	slow       []redis.SlowLog
	slowErr    error
	cluster    map[string]string // CLUSTER INFO; nil unless it is a node of a cluster
	clusterErr error
}

// wanted are the settings that checks read. None of them is a secret.
var wanted = []string{
	"bind", "protected-mode", "save", "appendfsync", "stop-writes-on-bgsave-error", "min-replicas-to-write", "min-replicas-max-lag",
	"timeout", "tcp-keepalive", "client-output-buffer-limit", "lua-time-limit",
	"cluster-require-full-coverage", "cluster-node-timeout", "cluster-allow-pubsubshard-when-down",
	"cluster-slot-migration-write-pause-timeout", "cluster-manual-failover-timeout",
}

var errSilent = errors.New("no answer in time")

// within runs a request, and no longer waits for it after some time: a read of go-redis does not end with its
// context.
func within[T any](ctx context.Context, limit time.Duration, ask func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answers := make(chan answer, 1)
	go func() {
		value, err := ask(ctx)
		answers <- answer{value, err}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, fmt.Errorf("%w (%v)", errSilent, limit)
	}
}

// fromServer reports whether an error is an answer of the server.
func fromServer(err error) bool {
	var answer redis.Error
	return errors.As(err, &answer)
}

// gather asks the server everything. It stops at the first request that is not answered.
func (f *facts) gather(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, wholeTime)
	defer cancel()
	for i := range pings + 1 {
		sent := time.Now()
		_, err := within(ctx, patience, func(ctx context.Context) (string, error) { return f.rdb.Ping(ctx).Result() })
		if err != nil && (!fromServer(err) || !alive(err)) {
			f.silence = err
			return
		}
		if err != nil {
			break // the server lives; the checks find out what is wrong
		}
		if i > 0 { // the first one includes the connect
			f.roundTrips = append(f.roundTrips, time.Since(sent))
		}
	}
	for _, step := range []func(context.Context) error{f.readHello, f.readInfo, f.readConfig, f.readClient, f.readTime, f.readSlow, f.readCluster} {
		if err := step(ctx); err != nil && !fromServer(err) && !errors.Is(err, redis.Nil) && silent(err) {
			f.silence = err
			return
		}
	}
}

// alive reports whether a refusal comes from a server that may answer further requests.
func alive(err error) bool {
	return !full(err) && !redis.HasErrorPrefix(err, "NOAUTH") && !redis.HasErrorPrefix(err, "WRONGPASS") && !redis.HasErrorPrefix(err, "DENIED")
}

// full reports whether the server accepts no further connection.
func full(err error) bool { return strings.Contains(err.Error(), "max number of clients") }

// silent reports whether an error means that the server did not answer, and not that its answer cannot be read.
func silent(err error) bool {
	return errors.Is(err, errSilent) || errors.Is(err, context.DeadlineExceeded)
}

func (f *facts) readHello(ctx context.Context) error {
	reply, err := within(ctx, patience, func(ctx context.Context) (any, error) { return f.rdb.Do(ctx, "hello").Result() })
	if err != nil {
		return err
	}
	f.hello = map[string]string{}
	switch fields := reply.(type) {
	case map[any]any:
		for k, v := range fields {
			f.hello[fmt.Sprint(k)] = fmt.Sprint(v)
		}
	case []any:
		for i := 0; i+1 < len(fields); i += 2 {
			f.hello[fmt.Sprint(fields[i])] = fmt.Sprint(fields[i+1])
		}
	}
	return nil
}

func (f *facts) readInfo(ctx context.Context) error {
	var text string
	if text, f.infoErr = within(ctx, patience, func(ctx context.Context) (string, error) { return f.rdb.Info(ctx).Result() }); f.infoErr == nil {
		f.info = fields(text)
		f.lookCloser(ctx)
	}
	return f.infoErr
}

func (f *facts) readConfig(ctx context.Context) error {
	f.config, f.configErr = within(ctx, patience, func(ctx context.Context) (map[string]string, error) {
		pipe := f.rdb.Pipeline()
		replies := make([]*redis.MapStringStringCmd, len(wanted))
		for i, name := range wanted {
			replies[i] = pipe.ConfigGet(ctx, name)
		}
		if _, err := pipe.Exec(ctx); err != nil { // the error of the first that failed, or of the connection, which the replies may lack
			return nil, err
		}
		config := map[string]string{}
		for _, reply := range replies {
			for name, value := range reply.Val() {
				config[name] = value
			}
		}
		return config, nil
	})
	return f.configErr
}

func (f *facts) readClient(ctx context.Context) error {
	info, err := within(ctx, patience, func(ctx context.Context) (string, error) { return f.rdb.Do(ctx, "client", "info").Text() })
	if err == nil {
		for _, field := range strings.Fields(info) {
			if value, is := strings.CutPrefix(field, "laddr="); is {
				f.laddr = value
			}
			if value, is := strings.CutPrefix(field, "user="); is {
				f.user = value
			}
		}
	}
	if err != nil && silent(err) || f.user != "" {
		return err
	}
	f.user, err = within(ctx, patience, func(ctx context.Context) (string, error) { return f.rdb.ACLWhoAmI(ctx).Result() })
	return err
}

func (f *facts) readTime(ctx context.Context) error {
	for range 5 {
		sent := time.Now()
		now, err := within(ctx, patience, func(ctx context.Context) (time.Time, error) { return f.rdb.Time(ctx).Result() })
		if err != nil {
			f.timeErr = err
			return err
		}
		if took := time.Since(sent); f.time.half == 0 || took/2 < f.time.half {
			// Round drops the monotonic reading: it is the wall clock that is compared.
			f.time = sample{ahead: now.Sub(sent.Round(0).Add(took / 2)), half: max(took/2, 1)}
		}
	}
	return nil
}

func (f *facts) readSlow(ctx context.Context) error {
	f.slow, f.slowErr = within(ctx, patience, func(ctx context.Context) ([]redis.SlowLog, error) { return f.rdb.SlowLogGet(ctx, 64).Result() })
	return f.slowErr
}

func (f *facts) readCluster(ctx context.Context) error {
	if !f.clustered() {
		return nil
	}
	var text string
	if text, f.clusterErr = within(ctx, patience, func(ctx context.Context) (string, error) { return f.rdb.ClusterInfo(ctx).Result() }); f.clusterErr == nil {
		f.cluster = fields(text)
	}
	return f.clusterErr
}

// clustered reports whether the server is a node of a cluster.
func (f *facts) clustered() bool {
	return f.info["cluster_enabled"] == "1" || f.hello["mode"] == "cluster"
}

// fields parses the replies to INFO and CLUSTER INFO.
func fields(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			all[name] = value
		}
	}
	return all
}

// number is a field as a number; false if there is none.
func number(all map[string]string, name string) (int64, bool) {
	n, err := strconv.ParseInt(all[name], 10, 64)
	return n, err == nil
}

// sample is how far a server's clock is ahead of this host's, with half of the round trip as the uncertainty.
type sample struct{ ahead, half time.Duration }
