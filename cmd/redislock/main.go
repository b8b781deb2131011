// Command redislock takes locks in Redis from the command line: it runs a command while it holds a lock, once in the
// whole fleet, or by a schedule and once per tick, and shows on this machine what the locks promise. It is for Unix,
// where a command has signals and a process group.
package main

import "os"

func main() {
	if len(os.Args) > 4 && os.Args[0] == keeperName {
		os.Exit(keep(os.Args[1:]))
	}
	os.Exit(Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
