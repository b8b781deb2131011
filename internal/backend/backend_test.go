package backend_test

import (
	"context"
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/backend"
)

type wrapper struct{ redis.UniversalClient }

type base struct{ redis.UniversalClient }

// deep embeds a type that embeds a client, unexported and by a pointer.
type deep struct{ *base }

// delegate does not embed a client: it has methods of its own that call one, as far as these tests need them.
type delegate struct {
	redis.UniversalClient
	to redis.UniversalClient
}

func (d delegate) Subscribe(ctx context.Context, channels ...string) *redis.PubSub {
	return d.to.Subscribe(ctx, channels...)
}

type circle struct {
	redis.UniversalClient
	calls int
}

func (c *circle) Subscribe(context.Context, ...string) *redis.PubSub {
	c.calls++
	return single.Subscribe(context.Background())
}

var (
	single  = redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	cluster = redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}})
	ring    = redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
)

func TestARingIsFoundHoweverDeep(t *testing.T) {
	for name, rdb := range map[string]redis.UniversalClient{
		"itself":                ring,
		"wrapped":               wrapper{ring},
		"by a pointer":          &wrapper{ring},
		"three deep":            &wrapper{wrapper{&wrapper{ring}}},
		"in an unexported type": deep{&base{ring}},
		"by its type":           struct{ *redis.Ring }{ring},
	} {
		if _, err := backend.Of(rdb); !errors.Is(err, backend.ErrRing) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Reflection does not see that its methods lead to a Ring. Their effect shows it.
	if _, err := backend.Of(delegate{single, ring}); !errors.Is(err, backend.ErrPanic) {
		t.Errorf("delegated to: %v", err)
	}
}

func TestNoClientInsideAWrapperIsSeen(t *testing.T) {
	var none *redis.Client
	for name, rdb := range map[string]redis.UniversalClient{
		"nil":               nil,
		"a nil pointer":     none,
		"a nil wrapper":     (*wrapper)(nil),
		"nothing inside":    wrapper{},
		"a pointer to none": &wrapper{none},
		"two deep":          wrapper{&wrapper{}},
		"no inner wrapper":  deep{},
	} {
		if _, err := backend.Of(rdb); !errors.Is(err, backend.ErrNil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatAWrapperHoldsIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		rdb  redis.UniversalClient
		want backend.Backend
	}{
		"a client":              {single, backend.Backend{Single: single}},
		"a cluster":             {cluster, backend.Backend{Cluster: cluster}},
		"a wrapped client":      {wrapper{single}, backend.Backend{Single: single, Wrapped: true}},
		"a wrapped cluster":     {deep{&base{&wrapper{cluster}}}, backend.Backend{Cluster: cluster, Wrapped: true}},
		"by its type":           {struct{ *redis.ClusterClient }{cluster}, backend.Backend{Cluster: cluster, Wrapped: true}},
		"what is not embedded":  {delegate{single, cluster}, backend.Backend{Single: single, Wrapped: true}},
		"a client of its kind":  {pipeliner(t), backend.Backend{}},
		"a wrapper of such one": {wrapper{pipeliner(t)}, backend.Backend{}},
	} {
		if got, err := backend.Of(c.rdb); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	loop := &circle{}
	loop.UniversalClient = loop
	if got, err := backend.Of(loop); err != nil || got != (backend.Backend{}) || loop.calls != 1 {
		t.Errorf("a circle: %+v, %v", got, err)
	}
}

func pipeliner(t *testing.T) *redis.AutoPipeliner {
	t.Helper()
	ap, err := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}).AutoPipeline()
	if err != nil {
		t.Fatal(err)
	}
	return ap
}
