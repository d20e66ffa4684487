package domxml

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"virtlxcd/domain/container"
	"virtlxcd/domain/policy"
)

// architectures are the names a document may use at all.
// They are libvirt's (virArch). One that is not among them is unknown, one that is and
// does not fit the host has no capabilities here.
var architectures = strings.Fields(`alpha armv6l armv7l armv7b aarch64 cris i686 ia64 itanium lm32 loongarch64 m68k
	microblaze microblazeel mips mipsel mips64 mips64el or32 parisc parisc64 ppc ppcle ppc64 ppc64le ppcemb riscv32
	riscv64 s390 s390x sh4 sh4eb sparc sparc64 unicore32 x86_64 xtensa xtensaeb`)

// siblings are the 32-bit architectures that a 64-bit kernel runs too.
// Documents for either of a pair are accepted, and capabilities show both.
var siblings = map[string]string{
	"x86_64": "i686", "s390x": "s390", "ppc64": "ppc", "parisc64": "parisc", "sparc64": "sparc",
	"mips64": "mips", "mips64el": "mipsel",
}

// os reads what runs as process 1 (formatdomain, "Container boot"). Texts are taken
// as they are, blanks and all: they are paths and arguments. Empty arguments
// and variables are refused.
// Without <os> everything is empty, so that the missing type is what is refused. A
// missing init is told of by check.
func (r *reader) os() error {
	n := r.root.one("os")
	kind := n.one("type")
	if kind.content() == "" {
		return bad("an os <type> must be specified")
	}
	if err := r.arch(kind); err != nil {
		return err
	}
	def := &r.def.Init
	def.Path = n.word("init")
	def.Dir = n.word("initdir")
	def.User = n.word("inituser")
	def.Group = n.word("initgroup")
	def.CommandLine = n.word("cmdline")
	for _, arg := range n.all("initarg") {
		if arg.content() == "" {
			return bad("No data supplied for <initarg> element")
		}
		def.Args = append(def.Args, arg.content())
	}
	for _, env := range n.all("initenv") {
		name := env.pick("name")
		switch {
		case name == "":
			return bad("No name supplied for <initenv> element")
		case env.content() == "":
			return bad("No value supplied for <initenv name='%s'> element", name)
		}
		def.Env = append(def.Env, container.EnvVar{Name: name, Value: env.content()})
	}
	return nil
}

// arch checks that this host can run it: who should run it, what kind of system,
// on which machine. Which refusal it is depends on the first that is not known.
// Without the attribute it is the host's. The three refusals are in the order in which
// others come to them.
func (r *reader) arch(kind *node) error {
	host := r.codec.options.Arch
	r.def.Arch = kind.pick("arch")
	if r.def.Arch == "" {
		r.def.Arch = host
	}
	arch := r.def.Arch
	served := arch == host || arch == siblings[host] && arch != ""
	switch os := kind.content(); {
	case os == "exe" && served && r.hypervisor == "lxc":
		return nil
	case !served && !slices.Contains(architectures, arch):
		return unsupported("Unknown architecture %s", arch)
	case os == "hvm":
		return noCapability("arch=" + arch + " domaintype=" + r.hypervisor)
	case !slices.Contains([]string{"exe", "xen", "linux", "uml", "xenpvh"}, os):
		return unsupported("unknown OS type '%s'", os)
	default:
		return noCapability("ostype=" + os + " arch=" + arch + " domaintype=" + r.hypervisor)
	}
}

// idMap reads the ranges of ids (user_namespaces(7)) and sorts them by what they
// begin with inside, as they are printed.
// What a map must be beyond numbers (root mapped, both lists or none) is policy's.
func (r *reader) idMap() error {
	n := r.root.one("idmap")
	var wanted policy.IDMap
	var err error
	if wanted.Users, err = idRanges(n.all("uid")); err != nil {
		return err
	}
	if wanted.Groups, err = idRanges(n.all("gid")); err != nil {
		return err
	}
	if n != nil { // the nodes follow the ranges into their order
		slices.SortStableFunc(n.kids, func(a, b *node) int { return cmp.Compare(start(a), start(b)) })
	}
	r.def.IDMap, err = wanted.Normalize()
	return err
}

// start is 0 for what is no range, such as a comment: it may stand anywhere.
// It is only for sorting: idRanges has checked the numbers by then.
func start(n *node) uint64 {
	value, _ := strconv.ParseUint(n.get("start"), 10, 32)
	return value
}

// idRanges takes numbers of 32 bits; what ranges must be together policy says.
// An attribute that is missing is no number either.
// An inside id, a host id and a number of ids: <uid start='0' target='1000' count='10'/>.
func idRanges(nodes []*node) ([]policy.IDRange, error) {
	var ranges []policy.IDRange
	for _, n := range nodes {
		var parsed [3]uint32
		for i, name := range [3]string{"start", "target", "count"} {
			value, err := strconv.ParseUint(n.pick(name), 10, 32)
			if err != nil {
				return nil, bad("invalid idmap start/target/count settings")
			}
			parsed[i] = uint32(value)
		}
		ranges = append(ranges, policy.IDRange{Start: parsed[0], Target: parsed[1], Count: parsed[2]})
	}
	return ranges, nil
}

// actions reads what follows the end of the container. Only after a crash a dump
// can be wished for.
// The defaults are those of formatdomain, "Events configuration". They are filled in
// here, so that they are stored and printed.
func (r *reader) actions() error {
	ordinary := []string{"destroy", "restart", "rename-restart", "preserve"}
	crash := append([]string{"coredump-destroy", "coredump-restart"}, ordinary...)
	for _, action := range []struct {
		name, fallback string
		known          []string
		field          *string
	}{
		{"on_poweroff", "destroy", ordinary, &r.def.OnPoweroff},
		{"on_reboot", "restart", ordinary, &r.def.OnReboot},
		{"on_crash", "destroy", crash, &r.def.OnCrash},
	} {
		wanted := r.root.word(action.name)
		if wanted == "" {
			wanted = action.fallback
		}
		if !slices.Contains(action.known, wanted) {
			return unsupported("unknown %s action: %s", action.name, wanted)
		}
		*action.field = wanted
	}
	return nil
}
