package simulation_test

import "strings"

// quorumBugs are what package quorum would have without a rule.
var quorumBugs = []bug{
	{"quorum-no-yield", "nobody gives a vote to an older attempt, and a split of votes lasts", "	if h.phase != seeking || h.counting() >= h.locker.majority || v.lock != l {\n		return false\n	}\n	v.lock, v.confirmed", "	if true || v.lock != l {\n		return false\n	}\n	v.lock, v.confirmed", 0, ""},
	{"quorum-fresh-counts", "a node that came back without its data counts at once", "	return max(0, longest-clock.Elapsed(s.up)), nil\n", "	return 0, nil\n", 0, ""},
	{"quorum-not-written-back", "the fence of a grant is not written to a majority", "		got, err := root.Confirm(l, fence)\n", "		got, err := fence, error(nil)\n", 0, ""},
	{"quorum-fence-of-the-gone", "a node confirms the fence although it does not have the vote any more", "		case errors.Is(err, redislock.ErrLost):\n			return 0, false, err\n", "		case errors.Is(err, redislock.ErrLost):\n			got = fence\n", 0, ""},
	{"quorum-greater-counts", "a node whose own fence is greater counts", "v.confirmed = own == h.fence && h.fence > 0", "v.confirmed = own >= h.fence && h.fence > 0", 0, ""},
	{"quorum-vote-kept", "a vote that comes when its caller has gone is not given back", "		if poke == nil {\n			_ = giveBack(l)\n			return\n", "		if poke == nil {\n			return\n", 0, ""},
	{"quorum-half", "half of the nodes are a majority", "majority: len(clients)/2 + 1", "majority: len(clients) / 2", 0, ""},
	{"quorum-any-vote-holds", "the lock counts as held while any vote is left", "h.phase == holding && h.count() < h.locker.majority {\n		votes", "h.phase == holding && h.count() < 1 {\n		votes", 0, ""},
	{"quorum-lost-vote-stays", "a vote that is lost counts until the next request", "	context.AfterFunc(ended, func() { // and not below, where a request may hang (I7)", "	context.AfterFunc(context.Background(), func() {", 0, ""},
	{"quorum-release-forgets", "a release does not wait for a majority", "	good, said := 0, make([]error, len(of))\n", "	good, said := h.locker.majority, make([]error, len(of))\n", 0, ""},
}

func (b bug) quorum() bool { return strings.HasPrefix(b.name, "quorum-") }
