package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
)

// explain turns an error of the library into one that ends the program. It says whether the lock was contended, Redis refused, or
// Redis could not be reached, at which address, and what to do.
func (l *link) explain(err error) error {
	var said *exit
	var fromServer redis.Error
	switch cause := withoutOperation(err); {
	case errors.As(err, &said):
		return err
	case errors.Is(err, redislock.ErrInvalid):
		return exitWith(exitUsage, "%s", inFlags(err))
	case errors.Is(err, redislock.ErrPermission):
		return exitWith(exitDenied, "Redis at %s: %v; give its user these rights; redislock.ACL(prefix) prints those that locks need, and lists need scan too", l.addr, cause)
	case errors.Is(err, redislock.ErrServer):
		return exitWith(exitUnavailable, "Redis at %s: %v", l.addr, cause)
	case isAnswer(err, "NOPERM"):
		return exitWith(exitDenied, "Redis at %s: %v; give its user that right, or put another user and password into the URL of --redis or REDIS_URL", l.addr, cause)
	case isAnswer(err, "NOAUTH"), isAnswer(err, "WRONGPASS"):
		return exitWith(exitDenied, "Redis at %s: %v; put user and password into the URL of --redis or REDIS_URL", l.addr, cause)
	case errors.Is(err, redislock.ErrDamaged):
		return exitWith(exitUnavailable, "Redis at %s: %v; something else has written to its key, and nobody gets the lock until the key is deleted; look at the key first, by redis-cli type and hgetall", l.addr, cause)
	case errors.Is(err, redislock.ErrLost):
		return exitWith(exitUnavailable, "%v, before the command began; see whether Redis at %s answers in time", cause, l.addr)
	case errors.As(err, &fromServer):
		return exitWith(exitUnavailable, "Redis at %s cannot serve: %v; %s", l.addr, cause, afterAnswer(err))
	default:
		return exitWith(exitUnavailable, "cannot reach Redis at %s: %v; %s", l.addr, cause, l.afterSilence(err))
	}
}

// isAnswer reports whether the server answered with an error of that kind; that of a Sentinel is in the text only.
func isAnswer(err error, kind string) bool {
	return redis.HasErrorPrefix(err, kind) || strings.Contains(err.Error(), ": "+kind+" ")
}

// afterAnswer says what to do about an error of the server.
func afterAnswer(err error) string {
	for _, known := range []struct{ sign, next string }{
		{"READONLY", "it is a replica, which takes no locks: name its primary by --redis, or a Sentinel with --sentinel-master"},
		{"MASTERDOWN", "it is a replica that has lost its primary: name the primary by --redis, or a Sentinel with --sentinel-master"},
		{"MOVED", "it is a node of a cluster: add --cluster"},
		{"ASK", "it is a node of a cluster: add --cluster"},
		{"CROSSSLOT", "it is a node of a cluster: add --cluster"},
		{"CLUSTERDOWN", "some slots are served by nobody: see redis-cli cluster info"},
		{"LOADING", "it has just started: try again when it has read its data"},
		{"BUSY", "a script keeps it busy: see redis-cli slowlog get, and redis-cli script kill"},
		{"OOM", "its memory is full: see redis-cli info memory"},
		{"NOREPLICAS", "it has too few replicas in reach: see redis-cli info replication"},
		{"MISCONF", "it cannot write to its disk: see its log"},
	} {
		if redis.HasErrorPrefix(err, known.sign) {
			return known.next
		}
	}
	switch text := err.Error(); {
	case strings.Contains(text, "cluster support disabled"):
		return "it is no node of a cluster: leave --cluster away"
	case strings.Contains(strings.ToLower(text), "unknown command 'sentinel'"):
		return "it is no Sentinel: leave --sentinel-master away, or name a Sentinel by --redis"
	case strings.Contains(text, "all sentinels"):
		return "see whether Sentinels run there and know that name: redis-cli -p 26379 sentinel masters"
	default:
		return "see its log"
	}
}

// afterSilence says what to do if the server could not be reached.
func (l *link) afterSilence(err error) string {
	var unknownAuthority x509.UnknownAuthorityError
	var otherHost x509.HostnameError
	var noTLS tls.RecordHeaderError
	text := err.Error()
	switch {
	case errors.As(err, &unknownAuthority), strings.Contains(text, "unknown authority"):
		return "give the certificate of its authority by --tls-ca FILE"
	case errors.As(err, &otherHost):
		return "name it by --redis as its certificate does"
	case errors.As(err, &noTLS), strings.Contains(text, "does not look like a TLS handshake"):
		return "it does not speak TLS there: a URL with redis://, or its port for TLS"
	case strings.Contains(text, "certificate required"), strings.Contains(text, "bad certificate"):
		return "show it a certificate by --tls-cert FILE --tls-key FILE"
	case l.answered != nil && l.answered.Load() > 0 && l.sentinel:
		return "it answered before: its Sentinels make a replica the primary within seconds, if there is one; redis-cli -p 26379 sentinel masters says how that stands"
	case l.answered != nil && l.answered.Load() > 0:
		return "it answered before: see whether it still runs, and whether the network between is well"
	case refusedUs(err):
		return "start it there, or name another by --redis URL or REDIS_URL"
	case l.tls && (errors.Is(err, errSilent) || errors.Is(err, context.DeadlineExceeded)):
		return "see whether it speaks TLS there: if not, the URL begins with redis://; or name another by --redis URL or REDIS_URL"
	case errors.Is(err, errSilent), errors.Is(err, context.DeadlineExceeded):
		return "something is there and says nothing: see whether that server is stuck or a firewall is between, or name another by --redis URL or REDIS_URL"
	case errors.Is(err, io.EOF), strings.Contains(text, "connection reset"):
		return "it hangs up: see whether it wants TLS (rediss://) or has too many clients, or name another by --redis URL or REDIS_URL"
	default:
		return "start it there, or name another by --redis URL or REDIS_URL"
	}
}

// withoutOperation is what the library's "redislock: acquire "name":" is in front of.
func withoutOperation(err error) error {
	if strings.HasPrefix(err.Error(), "redislock: ") {
		if cause := errors.Unwrap(err); cause != nil {
			return cause
		}
	}
	return err
}

// inFlags says what is wrong with an option in the words of the command line.
func inFlags(err error) string {
	text := strings.TrimPrefix(fmt.Sprint(withoutOperation(err)), redislock.ErrInvalid.Error()+": ")
	return strings.NewReplacer("WithLease(", "--lease (", "WithWait(", "--wait (", "WithStealAfter(", "--steal-after (",
		"WithMaxHold(", "--at-most (", "WithPrefix(", "--prefix (", "WithAtLeast(", "--at-least (", "WithAtMost(", "--at-most (", "WithPause(", "--pause (", "WithGroup(", "--group (", "WithRetry(", "--retry (", "WithForget(", "--forget (", "WithMetadata:", "--metadata:").Replace(text)
}
