package simulation_test

import "strings"

// quorumBugs are bugs that package quorum would have without a rule.
var quorumBugs = []bug{
	{"quorum-no-yield", "nobody gives a vote to an older attempt, and a split of votes lasts", "\tif h.phase != seeking || h.counting() >= h.locker.majority || v.ballot != b || v.lock == nil {\n\t\treturn\n", "\tif true || v.ballot != b || v.lock == nil {\n\t\treturn\n", 0, ""},
	{"quorum-fresh-counts", "a node that came back without its data counts at once", "\treturn max(0, longest-clock.Elapsed(s.up))\n", "\treturn 0\n", 0, ""},
	{"quorum-not-written-back", "the fence of a grant is not written to a majority", "\t\t\town, err = root.Confirm(l, fence)\n", "\t\t\town = fence\n", 0, ""},
	{"quorum-fence-of-the-gone", "a node confirms the fence although it does not have the vote any more", "\t\t\town, err = root.Confirm(l, fence)\n", "\t\t\tif own, err = root.Confirm(l, fence); errors.Is(err, redislock.ErrLost) {\n\t\t\t\town, err = fence, nil\n\t\t\t}\n", 0, ""},
	{"quorum-greater-counts", "a node whose own fence is greater counts", "true, nil, v.fence == h.fence && h.fence > 0", "true, nil, v.fence >= h.fence && h.fence > 0", 0, ""},
	{"quorum-vote-kept", "a vote that comes when its caller has gone is not given back", "\t\t} else if !h.voted(b, l) {\n\t\t\t_ = giveBack(l)\n", "\t\t} else if !h.voted(b, l) {\n\t\t\t_ = l\n", 0, ""},
	{"quorum-half", "half of the nodes are a majority", "majority: len(clients)/2 + 1", "majority: len(clients) / 2", 0, ""},
	{"quorum-any-vote-holds", "the lock counts as held while any vote is left", "\tif h.phase == holding && h.count() < h.locker.majority {\n\t\th.end", "\tif h.phase == holding && h.count() < 1 {\n\t\th.end", 0, ""},
	{"quorum-lost-vote-stays", "a vote that is lost counts until the next request", "\tif !errors.Is(cause, redislock.ErrReleased) { // by this package", "\tif false && !errors.Is(cause, redislock.ErrReleased) {", 0, ""},
	{"quorum-release-forgets", "a release waits for one node alone", "\tgood, said := 0, make([]error, len(h.votes))\n", "\tgood, said := h.locker.majority-1, make([]error, len(h.votes))\n", 0, ""},
}

func (b bug) quorum() bool { return strings.HasPrefix(b.name, "quorum-") }
