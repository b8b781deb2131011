package redislocktest_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"example.com/redislock/redislocktest"
)

// One pipeline may have more data than a connection in memory can hold.
func TestManyCommandsAtOnceGetThrough(t *testing.T) {
	t.Run("real time", func(t *testing.T) { manyAtOnce(t) })
	t.Run("fake time", func(t *testing.T) { synctest.Test(t, manyAtOnce) })
}

func manyAtOnce(t *testing.T) {
	server := redislocktest.New(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	keys := make([]string, 300)
	for i := range keys {
		keys[i] = fmt.Sprint("mail/", i)
	}
	first, err := server.Client.FirstOf(ctx, keys, time.Hour)
	if err != nil || !first[0] || !first[len(keys)-1] {
		t.Fatalf("%d answers, %v", len(first), err)
	}
	for i := range 60 {
		lock, err := server.Client.Acquire(ctx, fmt.Sprint("lock/", i))
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Release(context.Background())
	}
	n := 0
	for _, err := range server.Client.List(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 60 {
		t.Errorf("%d locks are listed", n)
	}
}
