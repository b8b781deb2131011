package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
)

// trialName is the lock that is tried. It is always the same, so that many examinations leave one key behind.
const trialName = "doctor:trial"

// permissions tries what the library does: it takes a lock and gives it back at once, which also runs the preflight
// of the library; it subscribes to the channels of a waiter; and it tries the commands of operators.
func permissions(ctx context.Context, rdb redis.UniversalClient, prefix string, subjects []*facts) []Finding {
	f := subjects[max(0, slices.IndexFunc(subjects, func(f *facts) bool { return f.silence == nil }))]
	if is := cmp.Or(f.info["role"], f.hello["role"]); is == "slave" || is == "replica" || f.info["loading"] == "1" {
		return nil // another finding says why it cannot
	}
	user := cmp.Or(f.user, "default")
	if f.user == "" && f.options != nil {
		user = cmp.Or(f.options.Username, user)
	}
	rule := f.rule(prefix)
	found := trial(ctx, rdb, prefix, user, rule)
	if !fromTrial(found) {
		return found
	}
	found = append(found, listening(ctx, rdb, prefix, user, rule, f)...)
	found = append(found, scanning(ctx, rdb, user, rule)...)
	if n, _ := number(f.info, "connected_slaves"); n > 0 || f.settings.replicas > 0 {
		found = append(found, waiting(ctx, rdb, user, rule)...)
	}
	return found
}

// rule is the ACL that the library needs on this server, or on a current one if the server does not name its version.
func (f *facts) rule(prefix string) string {
	if name, v, known := f.product(); known {
		if rule, err := redislock.ACLFor(strings.ToLower(name)+" "+v.String(), prefix); err == nil {
			return rule
		}
	}
	return redislock.ACL(prefix)
}

// fromTrial reports whether the server answers, so that it can be asked more.
func fromTrial(found []Finding) bool { return found[0].Check != "reachability" }

// trial takes a lock and gives it back.
func trial(ctx context.Context, rdb redis.UniversalClient, prefix, user, rule string) []Finding {
	const check = "lock"
	_, err := within(ctx, patience+time.Second, func(ctx context.Context) (struct{}, error) { return struct{}{}, take(ctx, rdb, prefix) })
	switch {
	case err == nil, errors.Is(err, redislock.ErrHeld): // another examination holds it, which proves the same
		return well(check, "one was taken and given back; the user %q has the permissions for it", user)
	case errors.Is(err, redislock.ErrInvalid):
		return []Finding{{Check: check, Level: Danger, Found: err.Error(), Why: "the library refuses it too.", Fix: "choose another prefix or client"}}
	case errors.Is(err, redislock.ErrPermission):
		return []Finding{missing("permissions", user, rule, err, Danger, "the library refuses to take a lock with less (ErrPermission).")}
	case errors.Is(err, redislock.ErrServer):
		return []Finding{{
			Check: "scripts", Level: Danger, Found: cause(err),
			Why: "every step of a lock is a script, so that it happens as a whole or not at all.",
			Fix: "do what it says, or use another server; MODULE LIST shows whether Valkey has its module lua",
		}}
	case strings.Contains(strings.ToLower(err.Error()), "unknown command") && strings.Contains(strings.ToLower(err.Error()), "eval"):
		return []Finding{{
			Check: "scripts", Level: Danger, Found: "scripts are off: " + cause(err),
			Why: "every step of a lock is a script, so that it happens as a whole or not at all.",
			Fix: "allow EVAL and EVALSHA (remove their rename-command from its configuration file), or use another server",
		}}
	case !fromServer(err):
		return []Finding{unreachable("the server", err)}
	}
	refused := Finding{
		Check: check, Level: Danger, Found: "refused: " + cause(err),
		Why: "what refuses this one refuses those of applications.",
		Fix: refusedFix(err),
	}
	if redis.HasErrorPrefix(err, "OOM") {
		refused.Stops, refused.Why = NoMemory, refusals
	}
	return []Finding{refused}
}

// refusedFix is the advice for a server that refuses writes.
func refusedFix(err error) string {
	for _, known := range []struct{ prefix, fix string }{
		{"OOM", "make room, or raise its maxmemory"},
		{"MISCONF", "make room on its disk and see its log: it could not save"},
		{"NOREPLICAS", "bring the replicas back: fewer than min-replicas-to-write are there"},
		{"READONLY", "name the primary in the URL"},
		{"CLUSTERDOWN", "redis-cli --cluster check names the slots that nobody serves"},
		{"MOVED", "use redis.NewClusterClient"},
		{"BUSY", "SCRIPT KILL ends the script that somebody else runs"},
	} {
		if strings.Contains(err.Error(), known.prefix+" ") {
			return known.fix
		}
	}
	return "see its log"
}

// cause is the error of Redis without the library's prefix, and without the hash and the line of the script that
// Redis adds.
func cause(err error) string {
	text := err.Error()
	if inner := errors.Unwrap(err); inner != nil && strings.HasPrefix(text, "redislock: ") {
		text = inner.Error()
	}
	text, _, _ = strings.Cut(text, " script: ")
	return text
}

func take(ctx context.Context, rdb redis.UniversalClient, prefix string) error {
	client, err := redislock.New(rdb, redislock.WithPrefix(prefix), redislock.WithName("redislock doctor"))
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = client.Close(ctx) // a lock that is left expires with its lease
	}()
	lock, err := client.TryAcquire(ctx, trialName, redislock.WithLease(5*time.Second))
	if err != nil {
		return err
	}
	return lock.Release(ctx)
}

// listening subscribes to the channels that a waiter subscribes to.
func listening(ctx context.Context, rdb redis.UniversalClient, prefix, user, rule string, f *facts) []Finding {
	const check = "channels"
	subscribe := func(make func(context.Context) *redis.PubSub) error {
		_, err := within(ctx, patience, func(ctx context.Context) (any, error) {
			ps := make(ctx)
			defer func() { _ = ps.Close() }()
			return ps.Receive(ctx)
		})
		return err
	}
	const client = ":c:doctor----------------" // like that of a Client, with 22 characters
	err := subscribe(func(ctx context.Context) *redis.PubSub {
		return rdb.Subscribe(ctx, prefix+client, prefix+":n", prefix+":n:{doctor}")
	})
	_, v, known := f.product()
	if _, cluster := rdb.(*redis.ClusterClient); err == nil && cluster && known && !v.before(version{7}) {
		err = subscribe(func(ctx context.Context) *redis.PubSub { return rdb.SSubscribe(ctx, prefix+client+":{doctor}") })
	}
	const why = "a waiter that hears of no grant finds it by its checks only, every 2 s; one that may not subscribe is refused (ErrPermission)."
	switch {
	case err == nil:
		return well(check, "can be subscribed to")
	case redis.HasErrorPrefix(err, "NOPERM"):
		return []Finding{missing(check, user, rule, err, Danger, why)}
	}
	return []Finding{{
		Check: check, Level: Danger, Found: "cannot be subscribed to: " + err.Error(), Why: why,
		Fix: "see whether a proxy stands between: many do not pass SUBSCRIBE on",
	}}
}

// scanning checks whether an operator may list locks.
func scanning(ctx context.Context, rdb redis.UniversalClient, user, rule string) []Finding {
	const check = "listing"
	_, err := within(ctx, patience, func(ctx context.Context) (any, error) {
		_, _, err := rdb.Scan(ctx, 0, "no key", 1).Result() // the pattern does not matter
		return nil, err
	})
	switch {
	case err == nil:
		return well(check, "locks can be listed")
	case redis.HasErrorPrefix(err, "NOPERM"):
		return []Finding{missing(check, user, rule, err, Warning, "only operators need it: redislock ls and ui, and Client.List. Applications do not.")}
	}
	return []Finding{refusal(check, "SCAN", "+scan", err)}
}

// waiting checks whether the user may use WithReplicas.
func waiting(ctx context.Context, rdb redis.UniversalClient, user, rule string) []Finding {
	const check = "WithReplicas"
	_, err := within(ctx, patience, func(ctx context.Context) (any, error) { return rdb.Do(ctx, "wait", 0, 1).Result() })
	switch {
	case err == nil:
		return well(check, "replicas can be waited for")
	case redis.HasErrorPrefix(err, "NOPERM"):
		return []Finding{missing(check, user, rule, err, Warning, "an acquire with WithReplicas is refused; others need no WAIT.")}
	}
	return []Finding{refusal(check, "WAIT", "+wait", err)}
}

var (
	refusedCommand = regexp.MustCompile(`run the '([^']+)' command`)
	refusedInside  = regexp.MustCompile(`([a-z|]+): (?:@user_script: \d+: )?(?:[A-Z]+ )?The user executing the script can't run this command`)
)

// missing names the permission that is missing, and the command that grants it. If the server refuses the script as a
// whole, it says only that; permissions that are missing inside of the script show at the next examination.
func missing(check, user, rule string, err error, level Level, why string) Finding {
	text := err.Error()
	var rules []string
	grant := func(part string) {
		if !slices.Contains(rules, part) {
			rules = append(rules, part)
		}
	}
	patterns := func(kind string) { // patterns of keys or of channels, as in the library's own rule
		for _, part := range strings.Fields(rule) {
			if strings.HasPrefix(part, kind) {
				grant(part)
			}
		}
	}
	for _, m := range append(refusedCommand.FindAllStringSubmatch(text, -1), refusedInside.FindAllStringSubmatch(text, -1)...) {
		switch name := m[1]; name {
		case "pubsub":
			grant("+pubsub|numsub")
			grant("+pubsub|shardnumsub")
		case "evalsha":
			grant("+evalsha")
			grant("+eval")
		default:
			grant("+" + name)
		}
	}
	if strings.Contains(text, "of the keys") || strings.Contains(text, "access a key") {
		patterns("~")
	}
	if strings.Contains(text, "channel") {
		patterns("&")
	}
	found := Finding{Check: check, Level: level, Found: fmt.Sprintf("the user %q lacks %s", user, strings.Join(rules, " ")), Why: why}
	if len(rules) == 0 {
		found.Found, rules = fmt.Sprintf("the user %q is refused: %s", user, cause(err)), []string{rule}
	}
	found.Fix = "ACL SETUSER " + user + " " + strings.Join(rules, " ") + "; then ACL SAVE, or CONFIG REWRITE without an ACL file, to keep it"
	return found
}
