package torture

import (
	"net"
	"sync"

	"example.com/redislock/internal/conformance"
)

// compare lets the model of a lock execute the requests that the server executes, in the server's order. It compares the messages that
// the scripts publish and the fences that they write. The result says at the end where they differ. It works with a single server
// without TLS, until that restarts.
func (x *Run) compare() func() []string {
	if x.Server == nil || x.Unheard != "" || x.Connect(0).CA != "" {
		return func() []string { return nil }
	}
	x.Helper()
	const most = 5 // one difference may cause others
	conn, err := net.Dial("tcp", x.Server.Addr())
	if err != nil {
		x.Fatal(err)
	}
	var mu sync.Mutex
	var differences []string
	m, err := conformance.Monitor(conn, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if len(differences) < most {
			differences = append(differences, err.Error())
		}
	})
	if err != nil {
		x.Fatal(err)
	}
	x.Cleanup(m.Close)
	return func() []string {
		m.Close()
		accepted, skipped := m.Accepted()
		x.Logf("%d scripts were compared with the model, %d not", accepted, skipped)
		mu.Lock()
		defer mu.Unlock()
		return differences
	}
}
