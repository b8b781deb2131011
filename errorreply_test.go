package redislock

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/redis/go-redis/v9"
)

type said string

func (e said) Error() string { return string(e) }
func (said) RedisError()     {}

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
		redis.ErrClosed:      {permanent: true},

		said("LOADING Redis is loading the dataset in memory"):                                                                 passing,
		said("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."):                         passing,
		said("READONLY You can't write against a read only replica. script: 3c5e, on @user_script:3."):                         passing,
		said("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."):                               passing,
		said("NOREPLICAS Not enough good replicas to write."):                                                                  passing,
		said("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"):                   passing,
		said("CLUSTERDOWN Hash slot not served"):                                                                               passing,
		said("TRYAGAIN Multiple keys request during rehashing of slot"):                                                        passing,
		said("MOVED 3999 127.0.0.1:6381"):                                                                                      passing,
		said("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."):               passing,
		said("OOM command not allowed when used memory > 'maxmemory'."):                                                        passing,
		said("ERR Error running script (call to f_3c5e): @user_script:3: @user_script: 3: -OOM command not allowed when used"): passing,
		said("ERR max number of clients reached"):                                                                              passing,

		said("NOAUTH Authentication required."):                                                            mended,
		said("WRONGPASS invalid username-password pair or user is disabled."):                              mended,
		said("DENIED Redis is running in protected mode"):                                                  mended,
		said("ERR DB index is out of range"):                                                               mended,
		said("EXECABORT Transaction discarded because of previous errors."):                                mended,
		said("ERR Error running script (call to f_3c5e): @user_script:3: Script killed by user with KILL"): mended,
		said("ERR upstream failure"):                                                                       mended,

		said("NOPERM User app has no permissions to run the 'evalsha' command"):                                                     denied,
		said("ERR The user executing the script can't run this command or subcommand script: 3c5e, on @user_script:4."):             denied,
		said("ERR ACL failure in script: User app has no permissions to run the 'hset' command script: 3c5e, on @user_script:4."):   denied,
		said("ERR Error running script (call to f_3c5e): @user_script:4: @user_script: 4: -NOPERM this user has no permissions to"): denied,

		said("ERR unknown command 'evalsha', with args beginning with: "):                                  final,
		said("ERR unknown subcommand 'shardnumsub'. Try PUBSUB HELP."):                                     final,
		said("CROSSSLOT Keys in request don't hash to the same slot"):                                      final,
		said("WRONGTYPE Operation against a key holding the wrong kind of value script: 3c5e"):             broken,
		said("ERR user_script:17: attempt to compare nil with number script: 3c5e, on @user_script:17."):   broken,
		said("ERR Error running script (call to f_3c5e): @user_script:5: user_script:5: attempt to index"): broken,
	} {
		for _, err := range []error{err, fmt.Errorf("acquire: %w", err)} {
			if got := (kind{transient(err), permanent(err), refused(err), damaged(err), answered(err)}); got != want {
				t.Errorf("%q is %+v, want %+v", err, got, want)
			}
		}
	}
}
