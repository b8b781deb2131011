-- probe: find out whether a script counts the Client's own subscription to this channel. If it does not, because the
-- subscription is at a replica or at another node of a cluster, the Client's receivers cannot be counted.
--
-- KEYS[1]  a key that selects the node that runs this
-- ARGV[1]  the Client's wake channel
--
-- Reply    the number of subscribers that this node counts
return redis.call('PUBSUB', 'NUMSUB', ARGV[1])[2]
