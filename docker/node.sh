#!/bin/sh
# Starts a node of the cluster: Valkey or Redis, whichever the image has.
set -eu
server=$(command -v valkey-server || command -v redis-server)
# A master that is cut off from its replica grants nothing: the replica may be a master by then.
options="--cluster-enabled yes --cluster-node-timeout 2000 --min-replicas-to-write 1"
case $server in
*redis-server) # 8.4 and later: a slot that moves takes no writes for 10 s otherwise
	options="$options --cluster-slot-migration-write-pause-timeout 1000" ;;
esac
# shellcheck disable=SC2086 # several words
exec "$server" /etc/redis/redis.conf --port "$PORT" $options
