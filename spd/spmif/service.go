package spmif

import (
	"context"
	"errors"
	"net/netip"
)

// Errors that [Policies], [Names] and [NameServers] tell with, and that those of
// a [Client] match.
var (
	ErrNotFound = errors.New("spmif: not found")
	ErrExists   = errors.New("spmif: exists already")
)

// A Peer is the process at the other end, as the system tells. Known is false
// where it does not.
type Peer struct {
	Known    bool
	UID, GID uint32
	PID      int32
}

// A ClientID names a connection.
type ClientID uint64

// Policies are the policies of a daemon. Errors other than this package's are
// logged, and told to the client as failed operations only. Its methods are
// called by several goroutines.
type Policies interface {
	// AddPolicy installs the policies of a selector of the configuration with
	// other addresses, in both directions, and returns the names of the two
	// selectors. ErrNotFound: there is no such selector.
	AddPolicy(ctx context.Context, c ClientID, r *Request) (out, in string, err error)
	// DeletePolicy takes that back; with r.Whole all of the name.
	DeletePolicy(ctx context.Context, c ClientID, r *Request) error
	// ListPolicies lists what is installed.
	ListPolicies(ctx context.Context) ([]PolicyID, error)
	// SelectorOf returns the selector of the kernel's number of a policy;
	// ErrNotFound if it is none of the daemon's.
	SelectorOf(ctx context.Context, id uint32) (string, error)
	// Migrate gives the policies of a selector other outer addresses.
	Migrate(ctx context.Context, r *Request) error
	// ClientGone is called when a client that has logged in is no longer there.
	// Orderly says that it has said so.
	ClientGone(c ClientID, orderly bool)
}

// A PolicyID is a selector and the kernel's number of one of its policies.
type PolicyID struct {
	Name string
	ID   uint32
}

// Names are the domain names that a daemon follows. They end in a dot.
type Names interface {
	Register(name string) error   // ErrExists
	Deregister(name string) error // ErrNotFound
	Registered() []string
	// NamesOf returns the names of an address, the best first.
	NamesOf(addr netip.Addr) []string
}

// NameServers are those that a DNS forwarder asks.
type NameServers interface {
	List() []netip.Addr // the one in use first
	Add(netip.Addr) error
	Delete(netip.Addr) error // not the last one
	Use(netip.Addr) error    // ErrNotFound
}

// Stats are what STAT tells.
type Stats struct {
	Queries, Responses           uint64 // from and to programs
	ProxyQueries, ProxyResponses uint64 // to and from name servers
	Expired, Duplicates          uint64
	Addresses, Names, Mappings   uint64 // in the cache
}

// statNames are the names of the counters, in racoon2's order.
var statNames = [...]string{"DNS QUERY", "DNS RESPONSE", "DNS QUERY PROXY", "DNS RESPONSE PROXY", "DNS EXPIRED QUERY", "DNS DUP QUERY",
	"CACHE IP ADDRESS", "CACHE FQDN", "CACHE TOTAL FQDN"}

func (s *Stats) fields() [len(statNames)]*uint64 {
	return [...]*uint64{&s.Queries, &s.Responses, &s.ProxyQueries, &s.ProxyResponses, &s.Expired, &s.Duplicates, &s.Addresses, &s.Names, &s.Mappings}
}
