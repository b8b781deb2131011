package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// program is one redislock process. It has no controlling terminal.
type program struct {
	f      *fixture
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr transcript
}

// transcript is the output of a program until now.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// start starts redislock in the fixture's directory. Its standard output is read line by line, until all processes
// that could write to it have ended.
func (f *fixture) start(args ...string) *program {
	f.Helper()
	return f.launch(os.Args[0], args...)
}

// launch is start through another program, such as a shell that prepares something.
func (f *fixture) launch(name string, args ...string) *program {
	f.Helper()
	p := &program{f: f, cmd: exec.Command(name, args...)}
	// The race detector would sleep for a second at each exit. A race shows as the exit status 66.
	p.cmd.Env = append(os.Environ(), asProgram+"=1", "REDIS_URL="+f.url, "GORACE=atexit_sleep_ms=0")
	p.cmd.Dir = f.dir
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = ownSession()
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		f.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		f.Fatal(err)
	}
	p.stdin, p.stdout = stdin, bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { killSession(p.cmd.Process) }) // it leads its session, or has ended
	return p
}

// run starts "redislock run" under the fixture's prefix.
func (f *fixture) run(args ...string) *program {
	f.Helper()
	return f.start(append([]string{"run", "--prefix", f.prefix}, args...)...)
}

// runScript runs a shell under the lock "x". The shell sets traps, prints that it is ready, and goes on until a trap
// ends it. Its own messages about processes that a signal ended are left out. runScript returns when the shell is
// ready.
func (f *fixture) runScript(flags []string, traps ...string) *program {
	f.Helper()
	p := f.run(append(flags, "x", "--", "sh", "-c", "exec 2>/dev/null; "+strings.Join(traps, "; ")+"; echo ready; while :; do sleep 0.02; done")...)
	p.line()
	return p
}

// line waits for the next line of standard output.
func (p *program) line() string {
	p.f.Helper()
	text, err := p.stdout.ReadString('\n')
	if err != nil {
		_ = p.cmd.Wait()
		p.f.Fatalf("no line on standard output: %v; standard error: %s", err, p.stderr.String())
	}
	return strings.TrimSuffix(text, "\n")
}

// says waits until standard error has this text, and returns all of it.
func (p *program) says(text string) string {
	p.f.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		said := p.stderr.String()
		if strings.Contains(said, text) {
			return said
		}
		if time.Now().After(deadline) {
			p.f.Fatalf("%v: standard error is %q, want it to say %q", p.cmd.Args[1:], said, text)
		}
	}
}

func (p *program) signal(sig syscall.Signal) {
	p.f.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.f.Fatal(err)
	}
}

// wait waits for the end of everything that could write to standard output, and of the program.
func (p *program) wait() (status int, stdout, stderr string) {
	p.f.Helper()
	rest, err := io.ReadAll(p.stdout)
	if err != nil {
		p.f.Fatal(err)
	}
	_ = p.cmd.Wait() // the status has the result
	if how := p.cmd.ProcessState.Sys().(syscall.WaitStatus); how.Signaled() {
		return -int(how.Signal()), string(rest), p.stderr.String()
	}
	return p.cmd.ProcessState.ExitCode(), string(rest), p.stderr.String()
}

// ends checks the exit status, and that standard error has all of these messages, each on its own line.
func (p *program) ends(want int, says ...string) (stdout string) {
	p.f.Helper()
	status, stdout, stderr := p.wait()
	if status != want {
		p.f.Errorf("%v: exit status %d, want %d; standard error: %s", p.cmd.Args[1:], status, want, stderr)
	}
	for _, text := range says {
		if !strings.Contains(stderr, text) {
			p.f.Errorf("%v: standard error is %q, want it to say %q", p.cmd.Args[1:], stderr, text)
		}
	}
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "redislock: ") {
			p.f.Errorf("%v: a line on standard error that does not begin with the program's name: %q", p.cmd.Args[1:], line)
		}
	}
	if len(says) == 0 && stderr != "" {
		p.f.Errorf("%v: standard error is %q, want nothing", p.cmd.Args[1:], stderr)
	}
	return stdout
}
