package daemon

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/internal/conf"
)

// reload reads the configuration again, gives it to the Manager and says what
// has changed. A configuration with an error changes nothing.
func (d *daemon) reload(ctx context.Context) (changes []racoon.Change, err error) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	d.notify.reloading()
	defer func() {
		if err != nil {
			if es, ok := errors.AsType[conf.Errors](err); ok {
				for _, e := range es {
					d.log.Error(e.Error())
				}
				d.log.Error("the configuration is not used; what was before goes on", "config", d.opt.config, "errors", len(es))
			} else {
				d.log.Error("the configuration is not used; what was before goes on", "config", d.opt.config, "err", err)
			}
			d.notify.tell("READY=1", "STATUS=the configuration was not reloaded: "+firstLine(err))
			return
		}
		d.notify.ready()
		d.tellStatus()
	}()
	before := d.current.Load()
	// The file of the log was moved away, perhaps.
	if err := d.output.open(before.Daemon.LogFile); err != nil {
		return nil, err
	}
	cfg, err := conf.Load(d.opt.config)
	if err != nil {
		return nil, err
	}
	d.opt.override(cfg)
	if err := checkHooks(cfg); err != nil {
		return nil, err
	}
	store := d.store // as it was, if the Manager refuses
	next, err := store.Manager(cfg, d.protocols(cfg)...)
	if err != nil {
		return nil, err
	}
	d.complete(cfg, &next)
	d.keep(before, cfg, &next)
	// What can fail comes first, and is taken back if the Manager refuses.
	if err := d.policies.declare(ctx, cfg); err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	undo := func() {
		if err := d.policies.declare(ctx, before); err != nil {
			d.log.Error("the policies of the configuration before could not be set again", "err", err)
		}
	}
	if changes, err = d.manager.Reload(ctx, next); err != nil {
		undo()
		return nil, err
	}
	d.store, d.last = store, next
	d.names.register(&next)
	if k := next.KINK.Kerberos; k != nil {
		if err := k.Reload(ctx); err != nil {
			d.log.Error("keytab or credential cache cannot be read again", "err", err)
		}
	}
	d.current.Store(cfg)
	if err := d.capture.configure(cfg.Capture); err != nil {
		d.log.Error("no capture", "err", err)
	}
	if cfg.Daemon.LogFile != before.Daemon.LogFile {
		if err := d.output.open(cfg.Daemon.LogFile); err != nil {
			d.log.Error("the log goes where it went before", "err", err)
		}
	}
	if cfg.Daemon.LogLevel != before.Daemon.LogLevel {
		d.level.Set(levelOf(cfg.Daemon.LogLevel)) // else racoonctl has set it, perhaps
	}
	if u := d.plane.user; u != nil && u.routes != nil {
		u.routes.configure(cfg)
	}
	for _, w := range cfg.Warnings {
		d.log.Warn(w.Error())
	}
	for _, c := range needRestart(before, cfg, d.policies == nil && !d.opt.spmd) {
		d.log.Warn("a change has no effect before a restart", "key", c.Field)
		changes = append(changes, c)
	}
	d.log.Info("the configuration was reloaded", "config", cfg.File, "changes", len(changes))
	return changes, nil
}

// keep puts the objects in use in the place of new ones that mean the same:
// the Manager compares what points somewhere by identity.
func (d *daemon) keep(before, cfg *conf.Config, next *racoon.Config) {
	next.PacketHandler, next.Resolver = d.last.PacketHandler, d.last.Resolver
	was, is := d.listeners(before), d.listeners(cfg)
	if slices.Equal(was, is) {
		next.Listen = d.last.Listen
	}
}

func (d *daemon) listeners(cfg *conf.Config) (all []racoon.Listen) {
	for _, p := range d.protocols(cfg) {
		all = append(all, cfg.Listeners(p)...)
	}
	return all
}

// needRestart lists the changes that the running daemon cannot make. Those of
// the Manager are refused by itself.
func needRestart(before, after *conf.Config, noPolicies bool) (list []racoon.Change) {
	add := func(key string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			list = append(list, racoon.Change{Field: key, Effect: racoon.EffectRestart})
		}
	}
	add("dataplane", before.DataPlane, after.DataPlane)
	add("interface", before.Interfaces, after.Interfaces)
	add("control", before.Control, after.Control)
	add("daemon.log-format", before.Daemon.LogFormat, after.Daemon.LogFormat)
	add("daemon.pid-file", before.Daemon.PIDFile, after.Daemon.PIDFile)
	add("daemon.user", [3]string{before.Daemon.User, before.Daemon.Group, before.Daemon.Chroot}, [3]string{after.Daemon.User, after.Daemon.Group, after.Daemon.Chroot})
	a, b := before.Hooks, after.Hooks
	a.Scripts, b.Scripts = conf.Scripts{}, conf.Scripts{}
	add("hooks", a, b)
	if noPolicies {
		add("policy", len(before.Policies), len(after.Policies))
	}
	return list
}

// firstLine is an error for a line of status.
func firstLine(err error) string {
	s := err.Error()
	for i := range len(s) {
		if s[i] == '\n' {
			return s[:i] + " ..."
		}
	}
	return s
}
