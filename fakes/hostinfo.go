package fakes

import (
	"context"
	"fmt"
	"slices"

	"virtlxcd/domain/host"
)

// HostInfo tells facts about the Host.
type HostInfo struct{ host *Host }

// NewHostInfo returns the port.
func NewHostInfo(host *Host) *HostInfo { return &HostInfo{host} }

// Facts returns a copy of the facts. The boot id is that of the present boot.
func (i *HostInfo) Facts(ctx context.Context) (facts *host.Facts, err error) {
	err = i.host.do(ctx, "HostInfo.Facts", func() error {
		facts = cloneFacts(i.host.facts)
		facts.BootID = i.host.bootID()
		return nil
	})
	return facts, err
}

// ChangeFacts changes what the host is. BootID is not its to change: see Boot. It is
// called with the host locked and must not call it. The next Facts tells the change;
// what a driver has asked for before stays with it.
func (h *Host) ChangeFacts(change func(*host.Facts)) {
	h.look(func() { change(h.facts) })
}

// bootID counts boots, in the format of random/boot_id (proc(5)). The count is in the
// last group: the first boot ends in 1.
func (h *Host) bootID() string { return fmt.Sprintf("b0070000-0000-4000-8000-%012d", h.boots) }

// cloneFacts shares nothing with the original. Every slice is copied, as the contract
// lets callers write to what they get.
func cloneFacts(facts *host.Facts) *host.Facts {
	c := *facts
	c.Cells = slices.Clone(facts.Cells)
	for i := range c.Cells {
		c.Cells[i].CPUs = slices.Clone(c.Cells[i].CPUs)
		c.Cells[i].Distances = slices.Clone(c.Cells[i].Distances)
	}
	c.PageSizes = slices.Clone(facts.PageSizes)
	c.SuspendModes = slices.Clone(facts.SuspendModes)
	c.Cgroups = slices.Clone(facts.Cgroups)
	c.InitPaths = slices.Clone(facts.InitPaths)
	return &c
}

// defaultFacts are two processors in one cell, 8 GiB, and a kernel with everything.
// Sizes are in KiB. The last capability is CAP_CHECKPOINT_RESTORE, as since Linux 5.9,
// and all up to it are there (capabilities(7)). User namespaces and version 2 of
// control groups spare tests the ways around their lack: see ChangeFacts.
func defaultFacts() *host.Facts {
	const memory = 8 << 20
	return &host.Facts{
		UUID:     [16]byte{0xfa, 0xce, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 1},
		Hostname: "fakehost", Arch: "x86_64", KernelRelease: "6.12.0-fake", Memory: memory,
		CPUs: 2, MHz: 2000, Nodes: 1, Sockets: 1, Cores: 2, Threads: 1,
		Cells: []host.Cell{{
			Memory: memory, Distances: []int{10},
			CPUs: []host.CPU{{ID: 0, Core: 0, Siblings: "0"}, {ID: 1, Core: 1, Siblings: "1"}},
		}},
		PageSizes:      []host.PageSize{{KiB: 4, Count: memory / 4}},
		LastCapability: 40, Capabilities: 1<<41 - 1,
		NetNamespaces: true, UserNamespaces: true, CgroupV2: true,
		Cgroups: []host.CgroupMount{{Controllers: []string{"cpuset", "cpu", "io", "memory", "pids"}, V2: true}},
	}
}
