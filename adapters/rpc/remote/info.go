package remote

import (
	"context"
	"math"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/container"
)

// infoHandlers: also DOMAIN_GET_INFO, the most frequent call, is quick. It asks
// the kernel for counters, which takes microseconds and never waits.
func (s *Service) infoHandlers() served {
	return s.quickly(served{
		protocol.ProcDomainGetInfo:              {handle: with(getInfo)},
		protocol.ProcDomainGetState:             {handle: with(getState)},
		protocol.ProcDomainGetOSType:            {handle: with(getOSType)},
		protocol.ProcDomainGetMaxMemory:         {handle: with(getMaxMemory)},
		protocol.ProcDomainIsActive:             {handle: with(isActive)},
		protocol.ProcDomainIsPersistent:         {handle: with(isPersistent)},
		protocol.ProcDomainIsUpdated:            {handle: with(isUpdated)},
		protocol.ProcDomainHasManagedSaveImage:  {handle: with(hasManagedSave)},
		protocol.ProcDomainGetSecurityLabel:     {handle: with(getSecurityLabel)},
		protocol.ProcDomainGetSecurityLabelList: {handle: with(getSecurityLabels)},
	})
}

// state looks a container up for a call that tells something about it. It comes from the
// published snapshot, so it never waits for a job.
func (r request) state(ctx context.Context, dom *protocol.Domain) (*container.Snapshot, error) {
	return r.connection.State(ctx, reference(dom))
}

// getState is virDomainGetState. State and reason are of one snapshot, so they belong
// together.
func getState(ctx context.Context, r request, args *protocol.DomainGetStateArgs) (rpc.Body, error) {
	if err := stateRule.check(args.Flags); err != nil {
		return nil, err
	}
	s, err := r.state(ctx, &args.Dom)
	if err != nil {
		return nil, err
	}
	return &protocol.DomainGetStateRet{State: stateNumber(s), Reason: reasonNumber(s)}, nil
}

// getInfo tells what a running container uses, and what a stopped one would get. Memory
// is in KiB and processor time in nanoseconds. The interface has 8 bits for the state and
// 16 for the number of processors.
func getInfo(ctx context.Context, r request, args *protocol.DomainGetInfoArgs) (rpc.Body, error) {
	s, used, err := r.connection.Info(ctx, reference(&args.Dom))
	if err != nil {
		return nil, err
	}
	definition, err := definitionOf(s)
	if err != nil {
		return nil, err
	}
	info := &protocol.DomainGetInfoRet{
		State: uint8(stateNumber(s)), MaxMem: definition.Memory, Memory: definition.CurrentMemory,
		NrVirtCPU: uint16(min(definition.OnlineVCPUs, math.MaxUint16)),
	}
	// A stopped one uses nothing; what it would get stays in the answer.
	if s.Shown().Active() {
		info.Memory, info.CPUTime = used.Memory/1024, used.CPU
	}
	return info, nil
}

// getOSType is virDomainGetOSType: "exe" for a container that runs a program. The
// container has to exist, although the answer is the same for all.
func getOSType(ctx context.Context, r request, args *protocol.DomainGetOSTypeArgs) (rpc.Body, error) {
	if _, err := r.state(ctx, &args.Dom); err != nil {
		return nil, err
	}
	return &protocol.DomainGetOSTypeRet{Type: "exe"}, nil
}

// getMaxMemory is virDomainGetMaxMemory, in KiB, of the definition that counts now.
func getMaxMemory(ctx context.Context, r request, args *protocol.DomainGetMaxMemoryArgs) (rpc.Body, error) {
	s, err := r.state(ctx, &args.Dom)
	if err != nil {
		return nil, err
	}
	definition, err := definitionOf(s)
	if err != nil {
		return nil, err
	}
	return &protocol.DomainGetMaxMemoryRet{Memory: definition.Memory}, nil
}

// isActive is virDomainIsActive. A paused container is active.
func isActive(ctx context.Context, r request, args *protocol.DomainIsActiveArgs) (rpc.Body, error) {
	s, err := r.state(ctx, &args.Dom)
	if err != nil {
		return nil, err
	}
	return &protocol.DomainIsActiveRet{Active: ofBool(s.Shown().Active())}, nil
}

// isPersistent is virDomainIsPersistent: there is a definition on disk.
func isPersistent(ctx context.Context, r request, args *protocol.DomainIsPersistentArgs) (rpc.Body, error) {
	s, err := r.state(ctx, &args.Dom)
	if err != nil {
		return nil, err
	}
	return &protocol.DomainIsPersistentRet{Persistent: ofBool(s.Persistent)}, nil
}

// isUpdated is virDomainIsUpdated: the definition on disk has changed since the start.
func isUpdated(ctx context.Context, r request, args *protocol.DomainIsUpdatedArgs) (rpc.Body, error) {
	s, err := r.state(ctx, &args.Dom)
	if err != nil {
		return nil, err
	}
	return &protocol.DomainIsUpdatedRet{Updated: ofBool(s.Updated)}, nil
}

// hasManagedSave is always answered no: containers cannot be saved.
func hasManagedSave(ctx context.Context, r request, args *protocol.DomainHasManagedSaveImageArgs) (rpc.Body, error) {
	if err := managedSaveRule.check(args.Flags); err != nil {
		return nil, err
	}
	if _, err := r.state(ctx, &args.Dom); err != nil {
		return nil, err
	}
	return &protocol.DomainHasManagedSaveImageRet{}, nil
}

// getSecurityLabel tells an empty label, which is one NUL: no security driver
// labels containers.
func getSecurityLabel(ctx context.Context, r request, args *protocol.DomainGetSecurityLabelArgs) (rpc.Body, error) {
	if _, err := r.state(ctx, &args.Dom); err != nil {
		return nil, err
	}
	return &protocol.DomainGetSecurityLabelRet{Label: []byte{0}}, nil
}

// getSecurityLabels is virDomainGetSecurityLabelList, empty for the same reason.
func getSecurityLabels(ctx context.Context, r request, args *protocol.DomainGetSecurityLabelListArgs) (rpc.Body, error) {
	if _, err := r.state(ctx, &args.Dom); err != nil {
		return nil, err
	}
	return &protocol.DomainGetSecurityLabelListRet{}, nil
}
