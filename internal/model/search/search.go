// Package search visits the states of a model, all of them or until one violates something.
package search

import (
	"fmt"
	"slices"
	"strings"
)

// Step leads from one state to the next.
type Step[S any] struct {
	What  string
	To    S
	Fault string // what the next state violates; empty if nothing
}

// Found is what a search came to.
type Found[S any] struct {
	States int
	Fault  string // of one of the nearest states that violate something; empty if there is none
	At     S
	Steps  []string
}

// Whole visits every state that can be reached from start, breadth first, until one violates something. The key of a state is
// what tells it from others. steps are those from a state, and what that violates by having no others.
func Whole[S any, K comparable](start S, key func(S) K, steps func(S) (next []Step[S], stuck string)) Found[S] {
	type visited struct {
		from int32 // -1 of the first
		what string
	}
	seen := map[K]struct{}{key(start): {}}
	queue, all := []S{start}, []visited{{-1, ""}}
	for n := int32(0); len(queue) > 0; n++ {
		at := queue[0]
		clear(queue[:1]) // it may be large
		queue = queue[1:]
		found := func(fault string, at S, last ...string) Found[S] {
			f := Found[S]{States: len(seen), Fault: fault, At: at, Steps: last}
			for i := n; all[i].from >= 0; i = all[i].from {
				f.Steps = append(f.Steps, all[i].what)
			}
			slices.Reverse(f.Steps)
			return f
		}
		next, stuck := steps(at)
		for _, s := range next {
			if s.Fault != "" {
				return found(s.Fault, s.To, s.What)
			}
			k := key(s.To)
			if _, known := seen[k]; !known {
				seen[k] = struct{}{}
				queue, all = append(queue, s.To), append(all, visited{n, s.What})
			}
		}
		if stuck != "" {
			return found(stuck, at)
		}
	}
	return Found[S]{States: len(seen)}
}

func (f Found[S]) String() string {
	if f.Fault == "" {
		return "none"
	}
	return fmt.Sprintf("%s\nafter\n  %s\nin\n%v", f.Fault, strings.Join(f.Steps, "\n  "), f.At)
}
