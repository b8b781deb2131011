package quorum

import (
	"context"
	"time"

	"example.com/redislock"
)

// Info is the state of a lock on each node, at about the same time.
type Info struct {
	Name string
	// Held says that a majority of the nodes has a hold with one fence: that is the lock's. Holder, Fence and Since are its.
	Held   bool
	Holder redislock.Owner
	Fence  int64
	// Since is when the first of them gave its vote, by its clock.
	Since time.Time
	// Nodes are in the order of the Clients of [New].
	Nodes []NodeInfo
}

// NodeInfo is the state of a lock on one node.
type NodeInfo struct {
	Addr string
	// Info is what [redislock.Client.Inspect] tells of it, unless Err says why it does not.
	Info redislock.Info
	Err  error
}

// Inspect asks every node who holds a lock there and who waits for it. It changes nothing. A hold on a node may be a vote for one
// that has no majority. Once a majority has answered, the others have a tenth of a second more. If a majority did not answer, the
// error names the nodes, with the error of each. Even then the Info has the answers of the others.
func (q *Locker) Inspect(ctx context.Context, name string) (Info, error) {
	if q == nil || len(q.nodes) == 0 || ctx == nil {
		return Info{}, wrap("inspect", name, invalid("a Locker that New has not made, or a nil context"))
	}
	info := Info{Name: name, Nodes: make([]NodeInfo, len(q.nodes))}
	type answer struct {
		i int
		NodeInfo
	}
	answers := make(chan answer, len(q.nodes))
	for i, n := range q.nodes {
		info.Nodes[i] = NodeInfo{Addr: n.addr, Err: errNoAnswer}
		go func() {
			of, err := n.client.Inspect(ctx, name)
			answers <- answer{i, NodeInfo{n.addr, of, err}}
		}()
	}
	var enough <-chan time.Time
	for come, good := 0, 0; come < len(q.nodes); {
		select {
		case a := <-answers:
			info.Nodes[a.i] = a.NodeInfo
			come++
			if a.Err == nil {
				if good++; good == q.majority {
					enough = time.After(tryPatience)
				}
			}
			continue
		case <-enough:
		}
		break
	}
	said, failed := make([]error, len(q.nodes)), 0
	holds := map[int64][]redislock.Hold{}
	for i, n := range info.Nodes {
		if said[i] = n.Err; n.Err != nil {
			failed++
		}
		for _, h := range n.Info.Holds {
			holds[h.Fence] = append(holds[h.Fence], h)
		}
	}
	for fence, of := range holds {
		if len(of) >= q.majority {
			info.Held, info.Fence, info.Holder, info.Since = true, fence, of[0].Owner, of[0].Since
			for _, h := range of {
				if h.Since.Before(info.Since) {
					info.Since = h.Since
				}
			}
		}
	}
	if failed > len(q.nodes)-q.majority {
		return info, wrap("inspect", name, q.unreachable(said, ctx.Err()))
	}
	return info, nil
}
