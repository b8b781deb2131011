package main

import (
	"testing"
)

func TestTheCommandsThatWereSentAreSummedUpWithoutThoseInScripts(t *testing.T) {
	t.Parallel()
	stats, err := parseCommandStats("# Commandstats\r\n" +
		"cmdstat_evalsha:calls=3,usec=120,usec_per_call=40.00,rejected_calls=0,failed_calls=0\r\n" +
		"cmdstat_get:calls=3,usec=7,usec_per_call=2.33,rejected_calls=0,failed_calls=0\r\n" +
		"cmdstat_config|resetstat:calls=1,usec=30,usec_per_call=30.00,rejected_calls=0,failed_calls=0\r\n" +
		"cmdstat_set:calls=2,usec=5,usec_per_call=2.50,rejected_calls=0,failed_calls=0\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if sum := stats.of([]string{"evalsha", "set", "hdel"}); sum != (commandStat{calls: 5, usec: 125}) {
		t.Errorf("%+v", sum)
	}
	if _, err := parseCommandStats("cmdstat_get:calls=many,usec=1\r\n"); err == nil {
		t.Error("a count that is none is taken for one")
	}
}

func TestMessagesOnTheBusAreThoseOfBothKindsOfChannels(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{
		"cluster_state:ok\r\ncluster_stats_messages_ping_sent:7\r\n":                                                      0,
		"cluster_stats_messages_publish_sent:3\r\n":                                                                       3,
		"cluster_stats_messages_publish_sent:3\r\ncluster_stats_messages_publishshard_sent:2\r\n":                         5,
		"cluster_stats_messages_publishshard_sent:2\r\ncluster_stats_messages_publish_received:9\r\nsomething_else:1\r\n": 2,
	} {
		if n, err := parseBusMessages(text); n != want || err != nil {
			t.Errorf("%q: %v, %v", text, n, err)
		}
	}
}
