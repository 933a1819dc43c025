package setkey

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/racoon3/racoon/pfkey"
)

// ErrExit is what [Executor.Execute] returns for exit.
var ErrExit = errors.New("setkey: exit")

// An Executor carries out statements on a kernel. It is not safe for concurrent
// use.
type Executor struct {
	Kernel   Kernel
	Resolver Resolver  // nil for net.DefaultResolver
	Out      io.Writer // of get, dump and spddump; nil for nowhere
	Print    PrintOptions

	// KernelSemantics leaves policies as they are. Otherwise an inbound one has
	// a twin for forwarded packets where the kernel looks those up apart (Linux):
	// to RFC 4301, what comes in is what comes in.
	KernelSemantics bool

	Now func() time.Time // nil for time.Now
}

// Execute carries out a statement. An error is a [*StatementError], or for exit
// [ErrExit]; a statement for several addresses may have been carried out in part.
func (x *Executor) Execute(ctx context.Context, s Statement) error {
	var err error
	switch s := s.(type) {
	case *SAStatement:
		err = x.sa(ctx, s)
	case *PolicyStatement:
		err = x.policy(ctx, s)
	case *Command:
		if s.Verb == VerbExit {
			return ErrExit
		}
		err = x.command(ctx, s)
	}
	if err != nil {
		return &StatementError{Position: s.Pos(), Verb: s.What(), Err: err}
	}
	return nil
}

func (x *Executor) resolver() Resolver {
	if x.Resolver == nil {
		return net.DefaultResolver
	}
	return x.Resolver
}

func (x *Executor) write(b []byte) error {
	defer clear(b) // there may be keys in it
	if x.Out == nil {
		return nil
	}
	_, err := x.Out.Write(b)
	return err
}

func (x *Executor) now() time.Time {
	if x.Now == nil {
		return time.Now()
	}
	return x.Now()
}

func (x *Executor) sa(ctx context.Context, s *SAStatement) error {
	sas, err := s.SAs(ctx, x.resolver())
	if err != nil {
		return err
	}
	if len(sas) > 1 && (s.Verb == VerbGet || s.Verb == VerbDelete) {
		return fmt.Errorf("%s and %s have several addresses, and one SA is meant", s.Src.Name, s.Dst.Name)
	}
	for _, sa := range sas {
		if err := x.one(ctx, s.Verb, sa); err != nil {
			if len(sas) > 1 {
				err = fmt.Errorf("%v to %v: %w", sa.Src, sa.Dst, err)
			}
			return err
		}
	}
	return nil
}

func (x *Executor) one(ctx context.Context, verb Verb, sa *SA) error {
	switch verb {
	case VerbAdd:
		return x.Kernel.Add(ctx, sa)
	case VerbUpdate:
		return x.Kernel.Update(ctx, sa)
	case VerbGetSPI:
		_, err := x.Kernel.GetSPI(ctx, sa)
		return err
	case VerbDelete:
		return x.Kernel.Delete(ctx, sa)
	case VerbDeleteAll:
		return x.deleteAll(ctx, sa)
	}
	got, err := x.Kernel.Get(ctx, sa)
	if err != nil {
		return err
	}
	defer got.Wipe()
	return x.write(AppendSA(nil, got, x.now(), x.Print))
}

// deleteAll deletes one after the other: not every kernel can do it at once, and
// those that can leave larval ones.
func (x *Executor) deleteAll(ctx context.Context, like *SA) error {
	var found []SA
	for sa, err := range x.Kernel.Dump(ctx, like.Proto.family()) {
		if err != nil {
			return err
		}
		if sa.Src == like.Src && sa.Dst == like.Dst {
			found = append(found, SA{Proto: sa.Proto, Src: sa.Src, Dst: sa.Dst, SPI: sa.SPI, SrcPort: sa.SrcPort, DstPort: sa.DstPort})
		}
	}
	for i := range found {
		// It may have expired in between.
		if err := x.Kernel.Delete(ctx, &found[i]); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

func (x *Executor) policy(ctx context.Context, s *PolicyStatement) error {
	all, err := s.Policies(ctx, x.resolver())
	if err != nil {
		return err
	}
	if s.Policy.Dir == pfkey.DirForward && !x.Kernel.HasForward() {
		return fmt.Errorf("%w: this kernel has no policies for forwarded packets", ErrUnsupported)
	}
	for _, p := range all {
		if s.Verb == VerbSPDDelete {
			err = x.Kernel.DeletePolicy(ctx, p)
		} else {
			err = x.Kernel.AddPolicy(ctx, p, s.Verb == VerbSPDUpdate)
		}
		if err == nil && p.Policy.Dir == pfkey.DirIn && x.Kernel.HasForward() && !x.KernelSemantics {
			err = x.twin(ctx, s.Verb, p)
		}
		if err != nil {
			if len(all) > 1 {
				err = fmt.Errorf("%v to %v: %w", p.Src, p.Dst, err)
			}
			return err
		}
	}
	return nil
}

// twin does with the policy for forwarded packets what was done with the inbound
// one.
func (x *Executor) twin(ctx context.Context, verb Verb, in *Policy) error {
	fwd := *in
	fwd.Policy.Dir = pfkey.DirForward
	if verb == VerbSPDDelete {
		err := x.Kernel.DeletePolicy(ctx, &fwd)
		if errors.Is(err, ErrNotFound) {
			return nil // who added it had none, or has deleted it
		}
		return err
	}
	// The kernel chooses request IDs where none is given, for each policy another
	// one, and takes none of those that it chooses: whatever SA has protected the
	// packet has to do.
	fwd.Policy.Requests = append([]pfkey.Request(nil), in.Policy.Requests...)
	for i := range fwd.Policy.Requests {
		if r := &fwd.Policy.Requests[i]; r.Level == pfkey.LevelUnique && r.ReqID == 0 {
			r.Level = pfkey.LevelRequire
		}
	}
	if err := x.Kernel.AddPolicy(ctx, &fwd, verb == VerbSPDUpdate); err != nil {
		return fmt.Errorf("its twin for forwarded packets: %w", err)
	}
	return nil
}

func (x *Executor) command(ctx context.Context, s *Command) error {
	switch s.Verb {
	case VerbFlush:
		return x.Kernel.Flush(ctx, s.Proto.family())
	case VerbSPDFlush:
		return x.Kernel.FlushPolicies(ctx)
	case VerbDump:
		return x.DumpSAs(ctx, s.Proto)
	}
	return x.DumpPolicies(ctx)
}

// DumpSAs prints the SAs of a protocol, ProtoAny for all: those that are dead
// only if asked for.
func (x *Executor) DumpSAs(ctx context.Context, p Protocol) error {
	n := 0
	if x.Print.Short {
		if err := x.write([]byte(shortHeader)); err != nil {
			return err
		}
	}
	for sa, err := range x.Kernel.Dump(ctx, p.family()) {
		if err != nil {
			return err
		}
		n++
		if sa.State == pfkey.StateDead && !x.Print.Dead {
			continue
		}
		if err := x.write(AppendSA(nil, sa, x.now(), x.Print)); err != nil {
			return err
		}
	}
	if n == 0 && !x.Print.Short {
		return x.write([]byte("No SAD entries.\n"))
	}
	return nil
}

// DumpPolicies prints the policies.
func (x *Executor) DumpPolicies(ctx context.Context) error {
	n, hidden := 0, 0
	for p, err := range x.Kernel.DumpPolicies(ctx) {
		if err != nil {
			return err
		}
		n++
		if p.Socket && x.Print.NoSockets {
			hidden++
			continue
		}
		if err := x.write(AppendPolicy(nil, p, x.Print)); err != nil {
			return err
		}
	}
	switch {
	case n == 0:
		return x.write([]byte("No SPD entries.\n"))
	case hidden == 1:
		return x.write([]byte("1 per-socket policy not shown (filtered by -N)\n"))
	case hidden > 1:
		return x.write(fmt.Appendf(nil, "%d per-socket policies not shown (filtered by -N)\n", hidden))
	}
	return nil
}
