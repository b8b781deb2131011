package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/redis/go-redis/v9"
)

// The class of each error: it passes in a moment, somebody must mend it, or it stays for good. For the last two, also who
// refused.
func TestErrorsAreJudgedByWhatTheyMean(t *testing.T) {
	type kind struct{ transient, permanent, refused, damaged, answered bool }
	network, passing := kind{transient: true}, kind{transient: true, answered: true}
	mended, final := kind{answered: true}, kind{permanent: true, answered: true}
	denied, broken := kind{answered: true, refused: true}, kind{answered: true, permanent: true, damaged: true}
	for err, want := range map[error]kind{
		io.EOF: network,
		&net.OpError{Op: "dial", Err: errors.New("connection refused")}: network,
		redis.ErrPoolTimeout: network,
		redis.ErrClosed:      {}, // it may come from a node that has left the cluster
		ErrOrphaned:          {permanent: true},
		ErrClosed:            {permanent: true},

		refusal("LOADING Redis is loading the dataset in memory"):                                                                 passing,
		refusal("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."):                         passing,
		refusal("READONLY You can't write against a read only replica. script: 3c5e, on @user_script:3."):                         passing,
		refusal("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."):                               passing,
		refusal("NOREPLICAS Not enough good replicas to write."):                                                                  passing,
		refusal("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"):                   passing,
		refusal("CLUSTERDOWN Hash slot not served"):                                                                               passing,
		refusal("TRYAGAIN Multiple keys request during rehashing of slot"):                                                        passing,
		refusal("MOVED 3999 127.0.0.1:6381"):                                                                                      passing,
		refusal("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."):               passing,
		refusal("OOM command not allowed when used memory > 'maxmemory'."):                                                        passing,
		refusal("ERR Error running script (call to f_3c5e): @user_script:3: @user_script: 3: -OOM command not allowed when used"): passing,
		refusal("ERR max number of clients reached"):                                                                              passing,

		refusal("NOAUTH Authentication required."):                                                            mended,
		refusal("WRONGPASS invalid username-password pair or user is disabled."):                              mended,
		refusal("DENIED Redis is running in protected mode"):                                                  mended,
		refusal("ERR DB index is out of range"):                                                               mended,
		refusal("EXECABORT Transaction discarded because of previous errors."):                                mended,
		refusal("ERR Error running script (call to f_3c5e): @user_script:3: Script killed by user with KILL"): mended,
		refusal("ERR upstream failure"):                                                                       mended,

		refusal("NOPERM User app has no permissions to run the 'evalsha' command"):                                                     denied,
		refusal("ERR The user executing the script can't run this command or subcommand script: 3c5e, on @user_script:4."):             denied,
		refusal("ERR ACL failure in script: User app has no permissions to run the 'hset' command script: 3c5e, on @user_script:4."):   denied,
		refusal("ERR Error running script (call to f_3c5e): @user_script:4: @user_script: 4: -NOPERM this user has no permissions to"): denied,

		refusal("ERR unknown command 'evalsha', with args beginning with: "):                                  final,
		refusal("ERR unknown subcommand 'shardnumsub'. Try PUBSUB HELP."):                                     final,
		refusal("ERR Unknown subcommand or wrong number of arguments for 'shardnumsub'. Try PUBSUB HELP."):    final, // Redis 6
		refusal("ERR Could not find scripting engine 'lua'"):                                                  final, // Valkey 9.1
		refusal("CROSSSLOT Keys in request don't hash to the same slot"):                                      final,
		refusal("WRONGTYPE Operation against a key holding the wrong kind of value script: 3c5e"):             broken,
		refusal("ERR user_script:17: attempt to compare nil with number script: 3c5e, on @user_script:17."):   broken,
		refusal("ERR Error running script (call to f_3c5e): @user_script:5: user_script:5: attempt to index"): broken,
	} {
		for _, err := range []error{err, fmt.Errorf("acquire: %w", err)} {
			if got := (kind{Transient(err), Permanent(err), Refused(err), Damaged(err), Answered(err)}); got != want {
				t.Errorf("%q is %+v, want %+v", err, got, want)
			}
		}
	}
}

// refusal is an answer of a server.
type refusal string

func (r refusal) Error() string { return string(r) }
func (refusal) RedisError()     {}
