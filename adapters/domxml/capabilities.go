package domxml

import (
	"strconv"
	"strings"

	"virtlxcd/domain/container"
	"virtlxcd/domain/host"
)

// Capabilities prints what the host is and which guests it can run: its own
// architecture and the 32-bit one beside it (libvirt's formatcaps). The blank
// lines are part of the form. No security driver and no IOMMU is ever claimed.
// It cannot fail: what facts do not tell is left out or 0.
// Nothing in it depends on what runs, so the same facts give the same text.
//
// Clients ask for it to learn which architectures they may write into a document.
func (c *Codec) Capabilities(facts *host.Facts) string {
	var b strings.Builder
	b.WriteString("<capabilities>\n\n")
	b.WriteString(render(hostNode(facts), 1))
	b.WriteByte('\n')
	arch := either(facts.Arch, c.options.Arch)
	b.WriteString(render(c.guest(arch, wordSize(arch)), 1))
	b.WriteByte('\n')
	if sibling := siblings[arch]; sibling != "" {
		b.WriteString(render(c.guest(sibling, "32"), 1))
		b.WriteByte('\n')
	}
	b.WriteString("</capabilities>\n")
	return b.String()
}

// guest is one architecture in which containers run.
// "exe" is the only kind of system: what is started is a program, not a kernel.
func (c *Codec) guest(arch, bits string) *node {
	return el("guest").add(
		leaf("os_type", "exe"),
		el("arch", "name", arch).add(
			leaf("wordsize", bits),
			leaf("emulator", c.options.Emulator),
			el("domain", "type", "lxc")))
}

// wordSize goes by the name: 64-bit machines have a sibling, or 64 in theirs.
// "i686" and "armv7l" are neither, so they have 32.
func wordSize(arch string) string {
	if siblings[arch] != "" || strings.Contains(arch, "64") {
		return "64"
	}
	return "32"
}

// hostNode lists page sizes and ways to suspend, as the host has them.
// A host without a uuid shows none: zeros would be taken for one that many share.
func hostNode(facts *host.Facts) *node {
	cpu := el("cpu").add(leaf("arch", facts.Arch))
	for _, size := range facts.PageSizes {
		cpu.add(el("pages", "unit", "KiB", "size", number(size.KiB)))
	}
	power := el("power_management")
	for _, mode := range facts.SuspendModes {
		power.add(el(mode))
	}
	n := el("host")
	if facts.UUID != [16]byte{} {
		n.add(leaf("uuid", container.UUID(facts.UUID).String()))
	}
	return n.add(cpu, power, el("iommu", "support", "no"), topology(facts),
		el("secmodel").add(leaf("model", "none"), leaf("doi", "0")))
}

// A machine without NUMA is one cell, as facts have it.
func topology(facts *host.Facts) *node {
	cells := el("cells", "num", strconv.Itoa(len(facts.Cells)))
	for i := range facts.Cells {
		cells.add(cellNode(facts, &facts.Cells[i]))
	}
	return el("topology").add(cells)
}

// cellNode is one NUMA node. How many pages of a size it has is known where it is
// the only one; else only those of the base size can be counted.
// Distances are left out where the kernel does not tell any.
func cellNode(facts *host.Facts, cell *host.Cell) *node {
	n := el("cell", "id", strconv.Itoa(cell.ID)).add(size("memory", cell.Memory))
	for i, page := range facts.PageSizes {
		switch {
		case len(facts.Cells) == 1:
			n.add(pageNode(page.KiB, page.Count))
		case i == 0 && page.KiB > 0: // pools are counted for the whole host only
			n.add(pageNode(page.KiB, cell.Memory/page.KiB))
		}
	}
	distances := el("distances")
	for i, value := range cell.Distances {
		distances.add(el("sibling", "id", strconv.Itoa(siblingID(facts, i)), "value", strconv.Itoa(value)))
	}
	n.unlessEmpty(distances)
	cpus := el("cpus", "num", strconv.Itoa(len(cell.CPUs)))
	for _, cpu := range cell.CPUs {
		cpus.add(el("cpu", "id", strconv.Itoa(cpu.ID), "socket_id", strconv.Itoa(cpu.Socket), "die_id", strconv.Itoa(cpu.Die),
			"core_id", strconv.Itoa(cpu.Core), "siblings", cpu.Siblings))
	}
	return n.add(cpus)
}

// Sizes are in KiB, counts in pages: <pages unit='KiB' size='4'>1019</pages>.
func pageNode(kib, count uint64) *node {
	return leaf("pages", number(count), "unit", "KiB", "size", number(kib))
}

// siblingID is the cell that the i-th distance leads to.
// Ids of cells may have gaps, so a place in the list is no id.
func siblingID(facts *host.Facts, i int) int {
	if i < len(facts.Cells) {
		return facts.Cells[i].ID
	}
	return i
}
