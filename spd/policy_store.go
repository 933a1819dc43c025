package spd

// A PolicyStore remembers across restarts which policies a [Database] has
// installed. Package spd/statefile keeps it in a file.
//
// It is written ahead: a policy is in the store before it is in the data plane,
// and leaves it afterwards. So the store never knows less than there is; what
// it knows too much is not found when it is to be adopted. Calls come one at a
// time.
type PolicyStore interface {
	// Load returns what is in the store.
	Load() ([]StoredPolicy, error)
	// Add puts policies in; one that is there is replaced.
	Add([]StoredPolicy) error
	// Remove takes policies out.
	Remove([]Policy) error
}

// A StoredPolicy is a policy with what is known of it.
type StoredPolicy struct {
	Policy
	Name      string // of the rule
	Generated bool   // by [Database.Generate]
}
