// Package model has the protocol of the lock as Promela models, and tests that let spin look at every state of them.
// With all rules no promise is broken. Without any one of the rules a promise is broken. README.md says what is
// modelled.
package model
