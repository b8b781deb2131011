package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// On Linux a keeper stands between us and the command: a process of this same program that does nothing but start the command,
// tell how it ended, and end everything that the command has started when we are gone without a word, as by SIGKILL. The kernel
// makes it the parent of all processes that are orphaned below it (PR_SET_CHILD_SUBREAPER), so none escapes by a process group or
// a session of its own. If the keeper itself is killed, the kernel kills the command (PR_SET_PDEATHSIG), and we see it end.
//
//	redislock ── socket ── keeper ── COMMAND ── whatever it starts
//
// The keeper says "started PID" or "failed ERRNO", and then "ended STATUS"; we say "done" when it may go.

// keeperName is what the program is called as a keeper, in place of its own name.
const keeperName = "redislock (keeper)"

// firstOwn is from where on we number descriptors that a keeper inherits: the small ones may be the user's, as those of make.
const firstOwn = 100

// start starts the command by a keeper, or without one where the system has no /proc.
func (what *command) start(env []string) (*child, error) {
	if _, err := os.Stat("/proc/self/exe"); err != nil {
		return what.startAlone(env)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, cannotRun(what.argv[0], err)
	}
	ours := os.NewFile(uintptr(pair[0]), "keeper")
	theirs, err := unix.FcntlInt(uintptr(pair[1]), unix.F_DUPFD, firstOwn)
	_ = unix.Close(pair[1])
	if err != nil {
		_ = ours.Close()
		return nil, cannotRun(what.argv[0], err)
	}
	group := strconv.FormatBool(what.terminal == nil)
	c := &child{
		cmd: &exec.Cmd{
			Path: "/proc/self/exe", Args: append([]string{keeperName, strconv.Itoa(theirs), group, what.path}, what.argv...),
			Env: env, Stdin: what.stdin, Stdout: what.stdout, Stderr: what.stderr,
		},
		ended: make(chan struct{}), terminal: what.terminal,
	}
	err = c.cmd.Start()
	_ = unix.Close(theirs)
	if err != nil {
		_ = ours.Close()
		return nil, cannotRun(what.argv[0], err)
	}
	c.release = func() {
		_, _ = io.WriteString(ours, "done\n") // it may be gone
		_ = ours.Close()
		_ = c.cmd.Wait() // the command's own end was told
	}
	var word string
	var number int
	if _, err := fmt.Fscanln(ours, &word, &number); err != nil || word != "started" {
		c.release()
		if word == "failed" {
			return nil, cannotRun(what.argv[0], syscall.Errno(number))
		}
		return nil, cannotRun(what.argv[0], fmt.Errorf("its keeper has ended: %w", errors.Join(err, unix.ESRCH)))
	}
	c.pid = number
	go func() {
		defer close(c.ended)
		if _, err := fmt.Fscanln(ours, &word, &number); err != nil || word != "ended" {
			number = int(unix.SIGKILL) // the keeper was killed, and so was the command
		}
		c.how = syscall.WaitStatus(number)
	}()
	return c, nil
}

// keep is the life of a keeper; args are as start has them.
func keep(args []string) int {
	fd, _ := strconv.Atoi(args[0])
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return exitCannotRun
	}
	boss := os.NewFile(uintptr(fd), "redislock")
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) // without it only the command's group is ended
	runtime.LockOSThread()                                  // the system takes the thread that starts a process for its parent
	signals := make(chan os.Signal, 1)
	for _, sig := range passedOn { // those of the keyboard are not for the keeper; the command gets them as ever
		if !signal.Ignored(sig) {
			signal.Notify(signals, sig)
		}
	}
	command, err := os.StartProcess(args[2], args[3:], &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   dieWithParent(inGroup(args[1] == "true")),
	})
	if err != nil {
		errno := syscall.Errno(unix.ENOENT)
		errors.As(err, &errno)
		_, _ = fmt.Fprintln(boss, "failed", int(errno))
		return exitCannotRun
	}
	_, _ = fmt.Fprintln(boss, "started", command.Pid)
	for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} { // who reads what the command writes waits for its end alone
		_ = f.Close()
	}
	go func() { // the command's end is told, and what is orphaned is collected, until all are gone
		for {
			var how syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &how, 0, nil)
			switch {
			case pid == command.Pid:
				_, _ = fmt.Fprintln(boss, "ended", int(how))
			case errors.Is(err, syscall.ECHILD):
				return
			}
		}
	}()
	var word string
	if _, err := fmt.Fscanln(boss, &word); err == nil && word == "done" {
		return 0
	}
	endAll(command.Pid, args[1] == "true")
	return 0
}

// endAll kills all processes below this one until there are none: those that are orphaned by that become its own children.
func endAll(pid int, group bool) {
	for {
		if group {
			_ = unix.Kill(-pid, unix.SIGKILL) // it may be empty
		}
		children, _ := childrenOf(os.Getpid())
		for _, child := range children {
			_ = unix.Kill(child, unix.SIGKILL) // it may have ended
		}
		if len(children) == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// childrenOf are the processes whose parent that is, those that nobody has collected among them.
func childrenOf(parent int) (pids []int, err error) {
	entries, err := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pids = append(pids, pid)
		}
	}
	return pids, err
}
