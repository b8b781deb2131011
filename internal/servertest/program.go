package servertest

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
)

// Program runs f with what stands for a test, so that programs that are none can start servers: they end when f has
// returned, or when f fails by one of the methods, which is then the error.
func Program(f func(t testing.TB)) error {
	p := &program{}
	t := &lasting{TB: p}
	done := make(chan struct{})
	go func() { // Fatal ends its goroutine
		defer close(done)
		defer t.stop()
		f(t)
	}()
	<-done
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failure
}

// program has the methods of a test that are of use outside of one; any other panics.
type program struct {
	testing.TB // nil

	mu      sync.Mutex
	failure error
}

func (p *program) Helper() {}

func (p *program) Log(args ...any) { fmt.Fprintln(os.Stderr, args...) }

func (p *program) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (p *program) Error(args ...any) { p.fail(fmt.Sprint(args...)) }

func (p *program) Errorf(format string, args ...any) { p.fail(fmt.Sprintf(format, args...)) }

func (p *program) Fatal(args ...any) {
	p.fail(fmt.Sprint(args...))
	runtime.Goexit()
}

func (p *program) Fatalf(format string, args ...any) {
	p.fail(fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// Skip is for the tests of this package: a program is never asked to.
func (p *program) Skip(...any) { runtime.Goexit() }

func (p *program) Failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failure != nil
}

// fail keeps the first failure.
func (p *program) fail(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure == nil {
		p.failure = errors.New(text)
	}
}
