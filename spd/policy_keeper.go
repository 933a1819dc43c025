package spd

import "context"

// A PolicyKeeper is a [DataPlane] whose policies can outlive the program that
// has set them, as those of a kernel do. [Database] uses it to go on after a
// restart without a gap.
//
// A kernel does not say who has installed a policy. So what may be adopted is
// decided by two things together: the caller remembers it (see [PolicyStore]),
// and it is still there as this data plane installs it. What another program
// has put in its place is not touched.
type PolicyKeeper interface {
	// AdoptPolicies makes those of the policies that are installed the owner's,
	// as if SetPolicies had set them, and returns them. Of a policy that the
	// kernel has as several, the missing ones are added, and outer addresses
	// that differ are set. The owner must not have policies yet. An error
	// adopts nothing.
	AdoptPolicies(ctx context.Context, owner Owner, policies []Policy) ([]Policy, error)

	// AbandonPolicies forgets an owner, and leaves what nobody else owns
	// installed: Close does not remove it.
	AbandonPolicies(ctx context.Context, owner Owner) error

	// InstalledPolicies lists what is installed of this data plane's policies.
	InstalledPolicies(ctx context.Context) ([]InstalledPolicy, error)
}

// An InstalledPolicy is an entry of a kernel's SPD. One Policy may be several
// of them.
type InstalledPolicy struct {
	Policy    Policy
	Direction Direction // of the entry: Forward for the twin of an inbound one
	ID        uint32    // the kernel's number: PF_KEY's policy ID, XFRM's index
}
