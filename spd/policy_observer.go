package spd

import "context"

// A PolicyObserver is a [DataPlane] on a kernel in which other programs set
// policies too: a policy daemon, or an administrator. Who only installs SAs for
// such policies, as racoon and racoon2 do, has to know what they ask for.
type PolicyObserver interface {
	// ForeignPolicies returns the policies in force that this data plane has not
	// set, in the order in which packets meet them. Their Priority is the
	// kernel's, and fields that the kernel does not tell, or a Policy cannot say,
	// are as in a policy of this package that means the same.
	ForeignPolicies(ctx context.Context) ([]InstalledPolicy, error)

	// AcquireReqID returns the ReqID that the policy behind an acquire asks for,
	// 0 for an SA of any; false if no such acquire is under way.
	AcquireReqID(id AcquireID) (reqID uint32, ok bool)
}

// A DisplacedStore remembers across restarts the policies of others that a data
// plane has put its own ones in the place of: a kernel has room for one policy
// of a selector. They are put back when the own ones go, in a later life too.
// What is stored is the data plane's business. Package spd/statefile keeps it in
// a file. Calls come one at a time.
type DisplacedStore interface {
	// Load returns what is in the store, by place.
	Load() (map[string][]byte, error)
	// Put remembers what was in a place; it returns once that will outlive the
	// program. Content of the place that is there is replaced.
	Put(place string, content []byte) error
	// Remove forgets a place.
	Remove(place string) error
}
