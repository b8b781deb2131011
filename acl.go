package redislock

import "strings"

// ACL is the rule that a Redis user needs for locks under a prefix, to put behind "ACL SETUSER name on >password". It
// grants what the scripts use and nothing else, on keys and channels of that prefix only; and what go-redis itself needs
// on a cluster. It is for Redis 7: before it there are no sharded channels, and no pubsub|shardnumsub, spublish,
// ssubscribe and sunsubscribe that could be granted.
func ACL(prefix string) string {
	commands := "evalsha eval time hlen hget hmget hgetall hset hdel expire expireat publish subscribe unsubscribe ping " +
		"set get del pttl getrange " + // for the weak kind and for records
		"pubsub|numsub " + // who hears of a grant
		"wait " + // WithReplicas
		"pubsub|shardnumsub spublish ssubscribe sunsubscribe cluster|slots command asking readonly " + // on a cluster
		"select client|setname" // go-redis, where the connection has a database or a name
	return "-@all +" + strings.Join(strings.Fields(commands), " +") + " ~" + prefix + ":* resetchannels &" + prefix + ":*"
}
