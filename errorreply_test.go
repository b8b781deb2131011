package redislock

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Each error is what it means: over in a moment, to be mended by somebody, or there for good; and of the last two, whose refusal
// it is.
func TestErrorsAreJudgedByWhatTheyMean(t *testing.T) {
	type kind struct{ transient, permanent, refused, damaged, answered bool }
	network, passing := kind{transient: true}, kind{transient: true, answered: true}
	mended, final := kind{answered: true}, kind{permanent: true, answered: true}
	denied, broken := kind{answered: true, refused: true}, kind{answered: true, permanent: true, damaged: true}
	for err, want := range map[error]kind{
		io.EOF: network,
		&net.OpError{Op: "dial", Err: errors.New("connection refused")}: network,
		redis.ErrPoolTimeout: network,
		redis.ErrClosed:      {}, // it may be that of a node which has left the cluster
		errOrphaned:          {permanent: true},
		ErrClosed:            {permanent: true},

		serverError("LOADING Redis is loading the dataset in memory"):                                                                 passing,
		serverError("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."):                         passing,
		serverError("READONLY You can't write against a read only replica. script: 3c5e, on @user_script:3."):                         passing,
		serverError("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."):                               passing,
		serverError("NOREPLICAS Not enough good replicas to write."):                                                                  passing,
		serverError("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"):                   passing,
		serverError("CLUSTERDOWN Hash slot not served"):                                                                               passing,
		serverError("TRYAGAIN Multiple keys request during rehashing of slot"):                                                        passing,
		serverError("MOVED 3999 127.0.0.1:6381"):                                                                                      passing,
		serverError("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."):               passing,
		serverError("OOM command not allowed when used memory > 'maxmemory'."):                                                        passing,
		serverError("ERR Error running script (call to f_3c5e): @user_script:3: @user_script: 3: -OOM command not allowed when used"): passing,
		serverError("ERR max number of clients reached"):                                                                              passing,

		serverError("NOAUTH Authentication required."):                                                            mended,
		serverError("WRONGPASS invalid username-password pair or user is disabled."):                              mended,
		serverError("DENIED Redis is running in protected mode"):                                                  mended,
		serverError("ERR DB index is out of range"):                                                               mended,
		serverError("EXECABORT Transaction discarded because of previous errors."):                                mended,
		serverError("ERR Error running script (call to f_3c5e): @user_script:3: Script killed by user with KILL"): mended,
		serverError("ERR upstream failure"):                                                                       mended,

		serverError("NOPERM User app has no permissions to run the 'evalsha' command"):                                                     denied,
		serverError("ERR The user executing the script can't run this command or subcommand script: 3c5e, on @user_script:4."):             denied,
		serverError("ERR ACL failure in script: User app has no permissions to run the 'hset' command script: 3c5e, on @user_script:4."):   denied,
		serverError("ERR Error running script (call to f_3c5e): @user_script:4: @user_script: 4: -NOPERM this user has no permissions to"): denied,

		serverError("ERR unknown command 'evalsha', with args beginning with: "):                                  final,
		serverError("ERR unknown subcommand 'shardnumsub'. Try PUBSUB HELP."):                                     final,
		serverError("CROSSSLOT Keys in request don't hash to the same slot"):                                      final,
		serverError("WRONGTYPE Operation against a key holding the wrong kind of value script: 3c5e"):             broken,
		serverError("ERR user_script:17: attempt to compare nil with number script: 3c5e, on @user_script:17."):   broken,
		serverError("ERR Error running script (call to f_3c5e): @user_script:5: user_script:5: attempt to index"): broken,
	} {
		for _, err := range []error{err, fmt.Errorf("acquire: %w", err)} {
			if got := (kind{transient(err), permanent(err), refused(err), damaged(err), answered(err)}); got != want {
				t.Errorf("%q is %+v, want %+v", err, got, want)
			}
		}
	}
}
