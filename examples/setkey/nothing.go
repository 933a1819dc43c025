package main

import (
	"context"
	"iter"

	"github.com/racoon3/racoon/pfkey/setkey"
)

// nothing is the kernel of -n: it takes everything and has nothing.
type nothing struct{}

func (nothing) Add(context.Context, *setkey.SA) error                    { return nil }
func (nothing) Update(context.Context, *setkey.SA) error                 { return nil }
func (nothing) GetSPI(_ context.Context, sa *setkey.SA) (uint32, error)  { return sa.SPI, nil }
func (nothing) Get(_ context.Context, sa *setkey.SA) (*setkey.SA, error) { return sa, nil }
func (nothing) Delete(context.Context, *setkey.SA) error                 { return nil }
func (nothing) Flush(context.Context, setkey.Protocol) error             { return nil }
func (nothing) AddPolicy(context.Context, *setkey.Policy, bool) error    { return nil }
func (nothing) DeletePolicy(context.Context, *setkey.Policy) error       { return nil }
func (nothing) FlushPolicies(context.Context) error                      { return nil }
func (nothing) HasForward() bool                                         { return true }
func (nothing) Dump(context.Context, setkey.Protocol) iter.Seq2[*setkey.SA, error] {
	return func(func(*setkey.SA, error) bool) {}
}
func (nothing) DumpPolicies(context.Context) iter.Seq2[*setkey.Policy, error] {
	return func(func(*setkey.Policy, error) bool) {}
}
