// Command redislock takes locks in Redis from the command line: it runs a command while it holds a lock, once in the
// whole fleet, or by a schedule and once per tick, and shows on this machine what the locks promise. On Windows, which has
// neither signals nor process groups, a command that must end is ended at once (child_windows.go).
package main

import "os"

func main() {
	if len(os.Args) > 4 && os.Args[0] == keeperName {
		os.Exit(keep(os.Args[1:]))
	}
	os.Exit(Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
