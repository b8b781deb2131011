// Package bridge lets packages quorum and barrier reach what the root does not export. The root puts its side in when it is initialized,
// and each of them says in an interface of its own what it expects of it.
package bridge

// Root is the side of the root: a value with the methods that they name.
var Root any
