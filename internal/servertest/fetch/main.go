// Fetch brings the servers that people run into the cache of internal/servertest, from Debian's packages, and says which
// versions they are: all of them, or those that are named.
//
//	go run ./internal/servertest/fetch ["valkey 9.1" ...]
package main

import (
	"fmt"
	"os"

	"example.com/redislock/internal/servertest"
)

func main() {
	names := os.Args[1:]
	if len(names) == 0 {
		for _, k := range servertest.AllKnown {
			names = append(names, k.Name)
		}
	}
	failed := false
	for _, name := range names {
		program, version, err := servertest.Fetch(name)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			failed = true
			continue
		}
		fmt.Printf("%-14s %-8s %s\n", name, version, program[len(program)-1])
	}
	if failed {
		os.Exit(1)
	}
}
