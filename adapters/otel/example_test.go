package otellock_test

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"example.com/redislock"
	otellock "example.com/redislock/adapters/otel"
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

	// A program sets its exporters here, or nothing: the default are the global providers.
	spans, reader := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))

	observer, err := otellock.New(otellock.WithTracerProvider(tracers), otellock.WithMeterProvider(meters))
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := redislock.New(rdb, redislock.WithObserver(observer), redislock.WithTrace(otellock.Traceparent))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)

	ctx, request := tracers.Tracer("shop").Start(ctx, "POST /orders")
	err = client.Do(ctx, "invoice/42", func(context.Context) error {
		time.Sleep(2 * otellock.DefaultSpanThreshold)
		return nil
	})
	request.End()
	fmt.Println(err)

	for _, span := range spans.Ended() {
		if span.Name() == "redislock wait" {
			continue // such a span exists only if Redis was slow
		}
		fmt.Println(span.Name())
	}
	var data metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &data); err != nil {
		fmt.Println(err)
	}
	for _, m := range data.ScopeMetrics[0].Metrics {
		if sum, ok := m.Data.(metricdata.Sum[int64]); ok && (m.Name == "redislock.holds" || m.Name == "redislock.acquisitions") {
			fmt.Println(m.Name, sum.DataPoints[0].Value)
		}
	}
	// Output:
	// <nil>
	// redislock hold
	// POST /orders
	// redislock.holds 0
	// redislock.acquisitions 1
}
