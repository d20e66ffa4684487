package proc

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"virtlxcd/domain/fault"
	"virtlxcd/domain/host"
	"virtlxcd/ports"
)

// Host is the ports.HostInfo of the machine whose files lie below a root. It keeps what
// it has read and no file open.
type Host struct {
	root  string
	uuid  [16]byte                   // set by an administrator; zero: look for one
	files []string                   // where one is looked for, in this order
	fixed atomic.Pointer[host.Facts] // the part that is read once
	place atomic.Pointer[topology]
}

var _ ports.HostInfo = (*Host)(nil)

// New reads below root: "" or "/" for this machine, a directory laid out like
// one in tests. Nothing is read yet. What the kernel tells only by system call (uname(2)
// without its file, the page size) is this machine's all the same.
func New(root string) *Host {
	if root == "/" {
		root = ""
	}
	return &Host{root: root, files: append(slices.Clone(firmwareUUID), installationUUID)}
}

// SetUUID lets the host have this uuid; zero: it is looked for. With installation
// the one of the installation counts, else the firmware's comes first (the settings
// host_uuid and host_uuid_source). To be called before Facts, which keeps what it found.
func (h *Host) SetUUID(uuid [16]byte, installation bool) {
	h.uuid = uuid
	if installation {
		h.files = append([]string{installationUUID}, firmwareUUID...)
	}
}

// Facts may be called from several goroutines. Two first calls at once may both
// read what is to be read once. The result shares nothing with other calls. It fails
// only for a context that has ended, Aborted or Timeout, and does not look at it later.
func (h *Host) Facts(ctx context.Context) (*host.Facts, error) {
	if err := ctx.Err(); err != nil {
		kind := fault.Aborted
		if errors.Is(err, context.DeadlineExceeded) {
			kind = fault.Timeout
		}
		return nil, fault.Wrap(err, kind, "the host was not looked at")
	}
	facts := *h.once()
	facts.SuspendModes = slices.Clone(facts.SuspendModes)
	facts.Cgroups = slices.Clone(facts.Cgroups)
	for i := range facts.Cgroups {
		facts.Cgroups[i].Controllers = slices.Clone(facts.Cgroups[i].Controllers)
	}
	facts.Hostname = h.line("/proc/sys/kernel/hostname")
	facts.Memory = h.memory("/proc/meminfo")
	facts.PageSizes = h.pageSizes(facts.Memory)
	facts.InitPaths = h.initPaths()
	h.topology(facts.Memory).fill(&facts)
	return &facts, nil
}

// once returns the facts that do not change while the host is up, or whose change does
// not count: mounts that come later are not used by a daemon that runs. Shared: the
// caller copies what has parts.
func (h *Host) once() *host.Facts {
	if known := h.fixed.Load(); known != nil {
		return known
	}
	facts := &host.Facts{
		Arch:          h.arch(),
		KernelRelease: h.line("/proc/sys/kernel/osrelease"),
		BootID:        h.line("/proc/sys/kernel/random/boot_id"),
		MHz:           h.mhz(),
		SuspendModes:  h.suspendModes(),
		NetNamespaces: h.exists("/proc/self/ns/net"),
		// A limit of none is how administrators switch them off.
		UserNamespaces: h.exists("/proc/self/ns/user") && h.line("/proc/sys/user/max_user_namespaces") != "0",
	}
	facts.UUID = h.findUUID()
	facts.LastCapability = h.lastCapability()
	facts.Capabilities = h.capabilities()
	h.mounts(facts)
	h.fixed.Store(facts)
	return facts
}
