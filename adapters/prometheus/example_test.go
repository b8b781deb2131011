package prometheuslock_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	prometheuslock "example.com/redislock/adapters/prometheus"
)

// exampleRedis is a connection to a server in memory. stop ends both.
func exampleRedis() (rdb *redis.Client, stop func()) {
	server, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	rdb = redis.NewClient(&redis.Options{Addr: server.Addr(), Protocol: 2, DisableIdentity: true})
	return rdb, func() {
		_ = rdb.Close()
		server.Close()
	}
}

func Example() {
	ctx := context.Background()
	rdb, stop := exampleRedis()
	defer stop()

	metrics, err := prometheuslock.New(prometheuslock.WithLabel(func(name string) string {
		class, _, _ := strings.Cut(name, "/") // "invoice" of "invoice/42": as many series as there are classes
		return class
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics)
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{}) // for /metrics

	client, err := redislock.New(rdb, redislock.WithObserver(metrics))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)

	for i := range 3 {
		if err := client.Do(ctx, fmt.Sprintf("invoice/%d", i), func(context.Context) error { return nil }); err != nil {
			fmt.Println(err)
		}
	}

	response := httptest.NewRecorder()
	handler.ServeHTTP(response, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(response.Body.String()) {
		if strings.HasPrefix(line, "redislock_grants") || strings.HasPrefix(line, "redislock_held") {
			fmt.Print(line)
		}
	}
	// Output:
	// redislock_grants_total{kind="lock",lock="invoice"} 3
	// redislock_held{kind="lock",lock="invoice"} 0
}
