// Package launch plans the start of a container: definition and facts in, lists
// of operations out. Nothing is done here, so a plan can be printed and compared.
package launch

import (
	"virtlxcd/domain/container"
	"virtlxcd/domain/host"
	"virtlxcd/domain/launch/step"
	"virtlxcd/domain/policy"
)

// Request is what a plan depends on.
type Request struct {
	// Definition is the live one: names and terminals are filled in.
	Definition *container.Definition
	Facts      *host.Facts
	Cgroups    []CgroupDir
}

// CgroupDir is the container's own directory in one hierarchy.
type CgroupDir struct {
	Name  string   // below /sys/fs/cgroup inside; empty: /sys/fs/cgroup itself
	Path  string   // on the host
	Links []string // further names
}

// Plan is a whole start. What each list and slot is, package step says.
type Plan struct {
	Prepare    step.List
	Enter      step.List
	Slots      int
	Terminals  []int // slots of the guest terminals, by console
	Namespaces step.Namespaces
	WaitLinks  bool                // a restart from inside loses the links
	Devices    []policy.DeviceRule // what may be used; everything else is denied
	Limits     policy.Limits       // of the definition, completed from <memory> and <vcpu>

	init string
}

// New plans the start: the same request gives the same plan. Kind
// UnsupportedConfig says what cannot be done and why, WrongState that the kernel
// lacks network namespaces. The plan shares texts and lists with the definition.
// The order of the prepare methods decides the numbers of the slots, that of the enter
// methods is the order in which the stage works: each says why it is where it is.
func New(r Request) (Plan, error) {
	if err := Validate(r.Definition, r.Facts); err != nil {
		return Plan{}, err
	}
	if err := startable(r.Definition, r.Facts); err != nil {
		return Plan{}, err
	}
	b := newBuilder(r)
	b.prepareRoot()
	b.prepareDevices()
	b.prepareTerminals()
	b.prepareFilesystems()
	b.prepareCgroups()
	b.enterRoot()
	b.enterKernelViews()
	b.inside(step.Op{Code: step.Forget, Subject: "old root"})
	b.enterCgroups()
	b.enterDevices()
	b.enterFilesystems()
	b.enterIdentity()
	return b.plan(), nil
}

// MachineName is the name of a running container's control group and machine
// registration: at most 64 bytes of letters, digits, '-' and '.'; hyphens and
// dots never doubled nor at either end. Other programs look for it, so it is made
// as the original does: "lxc-ID-NAME", less what does not fit. The id keeps two
// containers apart whose names differ only in that.
func MachineName(id int, name string) string {
	text := "lxc-" + itoa(id) + "-" + name
	out := make([]byte, 0, maxMachineName)
	for i := 0; i < len(text) && len(out) < maxMachineName; i++ {
		c := text[i]
		separator := c == '-' || c == '.'
		if !separator && !alphanumeric(c) || separator && (len(out) == 0 || isSeparator(out[len(out)-1])) {
			continue
		}
		out = append(out, c)
	}
	for len(out) > 0 && isSeparator(out[len(out)-1]) {
		out = out[:len(out)-1]
	}
	return string(out)
}

// maxMachineName is HOST_NAME_MAX, which systemd-machined keeps to.
const maxMachineName = 64

// systemd-machined takes a name for one of a host: see hostname_is_valid in its source.
func isSeparator(c byte) bool { return c == '-' || c == '.' }

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// Hostname is the container's host name: its name with everything but letters,
// digits and hyphens removed, and one leading hyphen too: "ct_a.b" is "ctab". It
// may be empty, which sethostname(2) accepts.
func Hostname(name string) string {
	out := make([]byte, 0, len(name))
	for i := range len(name) {
		if alphanumeric(name[i]) || name[i] == '-' {
			out = append(out, name[i])
		}
	}
	if len(out) > 0 && out[0] == '-' {
		out = out[1:]
	}
	if len(out) > maxHostname {
		out = out[:maxHostname]
	}
	return string(out)
}

// maxHostname is HOST_NAME_MAX of uts_namespaces(7).
const maxHostname = 64
