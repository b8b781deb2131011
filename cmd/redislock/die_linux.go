package main

import "syscall"

// dieWithParent has the kernel kill the process when the thread that started it is gone, however that came.
func dieWithParent(attr *syscall.SysProcAttr) *syscall.SysProcAttr {
	attr.Pdeathsig = syscall.SIGKILL
	return attr
}
