// Package model has the lock's protocol as Promela models, and the tests that have spin look at every state of them:
// with all rules no promise is broken, and without any one rule one is. README.md says what is modelled.
package model
