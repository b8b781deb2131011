package fence

import (
	"context"
	"sync"
)

// Memory keeps the greatest fences in this process, for resources that live here too. The zero value is ready for use,
// by any goroutine. It keeps a few dozen bytes for every resource it has seen, for as long as it exists.
type Memory struct {
	mu        sync.Mutex
	resources map[string]*memory
}

// memory has the greatest fence of one resource.
type memory struct {
	mu   sync.Mutex // held over check and write
	seen int64
}

// Accept remembers the fence of a resource. The error is [ErrStale], as a [*StaleError], if a greater one was seen,
// [redislock.ErrInvalid], or that of ctx if it has ended; then nothing changed.
//
// What the caller writes afterwards is not covered: before it is written, a greater fence may be accepted. [Memory.Do]
// covers it.
func (m *Memory) Accept(ctx context.Context, resource string, fence int64) error {
	return m.Do(ctx, resource, fence, func() error { return nil })
}

// Do is Accept, and runs write if the fence is accepted. No other fence of this resource is accepted until write has returned, so
// the check and the write are one. The error is that of Accept, or write's own; the fence stays accepted then. write must not use
// the same resource of m: it would wait for itself.
func (m *Memory) Do(ctx context.Context, resource string, fence int64, write func() error) error {
	if err := check(resource, fence); err != nil {
		return wrap("accept a fence of", resource, err)
	}
	r := m.resource(resource)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return wrap("accept a fence of", resource, err)
	}
	if fence < r.seen {
		return &StaleError{Resource: resource, Fence: fence, Seen: r.seen}
	}
	r.seen = fence
	return write()
}

// Highest is the greatest fence that was accepted for a resource, 0 if none was.
func (m *Memory) Highest(resource string) int64 {
	m.mu.Lock()
	r := m.resources[resource]
	m.mu.Unlock()
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen
}

// Reset forgets the greatest fence of a resource: the next one is accepted, whichever it is. It is for operators who know that
// there is no late writer any more.
func (m *Memory) Reset(resource string) {
	m.mu.Lock()
	r := m.resources[resource]
	m.mu.Unlock() // a write of this resource may use another one
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = 0
}

func (m *Memory) resource(name string) *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.resources == nil {
		m.resources = map[string]*memory{}
	}
	r := m.resources[name]
	if r == nil {
		r = &memory{}
		m.resources[name] = r
	}
	return r
}
