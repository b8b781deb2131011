// Package torture attacks the promises of docs/guarantees.md on real servers: a row of the matrix is a fault, done to
// eight or more processes that fight for the same locks, or to the servers they use, and what must hold all the same.
//
// # How to add a row
//
// A row is a test that calls [Play]; its name says the promise:
//
//	func TestAKilledHoldersLockPassesOnWhenItsLeaseEnds(t *testing.T) {
//		Play(t, Row{
//			Fault:   "holder killed",
//			Promise: "Two sentences for the report: what is promised there. What it rests on.",
//			Load:    Load{Lease: time.Second},
//			Inject: func(x *Run) {
//				for x.Every(300 * time.Millisecond) {
//					w := x.Workers()[0]
//					x.Hold(w, "a", "exclusive")
//					x.Fault("a holder was killed", "a")
//					x.Kill(w)
//					x.Replace()
//				}
//			},
//		})
//	}
//
// [Play] starts the servers ([Row.Topology]) and the workers, and waits until all of them hold or wait and each lock was
// held. Inject runs for 2.5 s, or 18 s with TORTURE=full ([Row.Short], [Row.Full]); use [Run.Every] or [Run.Injecting] to
// end in time, also in goroutines of your own, which Inject must wait for. Then the load goes on without faults until
// each lock that a fault was about has been granted again, 1.5 s at least. Then the workers stop, and all is judged.
//
// What an injector has: [Run.Fault] (call it just before each fault: it is counted, and recovery is measured from it to
// the next grant of the locks it names, or of all), [Run.Loss] for what makes a server forget, [Run.Hold] and [Run.Drop] to
// make a given worker hold a lock, [Run.Granted], [Run.Inspect], [Run.Holder], [Worker.Holds] and [Worker.Waits] to look,
// [Run.Kill], [Run.Replace], [Run.Pause], [Run.Resume], [Run.Storm] and [Run.Cancel] for many waiters, [Run.Eventually],
// [Run.Key], [Run.Client] (for Break), and the [Site]: Server (signals, restart), Proxy (lost and held
// replies, half-open connections; match scripts by [Requests]), Admin (a connection around every fault, for CONFIG SET,
// FLUSHALL, SCRIPT FLUSH, CLIENT KILL). The Run is also the *testing.T.
//
// The topology is any func(t) *[Site]: [OneServer] and [Proxied] are here; others fill Connect for each worker (plain, Sentinel,
// cluster, TLS, RESP 2 or 3, timeouts), Admin, and what their injectors need in More. [OverQuorum] is three servers of a quorum:
// it fills Nodes and Admins, and the workers take their locks by a Locker. Such a row says besides how fair it was
// ([Run.Remark]); its scripts are not compared with the model, which internal/simulation does.
//
// The [Load] says how many processes and callers, which names in which mixes of modes (four names in three mixes unless
// set: a and b exclusive, c read and write, d a semaphore), lease, times, and how many calls are tries or are cancelled.
//
// # What is checked in every row
//
//  1. No two incompatible holds at one time (I1): from the grant, by its fence, which is the server's clock, until the last
//     time for which the handle is known to have counted as held, or for a process that was killed or stopped, until the
//     deadline which the server last told. The server itself is asked all the time, for holds that are in no log.
//  2. Fences rise with the grants (I2), and the register accepts no lower one after a greater.
//  3. The history of each lock is linearizable; a hold that ends by itself may end from the time at which it can have
//     lapsed.
//  4. Nobody waited for longer than [Row.Bound] for a lock that nobody had; each fault was followed by a grant.
//  5. At the end each lock is idle, and its key expires.
//  6. No goroutine is left in any worker, nor here; each Client closes.
//  7. No call fails but for what the row allows ([Row.Unreachable]).
//
// A row with [Row.Physics] may lose data, by [Run.Loss]: what two believed because of that is measured, not forbidden. What
// is not because of that stays forbidden, and the register still refuses every stale write.
//
// Where TORTURE_REPORT names a file, each row appends its [Result] to it, for torture/report.
package torture
