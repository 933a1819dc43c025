package ike

import "context"

// JobKind says what a job does, for logs, limits and tests.
type JobKind uint8

// Kinds of jobs.
const (
	JobKeyExchange JobKind = iota // generate or respond to a key exchange, and derive
	JobSign                       // private key operation
	JobVerify                     // build a certificate path and verify a signature
	JobCredential                 // look up a pre-shared key or credential
	JobAuthorize                  // ask the program about a peer
	JobNarrow                     // ask the program about selectors
	JobAddress                    // lease or release an internal address
	JobAllocSPI                   // reserve inbound SPIs
	JobInstall                    // install SAs or policies
	JobRemove                     // remove SAs or policies
	JobQuery                      // read counters
	JobMove                       // change the outer addresses of SAs
	JobAcquireDone                // answer an acquire
	JobUser                       // ask the UserAuthenticator about a user
	JobPrompt                     // ask the user of this side; a person may take minutes
	JobAccount                    // tell UserAccounting
	JobTicket                     // get a Kerberos ticket
	jobKinds
)

var jobNames = [jobKinds]string{"key-exchange", "sign", "verify", "credential", "authorize", "narrow",
	"address", "alloc-spi", "install", "remove", "query", "move", "acquire-done", "user", "prompt", "account", "ticket"}

func (k JobKind) String() string {
	if k < jobKinds {
		return jobNames[k]
	}
	return "unknown"
}

// JobID identifies a job within its core. IDs are never used twice, so they
// are the generation that tells a stale result from a live one.
type JobID uint64

// A Job is work that may be slow: it leaves the core, is run anywhere, and
// comes back as a Result. Run is safe to call from any goroutine, once.
//
// A driver runs jobs with the same non-zero Order one after the other, in the
// order in which it got them; other jobs in any order, as many at a time as it
// likes.
type Job struct {
	ID    JobID
	Kind  JobKind
	Order uint64
	Run   func(ctx context.Context) (any, error)
}

// Do runs the job and returns its result.
func (j Job) Do(ctx context.Context) Result {
	v, err := j.Run(ctx)
	return Result{ID: j.ID, Value: v, Err: err}
}

// A Result is what a Job came to. A core ignores results that it no longer
// waits for, after wiping or releasing what they hold.
type Result struct {
	ID    JobID
	Value any
	Err   error
}
