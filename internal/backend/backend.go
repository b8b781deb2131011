// Package backend finds the Redis client of go-redis behind a redis.UniversalClient, however often it is wrapped. It is the one
// place that decides by the type of a client: commands go to the client that the user gave, so that a wrapper sees each of them,
// and only what no UniversalClient can tell (timeouts, pools, the masters of a cluster) is asked of what stands behind it.
package backend

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/redis/go-redis/v9"
)

// The reasons why a client is refused.
var (
	// ErrNil says that there is no client, or a wrapper with none inside.
	ErrNil = errors.New("a nil Redis client")
	// ErrRing says that it is a *redis.Ring, or a wrapper of one.
	ErrRing = errors.New("a redis.Ring")
)

// Backend is the client of go-redis behind a client. At most one of Single and Cluster is set; neither is for a client of a kind
// that is not known, such as *redis.AutoPipeliner.
type Backend struct {
	Single  *redis.Client
	Cluster *redis.ClusterClient
	// Wrapped says that the user's client is not that one itself: what it does with a command beside passing it on is
	// not known.
	Wrapped bool
}

// maxDepth is how many wrappers are looked through; deeper are only circles.
const maxDepth = 32

// Of looks through the wrappers of a client: an embedded client serves the methods of a struct. It fails with ErrNil, with
// ErrRing, and if the client panics when it is asked for a subscription. A Ring that reflection cannot see does that. Nothing is
// sent.
func Of(rdb redis.UniversalClient) (Backend, error) {
	var b Backend
	if err := b.look(reflect.ValueOf(&rdb).Elem(), 0); err != nil {
		return Backend{}, err
	}
	if err := try(rdb); err != nil {
		return Backend{}, err
	}
	return b, nil
}

var universal = reflect.TypeFor[redis.UniversalClient]()

// look finds the client that v is or embeds. v has the methods of a UniversalClient.
func (b *Backend) look(v reflect.Value, depth int) error {
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			return ErrNil
		}
		return b.look(v.Elem(), depth)
	case reflect.Pointer:
		if v.IsNil() {
			return ErrNil
		}
		switch v.Type() {
		case reflect.TypeFor[*redis.Ring]():
			return ErrRing
		case reflect.TypeFor[*redis.Client](), reflect.TypeFor[*redis.ClusterClient]():
			b.found(v, depth)
			return nil
		}
		return b.embedded(v.Elem(), depth)
	default:
		return b.embedded(v, depth)
	}
}

// embedded looks at what a struct embeds.
func (b *Backend) embedded(v reflect.Value, depth int) error {
	if v.Kind() != reflect.Struct || depth == maxDepth {
		return nil
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		inner := v.Field(i)
		switch {
		case !field.Anonymous:
		case field.Type.Implements(universal):
			if err := b.look(inner, depth+1); err != nil {
				return err
			}
		case inner.CanAddr() && reflect.PointerTo(field.Type).Implements(universal): // by value
			if err := b.look(inner.Addr(), depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// found takes a client over, unless it is behind an unexported field, or another one was found: then it is not known which of
// them gets a command.
func (b *Backend) found(v reflect.Value, depth int) {
	if !v.CanInterface() {
		return
	}
	switch rdb := v.Interface().(type) {
	case *redis.Client:
		b.Single = rdb
	case *redis.ClusterClient:
		b.Cluster = rdb
	}
	if b.Single != nil && b.Cluster != nil {
		b.Single, b.Cluster = nil, nil
	}
	b.Wrapped = depth > 0
}

// try asks for an empty subscription, which connects to nothing, where the caller can recover from a panic. The Clients ask
// for it in goroutines of their own.
func try(rdb redis.UniversalClient) error {
	return Guard(func() error {
		ps := rdb.Subscribe(context.Background())
		if ps == nil {
			return errors.New("a client that does not subscribe")
		}
		return ps.Close()
	})
}

// ErrPanic is in the error of a call that panicked.
var ErrPanic = errors.New("the Redis client panicked")

// Guard calls do, which calls the user's client, and turns a panic into an error: on a goroutine of the library the user cannot
// recover from it, and the process would end.
func Guard(do func() error) (err error) {
	defer Recover(&err)
	return do()
}

// Recover is for a deferred call: it turns a panic of the user's client into an error.
func Recover(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", ErrPanic, p)
	}
}
