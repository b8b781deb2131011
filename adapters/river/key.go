package riverlock

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// ByArgs is the key of [Unique] unless another is given: the kind of the job and a hash of its arguments as PostgreSQL
// keeps them, as in "river/unique/sync_account/2c26b46b68ffc68ff99b453c1d304134". Queue, ID and metadata play no part.
func ByArgs(job *rivertype.JobRow) string {
	sum := sha256.Sum256(job.EncodedArgs)
	return fmt.Sprintf("river/unique/%s/%x", job.Kind, sum[:16])
}

// ByJob is the key of [Once] unless another is given. It names this one job, as in
// "river/job/sync_account/42/1795286400000000": its kind, its ID, and the time of its creation in µs, since another
// database may have given the same ID. [redislock.Client.OnceReset] with it lets the job be done again, for instance a
// completed one that an operator wants to retry.
func ByJob(job *rivertype.JobRow) string {
	return fmt.Sprintf("river/job/%s/%d/%d", job.Kind, job.ID, job.CreatedAt.UnixMicro())
}

// By returns a function that makes a key of a job's arguments. It is for jobs of the kind of T and its aliases. For a job
// of another kind, and for arguments that are no T, the key is empty, and the job fails with [redislock.ErrInvalid].
func By[T river.JobArgs](name func(args T) string) func(*rivertype.JobRow) string {
	var none T
	kinds := []string{none.Kind()}
	if more, ok := any(none).(river.JobArgsWithKindAliases); ok {
		kinds = append(kinds, more.KindAliases()...)
	}
	return func(job *rivertype.JobRow) string {
		var args T
		if !slices.Contains(kinds, job.Kind) || json.Unmarshal(job.EncodedArgs, &args) != nil {
			return ""
		}
		return name(args)
	}
}
