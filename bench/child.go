package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"

	"example.com/redislock/bench/internal/peer"
)

// roles are the functions of this program by its first argument, for parts that must not be in the process that
// measures.
var roles = map[string]func(ctx context.Context, args []string, in io.Reader, out io.Writer) error{
	roleHold:    hold,
	roleWait:    await,
	roleCompete: compete,
}

// child is this program in one of its roles.
type child struct {
	in  io.Writer // open for as long as this process lives, unless the child ends first
	out *bufio.Reader

	cmd  *exec.Cmd
	once sync.Once
}

// startChild starts it. It is killed when ctx ends.
func startChild(ctx context.Context, args ...string) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &child{in: in, out: bufio.NewReader(out), cmd: cmd}, cmd.Start()
}

// ready waits until the child says that it is.
func (c *child) ready() error {
	line, err := c.out.ReadString('\n')
	if err == nil && line != readyLine {
		err = fmt.Errorf("a child says %q", line)
	}
	return err
}

const readyLine = "ready\n"

// kill returns when the process is gone; its connections are then closed.
func (c *child) kill() {
	c.once.Do(func() {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait() // the error says that it was killed, as was intended
	})
}

// opened is the client that the arguments of a child name: a peer and an address.
func opened(args []string, o peer.Options) (peer.Locker, error) {
	if len(args) != 2 {
		return nil, errors.New("a peer and an address are wanted")
	}
	peers := peer.Everywhere()
	i := slices.IndexFunc(peers, func(p peer.Peer) bool { return p.Name == args[0] })
	if i < 0 {
		return nil, fmt.Errorf("no peer %q", args[0])
	}
	return peers[i].Open(args[1], o)
}
