package main

import "golang.org/x/sys/windows"

// errRefused is the system's word for an address where nobody listens; syscall.ECONNREFUSED is none that Windows says.
const errRefused = windows.WSAECONNREFUSED
