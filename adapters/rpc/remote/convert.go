package remote

import (
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/lifecycle"
)

// States and reasons as clients number them. Those of virDomainState that are not here
// belong to virtual machines.
const (
	stateRunning = 1
	statePaused  = 3
	stateOff     = 5
)

// stateNumber is the state as clients may see it.
// See virDomainState. Containers have three of its states. Shown is the state without the
// steps in between, which clients have no number for.
func stateNumber(s *container.Snapshot) int32 {
	switch s.Shown() {
	case lifecycle.Running:
		return stateRunning
	case lifecycle.Paused:
		return statePaused
	default:
		return stateOff
	}
}

// Reasons are numbered anew for each state: virDomainRunningReason, and
// virDomainShutoffReason for the next one. What is not here has no number there.
var runningReasons = map[lifecycle.Reason]int32{lifecycle.Booted: 1, lifecycle.Unpaused: 5}

var offReasons = map[lifecycle.Reason]int32{
	lifecycle.ShutDown: 1, lifecycle.Destroyed: 2, lifecycle.Crashed: 3, lifecycle.FailedReason: 6,
}

// reasonNumber is numbered within the state; what has no number is unknown, 0.
// Paused has one reason, VIR_DOMAIN_PAUSED_USER. 0 is the "unknown" reason of every
// state.
func reasonNumber(s *container.Snapshot) int32 {
	switch s.Shown() {
	case lifecycle.Running:
		return runningReasons[s.Reason]
	case lifecycle.Paused:
		if s.Reason == lifecycle.ByUser {
			return 1
		}
		return 0
	default:
		return offReasons[s.Reason]
	}
}

// The bits of the list filter, in their order on the wire.
const listFlags = 1<<16 - 1

// filterOf takes the flags of virConnectListAllDomains one bit at a time. Bits of one
// group (active, inactive) add up; what a whole group means is the driver's to say.
// listRule has refused all other bits.
func filterOf(flags uint32) container.Filter {
	bit := func(n uint) bool { return flags&(1<<n) != 0 }
	return container.Filter{
		Active: bit(0), Inactive: bit(1), Persistent: bit(2), Transient: bit(3),
		Running: bit(4), Paused: bit(5), Off: bit(6), OtherState: bit(7),
		ManagedSave: bit(8), NoManaged: bit(9), Autostart: bit(10), NoAutostart: bit(11),
		Snapshots: bit(12), NoSnapshots: bit(13), Checkpoint: bit(14), NoCheckpoint: bit(15),
	}
}

// ofBool answers 1 for true. C has no booleans on this wire, only int.
func ofBool(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

// definitionOf is the definition whose numbers clients see. A snapshot without
// any is a mistake of the driver, not of the client.
// It is the live one of a running container.
func definitionOf(s *container.Snapshot) (*container.Definition, error) {
	if definition := s.Current(); definition != nil {
		return definition, nil
	}
	return nil, fault.New(fault.Internal, fault.Driver, "no definition of '%s' is known", s.Name)
}
