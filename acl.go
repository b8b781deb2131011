package redislock

import (
	"strings"

	"example.com/redislock/internal/protocol"
)

// ACL is the rule that a Redis user needs for locks under a prefix, to put behind "ACL SETUSER name on >password". It
// grants what the scripts use and nothing else, on exactly the keys and channels of that prefix: not on those of a prefix
// that begins with it, such as app:sub beside app. What the user had of commands, keys and channels before is taken. It
// also grants what go-redis itself needs on a cluster. A prefix that [WithPrefix] refuses has no keys: its rule takes
// everything and grants nothing.
//
// It is for Redis 7: before it there are no sharded channels, and no pubsub|shardnumsub, spublish, ssubscribe and
// sunsubscribe that could be granted.
func ACL(prefix string) string {
	if checkPrefix(prefix) != nil {
		return "-@all resetkeys resetchannels"
	}
	commands := "evalsha eval time hlen hget hmget hgetall hset hdel expire expireat publish subscribe unsubscribe ping " +
		"set get del pttl getrange " + // for the weak kind and for records
		"pubsub|numsub " + // who hears of a grant
		"wait " + // WithReplicas
		"pubsub|shardnumsub spublish ssubscribe sunsubscribe cluster|slots command asking readonly " + // on a cluster
		"select client|setname" // go-redis, where the connection has a database or a name
	own := quoteGlob(prefix)
	wake := own + ":c:" + strings.Repeat("[^:]", protocol.TokenLength) // of one Client
	rule := "-@all +" + strings.Join(strings.Fields(commands), " +")
	rule += " resetkeys ~" + own + ":{*" // locks, and the registers of package fence
	for _, kind := range []string{protocol.WeakKind, protocol.DedupeKind, protocol.RecordKind} {
		rule += " ~" + own + kind + ":{*"
	}
	return rule + " resetchannels &" + own + ":n &" + wake + " &" + wake + ":{*"
}

// What stands between the prefix and the name in the keys that are not those of locks.
