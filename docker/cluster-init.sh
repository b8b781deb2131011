#!/bin/sh
# Makes one cluster of the six nodes, unless they are one already.
set -eu
cli=$(command -v valkey-cli || command -v redis-cli)
if "$cli" -p 7000 cluster info | grep -q '^cluster_state:ok'; then
	echo "the cluster is up"
	exit 0
fi
"$cli" --cluster create 127.0.0.1:7000 127.0.0.1:7001 127.0.0.1:7002 127.0.0.1:7003 127.0.0.1:7004 127.0.0.1:7005 \
	--cluster-replicas 1 --cluster-yes
until "$cli" -p 7000 cluster info | grep -q '^cluster_state:ok'; do sleep 1; done
# Until then its masters grant nothing (min-replicas-to-write).
for port in 7000 7001 7002; do
	until "$cli" -p "$port" info replication | grep -q '^connected_slaves:[1-9]'; do sleep 1; done
done
