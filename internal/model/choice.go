package model

import "strings"

// choices runs something with each answer that the server may have got for the channels whose receivers are not known.
func choices(known func(string) (int, bool), run func(subscribed func(string) bool)) {
	var decided []bool
	for {
		asked := map[string]bool{}
		n := 0
		run(func(channel string) bool {
			if count, ok := known(channel); ok {
				return count > 0
			}
			if answer, ok := asked[channel]; ok {
				return answer
			}
			if n == len(decided) {
				decided = append(decided, true)
			}
			asked[channel] = decided[n]
			n++
			return asked[channel]
		})
		decided = decided[:n]
		for n > 0 && !decided[n-1] {
			n--
		}
		if n == 0 {
			return
		}
		decided = decided[:n]
		decided[n-1] = false
	}
}

// receivers is what the server counted for a Client, if that is known.
func (c *Call) receivers(channel string) (int, bool) {
	n, ok := c.Receivers[channel]
	if !ok && strings.Contains(c.Keys[0], "{") {
		n, ok = c.Receivers[shardChannel(channel, c.Keys[0])]
	}
	return n, ok
}
