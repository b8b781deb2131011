package main

import (
	"os"
	"syscall"
	"testing"
)

func TestARunInsideItselfIsToldThatItWaitsForItself(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.run("x", "--", os.Args[0], "run", "--prefix", f.prefix, "--no-wait", "x", "--", "true").
		ends(75, "held by the redislock run or cron that runs this one", "another name")
	p := f.run("x", "--", os.Args[0], "run", "--prefix", f.prefix, "x", "--", "true") // it would wait for ever, and there is no terminal
	p.says("waiting for \"x\", held by the redislock run or cron that runs this one")
	p.signal(syscall.SIGTERM)
	p.ends(128+15, "was ended by a signal")
	f.run("x", "--", os.Args[0], "run", "--prefix", f.prefix+"-other", "x", "--", "true").ends(0) // not the same lock
}
