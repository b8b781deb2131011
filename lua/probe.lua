-- probe: whether a script sees the Client that is subscribed to this channel. Where it does not (the subscription is on
-- a replica, or on another node of a cluster) its receivers cannot be counted.
--
-- KEYS[1]  a key that says which node runs this
-- ARGV[1]  the Client's wake channel
--
-- Reply    the number of subscribers that this node counts
return redis.call('PUBSUB', 'NUMSUB', ARGV[1])[2]
