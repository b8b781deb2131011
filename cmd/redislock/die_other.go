//go:build !linux

package main

import "syscall"

// dieWithParent changes nothing: only Linux ends a process with its parent. The lease bounds how long a command that
// was orphaned is alone, and its fence protects what is written after that.
func dieWithParent(attr *syscall.SysProcAttr) *syscall.SysProcAttr { return attr }
