//go:build !linux

package main

// keeperName is the name of no program: only Linux has keepers.
const keeperName = ""

func keep([]string) int { return exitCannotRun }

// start starts the command. Nothing ends it when we are killed: that is left to the lease and the fence.
func (what *command) start(env []string) (*child, error) { return what.startAlone(env) }
