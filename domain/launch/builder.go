package launch

import (
	"path"
	"strconv"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/launch/step"
	"virtlxcd/domain/policy"
)

// ttyGroup is the group of terminals (FHS; devpts(5) gid= option).
const ttyGroup = 5

// builder gathers the two lists and hands out slots. Its prepare... methods come
// first, because the enter... methods use the slots they took.
// A builder makes one plan. It reads the request and never changes it.
type builder struct {
	Request
	d        *container.Definition
	rootUser uint32 // of the container, on the host
	rootGrp  uint32
	ttyGrp   uint32 // likewise; root's if the map leaves the group out

	prepare, enter step.List
	slots          int
	root, dev, pts int
	terminals      []int       // by console
	mounts         map[int]int // filesystem index -> slot
	sys            int         // slot of the host's /sys, -1: a fresh one is mounted
	groups         []int       // slots by cgroup directory
}

// A map leaves root out only if it is empty, and then ids are the same on both sides;
// the group of terminals may lie beyond the ranges of a small map.
func newBuilder(r Request) *builder {
	b := &builder{Request: r, d: r.Definition, mounts: map[int]int{}, sys: -1}
	b.rootUser, _ = b.d.IDMap.HostUser(0)
	b.rootGrp, _ = b.d.IDMap.HostGroup(0)
	var mapped bool
	if b.ttyGrp, mapped = b.d.IDMap.HostGroup(ttyGroup); !mapped {
		b.ttyGrp = b.rootGrp
	}
	return b
}

// slot takes the next free one. None is used twice: each stays filled to the end.
func (b *builder) slot() int {
	b.slots++
	return b.slots - 1
}

func (b *builder) outside(op step.Op) { b.prepare = append(b.prepare, op) }
func (b *builder) inside(op step.Op)  { b.enter = append(b.enter, op) }

// plan closes the lists and adds what is not an operation. Memory is the limit
// where <memtune><hard_limit> says nothing; the same for <vcpu cpuset> and
// <cputune>.
// An init that keeps mknod may make any node, and still open only those of the list.
// Limits is a copy of the definition's: the definition is shown to clients as written.
func (b *builder) plan() Plan {
	d := b.d
	plan := Plan{
		Prepare: b.prepare, Enter: b.enter, Slots: b.slots, Terminals: b.terminals,
		Namespaces: step.Namespaces{User: d.IDMap.Enabled(), Net: d.NeedsNet(), IPC: true, UTS: true},
		WaitLinks:  d.IDMap.Enabled() && len(d.Links) > 0,
		Devices:    policy.DefaultDevices(),
		Limits:     d.Limits,
		init:       d.Init.Path,
	}
	if d.Capabilities.Keeps("mknod", b.Facts.Capabilities) {
		plan.Devices = append(policy.MakeAnyNode(), plan.Devices...)
	}
	if plan.Limits.MemoryHard == nil && d.Memory > 0 && d.Memory < policy.Unlimited {
		memory := d.Memory
		plan.Limits.MemoryHard = &memory
	}
	if plan.Limits.CPUSet == "" {
		plan.Limits.CPUSet = d.CPUSet
	}
	return plan
}

// rootSource is the host directory that becomes "/".
// Without a filesystem for "/" the host's own root is shared.
func (b *builder) rootSource() string {
	if root := b.d.Root(); root != nil {
		return root.Source
	}
	return "/"
}

// serves says whether a filesystem is mounted by enterFilesystems: not the
// root, and of several for one target "/" only the first counts.
// Other spellings of it, such as "/.", are refused by checkFilesystems.
func serves(fs *device.Filesystem) bool { return fs.Target != "/" }

// guestPath is a <target dir> as a path inside: "data" and "/data/" mean /data,
// and ".." does not lead out. What links inside do with it is the kernel's
// business, below the container's root.
func guestPath(target string) string { return path.Join("/", target) }

func itoa(n int) string { return strconv.Itoa(n) }
