// Package conf reads the configuration file of the daemons: one TOML file for
// iked, kinkd, spmd and their tools.
//
//	c, err := conf.Load("/etc/racoon/racoon.toml")   // conf.Errors: all mistakes, each with its place
//	for _, w := range c.Warnings { log.Print(w) }
//	cfg, err := c.Manager()                          // reads keys and secrets
//	cfg.DataPlane, cfg.Logger = plane, logger
//	m, err := racoon.NewManager(cfg)
//
// [Load] and [Parse] need no privileges, no kernel, no key files and no
// accounts: what they return is the configuration as it is in effect, with
// macros, inheritance and defaults resolved, which [Config.WriteEffective]
// prints. Only [Config.Manager] and a [Store] read secrets.
//
// # How a file becomes a Config
//
//	syntax       document.go   go-toml's parser; a tree in which every key and value knows its line
//	includes     include.go    files are joined; a name may be defined once
//	macros       macro.go      ${NAME}, ${interface:eth0}, ${hostname}
//	inheritance  inherit.go    [defaults], [template.NAME], inherits = "..."
//	types        decode.go     tree to structs: unknown keys, wrong types, ranges
//	defaults     defaults.go   what was left out
//	sense        check*.go     what cannot work together
//
// All errors of a step are reported, not the first one; a step that others
// build on ends the reading if it failed.
//
// The structs of this package are the language: field comments, and the tags
// toml, default, computed, enum, min, max and off are what docs/configuration.md is
// generated from.
package conf
