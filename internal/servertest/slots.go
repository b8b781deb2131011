package servertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Slot is the slot of a key.
func (c *Cluster) Slot(key string) int {
	c.t.Helper()
	for _, s := range c.Nodes() {
		if s.runs() {
			n, err := s.admin.ClusterKeySlot(context.Background(), key).Result()
			if err != nil {
				c.t.Fatalf("servertest: %v", err)
			}
			return int(n)
		}
	}
	c.t.Fatal("servertest: no node of the cluster runs")
	return 0
}

// Serving is the master that serves a key now, by what the running nodes say of themselves. It waits for one.
func (c *Cluster) Serving(key string) *Server {
	c.t.Helper()
	slot := c.Slot(key)
	var s *Server
	until(c.t, "a master serves "+key, func() (err error) {
		s, err = c.owner(slot)
		return err
	})
	return s
}

// owner is the running node that says it serves a slot; of several, which a failover leaves for a moment, that of the
// highest epoch.
func (c *Cluster) owner(slot int) (owner *Server, err error) {
	var epoch int64
	for _, s := range c.Nodes() {
		if !s.runs() {
			continue
		}
		self, err := c.self(s)
		if err != nil {
			return nil, err
		}
		if self.serves(slot) && (owner == nil || self.epoch > epoch) {
			owner, epoch = s, self.epoch
		}
	}
	if owner == nil {
		return nil, fmt.Errorf("nobody serves slot %d", slot)
	}
	return owner, nil
}

// KillMaster kills a master and waits until a replica serves in its place, to which every running node agrees. It
// returns that one.
func (c *Cluster) KillMaster(s *Server) *Server {
	c.t.Helper()
	self, err := c.self(s)
	if err != nil {
		c.t.Fatalf("servertest: %v", err)
	}
	s.Kill()
	return c.replaced(s, self)
}

// Replaced waits until a replica serves in the place of a master that was paused, to which every running node agrees.
// before is a key that it served.
func (c *Cluster) Replaced(s *Server, before string) *Server {
	c.t.Helper()
	slot := c.Slot(before)
	return c.replaced(s, node{addr: s.Addr(), flags: []string{"master"}, slots: []string{fmt.Sprint(slot)}})
}

func (c *Cluster) replaced(old *Server, was node) (heir *Server) {
	c.t.Helper()
	slot := 0
	for slot < slots && !was.serves(slot) {
		slot++
	}
	until(c.t, old.Addr()+" is replaced", func() (err error) {
		if heir, err = c.owner(slot); err != nil {
			return err
		}
		for _, s := range c.Nodes() {
			if !s.runs() {
				continue
			}
			nodes, err := s.view()
			if err != nil {
				return err
			}
			for _, n := range nodes {
				if n.serves(slot) && n.addr != heir.Addr() {
					return fmt.Errorf("%s thinks that %s serves", s.Addr(), n.addr)
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			info, err := s.admin.ClusterInfo(ctx).Result()
			cancel()
			if err != nil || len(info) < 16 || info[:16] != "cluster_state:ok" {
				return errors.Join(err, fmt.Errorf("%s is not in order", s.Addr()))
			}
		}
		return nil
	})
	return heir
}

// Migration moves a slot from the master that serves it to another, as a resharding does it. Between the steps the old
// one answers with ASK for keys that it does not have.
type Migration struct {
	c        *Cluster
	slot     int
	from, to *Server
}

// Migrate begins a migration. To the master that serves the slot already it is one without work.
func (c *Cluster) Migrate(slot int, to *Server) (*Migration, error) {
	from, err := c.owner(slot)
	if err != nil {
		return nil, err
	}
	m := &Migration{c: c, slot: slot, from: from, to: to}
	if from == to {
		return m, nil
	}
	if err := m.set(to, "importing", from); err != nil {
		return nil, err
	}
	return m, m.set(from, "migrating", to)
}

// Move moves the keys that are there.
func (m *Migration) Move() error {
	for ctx := context.Background(); m.from != m.to; {
		keys, err := m.from.admin.ClusterGetKeysInSlot(ctx, m.slot, 100).Result()
		if err != nil || len(keys) == 0 {
			return err
		}
		args := []any{"migrate", "127.0.0.1", m.to.port, "", 0, 5000, "keys"}
		for _, key := range keys {
			args = append(args, key)
		}
		if err := m.from.admin.Do(ctx, args...).Err(); err != nil {
			return err
		}
	}
	return nil
}

// Finish gives the slot to its new master and tells all.
func (m *Migration) Finish() error {
	if m.from == m.to {
		return nil
	}
	m.c.informed(m.to)
	if err := m.set(m.to, "node", m.to); err != nil { // first: no moment without an owner
		return err
	}
	for _, s := range m.c.Nodes() {
		if s == m.to || !s.runs() {
			continue
		}
		// A replica learns it from the others.
		if err := m.set(s, "node", m.to); err != nil && !redis.HasErrorPrefix(err, "Please use SETSLOT only with masters") {
			return err
		}
	}
	return nil
}

// informed waits until a node has heard of the epochs of all masters. One that takes a slot without that may claim it with
// too low an epoch: those who know better then make it believe that the former owner has it, who knows that it has not.
func (c *Cluster) informed(s *Server) {
	c.t.Helper()
	until(c.t, s.Addr()+" knows the epochs of all", func() error {
		seen, err := s.view()
		if err != nil {
			return err
		}
		for _, other := range c.Nodes() {
			if !other.runs() {
				continue
			}
			self, err := c.self(other)
			if err != nil {
				return err
			}
			for _, n := range seen {
				if n.id == self.id && self.flagged("master") && n.epoch < self.epoch {
					return fmt.Errorf("it has not heard that %s is at %d", other.Addr(), self.epoch)
				}
			}
		}
		return nil
	})
}

func (m *Migration) set(at *Server, how string, whom *Server) error {
	self, err := m.c.self(whom)
	if err != nil {
		return err
	}
	if err := at.admin.Do(context.Background(), "cluster", "setslot", m.slot, how, self.id).Err(); err != nil {
		return fmt.Errorf("%s: slot %d %s: %w", at.Addr(), m.slot, how, err)
	}
	return nil
}

// MigrateSlot moves a slot and all its keys to a master, while clients may use them.
func (c *Cluster) MigrateSlot(slot int, to *Server) error {
	m, err := c.Migrate(slot, to)
	if err != nil {
		return err
	}
	if err := m.Move(); err != nil {
		return err
	}
	return m.Finish()
}

// MigrateAtOnce moves a slot to a master by the one command that newer servers have for it, CLUSTER MIGRATESLOTS of Valkey 9
// and CLUSTER MIGRATION of Redis 8.4, and returns when it serves the slot there. They copy the keys, and pause writes at the end.
func (c *Cluster) MigrateAtOnce(slot int, to *Server) error {
	from, err := c.owner(slot)
	if err != nil || from == to {
		return err
	}
	self, err := c.self(to)
	if err != nil {
		return err
	}
	at, command := from, []any{"cluster", "migrateslots", "slotsrange", slot, slot, "node", self.id}
	if strings.HasPrefix(Version(to.t), "redis") {
		at, command = to, []any{"cluster", "migration", "import", slot, slot}
	}
	// It is refused while the last one of the same slot is not over yet.
	until(c.t, fmt.Sprintf("slot %d is on its way", slot), func() error {
		return at.admin.Do(context.Background(), command...).Err()
	})
	until(c.t, fmt.Sprintf("slot %d has moved", slot), func() error {
		owner, err := c.owner(slot)
		if err == nil && owner != to {
			err = fmt.Errorf("%s serves it", owner.Addr())
		}
		return err
	})
	return nil
}
