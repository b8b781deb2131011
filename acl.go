package redislock

import "strings"

// ACL is the rule that a Redis user needs for locks under a prefix, to put behind "ACL SETUSER name on >password". It
// grants what the scripts use and nothing else, on keys and channels of that prefix only. On a cluster
// go-redis itself needs +cluster|slots and +command besides.
func ACL(prefix string) string {
	commands := "evalsha eval time hlen hget hmget hgetall hset hdel expire expireat publish subscribe unsubscribe ping " +
		"set get del pttl getrange" // the second line is for the weak kind and for records
	return "-@all +" + strings.Join(strings.Fields(commands), " +") + " ~" + prefix + ":* resetchannels &" + prefix + ":*"
}
