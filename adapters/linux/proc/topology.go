package proc

import (
	"slices"
	"strconv"
	"strings"

	"virtlxcd/domain/host"
)

const (
	cpuDir  = "/sys/devices/system/cpu"
	nodeDir = "/sys/devices/system/node"
)

// topology is where the processors are. key is what it was read for: as long as it is
// the same, so is the rest. It does not change once made and is shared by calls.
type topology struct {
	key                            string
	cpus                           int
	nodes, sockets, cores, threads int
	cells                          []host.Cell
}

// fill copies t into facts, lists too: callers may change what they get.
func (t *topology) fill(facts *host.Facts) {
	facts.CPUs = t.cpus
	facts.Nodes, facts.Sockets, facts.Cores, facts.Threads = t.nodes, t.sockets, t.cores, t.threads
	facts.Cells = slices.Clone(t.cells)
	for i := range facts.Cells {
		facts.Cells[i].CPUs = slices.Clone(t.cells[i].CPUs)
		facts.Cells[i].Distances = slices.Clone(t.cells[i].Distances)
	}
}

// topology reads anew when a processor, a node or memory came or went: hundreds of
// files on large machines (ABI/stable/sysfs-devices-system-cpu). memory is the host's,
// in KiB.
func (h *Host) topology(memory uint64) *topology {
	online, nodes := h.line(cpuDir+"/online"), h.line(nodeDir+"/online")
	key := online + " " + nodes + " " + strconv.FormatUint(memory, 10)
	if known := h.place.Load(); known != nil && known.key == key {
		return known
	}
	t := &topology{key: key}
	cpus, _ := parseList(online)
	t.cpus = len(cpus)
	if numbers, ok := parseList(nodes); ok && len(numbers) > 0 {
		t.cells = h.cells(numbers, cpus)
	} else { // a kernel without nodes: everything in one
		t.cells = []host.Cell{{Memory: memory, CPUs: h.cpus(cpus)}}
	}
	t.count(h.present(t.cpus))
	h.place.Store(t)
	return t
}

// present is how many processors are plugged in, online or not; at least those that are
// online. Not /possible, which on virtual machines counts sockets that nothing is in.
func (h *Host) present(online int) int {
	if present, ok := parseList(h.line(cpuDir + "/present")); ok {
		return max(online, len(present))
	}
	return online
}

// cells are the nodes (ABI/stable/sysfs-devices-node) with the processors that are
// online. A node may have memory only, or processors only.
func (h *Host) cells(nodes, online []int) []host.Cell {
	cells := make([]host.Cell, 0, len(nodes))
	for _, node := range nodes {
		dir := nodeDir + "/node" + strconv.Itoa(node)
		members, _ := parseList(h.line(dir + "/cpulist"))
		members = slices.DeleteFunc(members, func(cpu int) bool { return !slices.Contains(online, cpu) })
		cells = append(cells, host.Cell{
			ID: node, Memory: h.memory(dir + "/meminfo"), CPUs: h.cpus(members), Distances: distances(h.line(dir + "/distance")),
		})
	}
	return cells
}

// distances are to all nodes that are online, in their order, 10 to itself: "10 21".
func distances(line string) []int {
	var numbers []int
	for _, digits := range strings.Fields(line) {
		n, err := strconv.Atoi(digits)
		if err != nil {
			return nil
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// cpus reads where processors are. What is not told is 0, and a processor that has no
// list of siblings is its own only one.
func (h *Host) cpus(numbers []int) []host.CPU {
	cpus := make([]host.CPU, 0, len(numbers))
	for _, number := range numbers {
		dir := cpuDir + "/cpu" + strconv.Itoa(number) + "/topology"
		cpu := host.CPU{ID: number, Siblings: h.line(dir + "/thread_siblings_list")}
		for file, to := range map[string]*int{"/physical_package_id": &cpu.Socket, "/die_id": &cpu.Die, "/core_id": &cpu.Core} {
			// Some machines have -1 for a socket that firmware does not tell.
			if n, ok := h.number(dir + file); ok && n >= 0 {
				*to = n
			}
		}
		if cpu.Siblings == "" {
			cpu.Siblings = strconv.Itoa(number)
		}
		cpus = append(cpus, cpu)
	}
	return cpus
}

// count derives the regular shape nodes x sockets x cores x threads: sockets of a node,
// cores of a socket, threads of a core, the most there are of each. A core is told by
// its number and its die's, which alone come again on every socket. Clients
// multiply it to learn how many processors there can be; where the product is
// not that, because the machine is irregular or partly offline, the shape is
// one socket of single-threaded cores.
func (t *topology) count(present int) {
	t.nodes = len(t.cells)
	for _, cell := range t.cells {
		sockets := make(map[int]map[[2]int]bool)
		for _, cpu := range cell.CPUs {
			if sockets[cpu.Socket] == nil {
				sockets[cpu.Socket] = make(map[[2]int]bool)
			}
			sockets[cpu.Socket][[2]int{cpu.Die, cpu.Core}] = true
			siblings, _ := parseList(cpu.Siblings)
			t.threads = max(t.threads, len(siblings))
		}
		t.sockets = max(t.sockets, len(sockets))
		for _, cores := range sockets {
			t.cores = max(t.cores, len(cores))
		}
	}
	if t.nodes*t.sockets*t.cores*t.threads != present {
		t.nodes, t.sockets, t.cores, t.threads = 1, 1, present, 1
	}
}
