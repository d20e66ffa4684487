// Package fakes is a host in memory, behind all outbound ports. Every fake is a thin
// view of one shared Host, which holds what a machine holds: processes, control groups,
// links, terminals, files, controllers. A new driver over the same Host is a restarted
// daemon.
//
// Fakes hold state, not expectations. A test changes the host through the methods of
// Host that stand for the outside (ExitInit, RemoveBridge, FillDisk), injects faults
// with Fail, and compares String before and after. The suites of ports/porttest keep
// the fakes true to the kernel.
//
// Nothing here sleeps or asks the time. Waiting is on channels, so that the package
// works under testing/synctest: make the Host inside the bubble. Descriptors are real
// ones (pipes and socket pairs), because ports hand out os.File; the Host remembers
// each and prints those that are still open.
//
// There is one lock, that of the Host. A call of a port takes it for its whole effect,
// so calls happen one after the other; whoever waits gives it up meanwhile. Functions
// that a port takes from its callers (keep, mine, damaged) are called without it, as
// they may call the Host again. Unexported methods of Host want it held, except do,
// look and onGuest, which take it.
package fakes
