package fakes

import (
	"fmt"
	"slices"
	"strings"
)

// String prints all that is on the host: sorted, a line per thing, and without counters
// that only grow, so that two states can be compared. Use cases that fail must leave it
// as it was: tests compare it before and after. It has all that a use case could forget
// to undo, descriptors included.
func (h *Host) String() string {
	var lines []string
	h.look(func() {
		h.forgetNets()
		h.forgetTerminals()
		lines = slices.Concat(
			h.printDisk(), h.printGroups(), h.printProcesses(), h.printKeepers(),
			h.printLinks(), h.printTerminals(), h.printMachines(), h.printEscrow(),
			prefixed("open: ", h.openFiles()),
		)
	})
	return strings.Join(append(lines, ""), "\n")
}

// prefixed puts the same before each. It is a line for each.
func prefixed(prefix string, texts []string) []string {
	lines := make([]string, 0, len(texts))
	for _, text := range texts {
		lines = append(lines, prefix+text)
	}
	return lines
}

// printDisk prints definitions, marks and statuses, also damaged ones as they were.
// Start times are left out. Definitions are in one line of the fakes' format.
func (h *Host) printDisk() (lines []string) {
	d := &h.disk
	for _, name := range sorted(d.configs) {
		lines = append(lines, fmt.Sprintf("definition: %s", plain(d.configs[name])))
	}
	lines = append(lines, prefixed("autostart: ", sorted(d.marks))...)
	for _, name := range sorted(d.statuses) {
		s := *d.statuses[name]
		lines = append(lines, fmt.Sprintf("status: %s %s (%s) id %d init %d persistent %t controller %d in %s: %s",
			name, s.State, s.Reason, s.ID, s.InitPID, s.Persistent, s.Controller.PID, s.CgroupPath, plain(s.Definition)))
	}
	lines = append(lines, prefixed("damaged: ", sorted(d.damaged))...)
	if d.autostarted {
		lines = append(lines, "autostart: done since boot")
	}
	return lines
}

// printGroups counts processes and device rules instead of naming them. The rules
// themselves are tested where they are made.
func (h *Host) printGroups() (lines []string) {
	for _, at := range sorted(h.groups) {
		g := h.groups[at]
		line := fmt.Sprintf("cgroup: %s processes %d devices %d%s", at, len(g.members), len(g.devices), printLimits(&g.limits))
		if g.frozen {
			line += " frozen"
		}
		lines = append(lines, line)
	}
	return lines
}

// printProcesses prints by pid, which is the order of birth. Pids grow with each start,
// so texts with the same processes after another start differ.
func (h *Host) printProcesses() (lines []string) {
	all := make([]*process, 0, len(h.procs))
	for _, p := range h.procs {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *process) int { return a.pid - b.pid })
	for _, p := range all {
		line := fmt.Sprintf("process: %d %s", p.pid, p.program)
		if p.isInit() {
			line += " init of " + p.guest.name()
		}
		if p.group != nil {
			line += " in " + p.group.path
		}
		lines = append(lines, line)
	}
	return lines
}

// printKeepers names what a controller holds and counts what it has to report. Its
// socket is not printed but decides the order.
func (h *Host) printKeepers() (lines []string) {
	for _, socket := range sorted(h.keepers) {
		k := h.keepers[socket]
		var holds []string
		for _, g := range k.guests {
			holds = append(holds, g.name())
		}
		slices.Sort(holds)
		lines = append(lines, fmt.Sprintf("controller: %d holds %v, %d reports open", k.process.pid, holds, len(k.filed)))
	}
	return lines
}

// printLinks leaves indexes out: they grow with each start. Names that are reserved and
// not yet used come after, as an undo must release them.
func (h *Host) printLinks() (lines []string) {
	for _, l := range h.links {
		lines = append(lines, fmt.Sprintf("link: %s %s %s, %s of %s %s %v",
			l.wish.HostName, l.wish.Kind, l.wish.Source, l.wish.GuestName, l.net.name, macText(l.wish.MAC), prefixes(l.wish.Addresses)))
	}
	slices.Sort(lines)
	return append(lines, prefixed("reserved: ", sorted(h.reserved))...)
}

// printTerminals says which console a terminal is, if a controller serves it. Others
// are held by a descriptor only.
func (h *Host) printTerminals() (lines []string) {
	for _, path := range sorted(h.terms) {
		line := "terminal: " + path
		if g := h.terms[path].holder; g != nil {
			line += fmt.Sprintf(" console %d of %s", h.terms[path].console, g.name())
		}
		lines = append(lines, line)
	}
	return lines
}
