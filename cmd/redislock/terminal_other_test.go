//go:build !linux

package main

// screen is a terminal. The tests can make one on Linux only.
type screen struct{}

func (f *fixture) atTerminal(...string) *screen {
	f.Fatal("a terminal is made on Linux only")
	return nil
}

func (*screen) shows(string) string { return "" }

func (*screen) typed(string) {}

func (*screen) ends(int) string { return "" }
