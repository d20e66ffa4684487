package domxml_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/policy"
	"virtlxcd/ports"
)

var (
	anyText  = rapid.StringOfN(rapid.RuneFrom([]rune("aZ0 <>&'\"é\n\t\r/%]]>-")), 1, 12, -1)
	lineText = rapid.StringOfN(rapid.RuneFrom([]rune("aZ0 <>&'\"é\t.-")), 1, 12, -1)
)

func some[T any](t *rapid.T, label string, one func(*rapid.T) T) []T {
	var all []T
	for range rapid.IntRange(0, 3).Draw(t, label) {
		all = append(all, one(t))
	}
	return all
}

func maybe[T any](t *rapid.T, label string, gen *rapid.Generator[T]) *T {
	if !rapid.Bool().Draw(t, "has "+label) {
		return nil
	}
	value := gen.Draw(t, label)
	return &value
}

func optionalText(t *rapid.T, label string, gen *rapid.Generator[string]) string {
	if value := maybe(t, label, gen); value != nil {
		return *value
	}
	return ""
}

// definition draws what Parse can return.
func definition(t *rapid.T) *container.Definition {
	d := &container.Definition{
		Name:        lineText.Draw(t, "name"),
		Title:       optionalText(t, "title", lineText),
		Description: optionalText(t, "description", anyText),
		Memory:      rapid.Uint64Range(1, 1<<40).Draw(t, "memory"),
		VCPUs:       rapid.UintRange(1, 9).Draw(t, "vcpus"),
		CPUSet:      rapid.SampledFrom([]string{"", "0", "0-3,8", "16383"}).Draw(t, "cpuset"),
		Limits:      tunables(t),
		Partition:   optionalText(t, "partition", lineText),
		Arch:        rapid.SampledFrom([]string{"x86_64", "i686"}).Draw(t, "arch"),
		Init:        initProcess(t),
		PrivateNet:  rapid.Bool().Draw(t, "privnet"),
		OnPoweroff:  rapid.SampledFrom([]string{"destroy", "restart", "preserve"}).Draw(t, "poweroff"),
		OnReboot:    rapid.SampledFrom([]string{"destroy", "restart", "rename-restart"}).Draw(t, "reboot"),
		OnCrash:     rapid.SampledFrom([]string{"destroy", "coredump-destroy"}).Draw(t, "crash"),
		Emulator:    lineText.Draw(t, "emulator"),
		Filesystems: some(t, "filesystems", mount),
		Links:       some(t, "links", networkLink),
	}
	copy(d.UUID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uuid"))
	d.OnlineVCPUs = rapid.UintRange(1, d.VCPUs).Draw(t, "online")
	d.CurrentMemory = rapid.Uint64Range(1, d.Memory).Draw(t, "current")
	for range rapid.IntRange(0, 2).Draw(t, "consoles") {
		d.Consoles = append(d.Consoles, device.Console{Kind: "pty", TargetKind: "lxc"})
	}
	if rapid.Bool().Draw(t, "idmap") {
		d.IDMap = policy.IDMap{Users: []policy.IDRange{{Target: 7, Count: 1000}, {Start: 1000, Target: 1 << 31, Count: 1}},
			Groups: []policy.IDRange{{Count: 1<<32 - 1}}}
	}
	if rapid.Bool().Draw(t, "caps") {
		d.Capabilities = policy.Capabilities{Policy: policy.CapDeny,
			States: map[string]bool{"chown": true, "sys_boot": rapid.Bool().Draw(t, "boot")}}
	}
	if rapid.Bool().Draw(t, "metadata") {
		d.Metadata = []container.Metadata{{Namespace: "u:1", Text: "<q:a xmlns:q=\"u:1\" b=\"'\">\n  <q:c/>\n</q:a>"}}
	}
	return d
}

func tunables(t *rapid.T) policy.Limits {
	return policy.Limits{
		MemoryHard:  maybe(t, "hard", rapid.Uint64Range(0, policy.Unlimited-1)),
		MemorySoft:  maybe(t, "soft", rapid.Uint64Range(0, policy.Unlimited-1)),
		SwapHard:    maybe(t, "swap", rapid.Uint64Range(0, policy.Unlimited-1)),
		CPUShares:   maybe(t, "shares", rapid.Uint64Range(2, 262144)),
		CPUPeriod:   maybe(t, "period", rapid.Uint64Range(1000, 1000000)),
		CPUQuota:    maybe(t, "quota", rapid.OneOf(rapid.Just(int64(-1)), rapid.Int64Range(1000, 17592186044415))),
		BlockWeight: maybe(t, "weight", rapid.UintRange(1, 1000)),
	}
}

func initProcess(t *rapid.T) container.Init {
	return container.Init{
		Path: anyText.Draw(t, "init"),
		Args: some(t, "args", func(t *rapid.T) string { return anyText.Draw(t, "arg") }),
		Env: some(t, "env", func(t *rapid.T) container.EnvVar {
			return container.EnvVar{Name: anyText.Draw(t, "variable"), Value: anyText.Draw(t, "value")}
		}),
		Dir:         optionalText(t, "dir", anyText),
		User:        optionalText(t, "user", anyText),
		Group:       optionalText(t, "group", anyText),
		CommandLine: optionalText(t, "cmdline", anyText),
	}
}

func mount(t *rapid.T) device.Filesystem {
	fs := device.Filesystem{
		Kind:       rapid.SampledFrom([]device.FilesystemKind{device.HostDir, device.GuestDir, device.Memory}).Draw(t, "kind"),
		AccessMode: rapid.SampledFrom([]string{"passthrough", "mapped", "squash"}).Draw(t, "mode"),
		Target:     anyText.Draw(t, "target"),
		ReadOnly:   rapid.Bool().Draw(t, "readonly"),
	}
	if fs.Kind == device.Memory {
		fs.Usage = rapid.Uint64Range(0, 1<<40).Draw(t, "usage")
	} else {
		fs.Source = anyText.Draw(t, "source")
	}
	return fs
}

func networkLink(t *rapid.T) device.Link {
	link := device.Link{
		Kind:      rapid.SampledFrom([]device.LinkKind{device.Bridge, device.Ethernet}).Draw(t, "kind"),
		HostName:  optionalText(t, "host name", rapid.Just("h0")),
		GuestName: optionalText(t, "guest name", anyText),
		LinkState: rapid.SampledFrom([]string{"", "up", "down"}).Draw(t, "state"),
		Isolated:  rapid.Bool().Draw(t, "isolated"),
		MTU:       rapid.UintRange(0, 9000).Draw(t, "mtu"),
		Addresses: some(t, "addresses", address),
		Routes:    some(t, "routes", staticRoute),
	}
	copy(link.MAC[:], rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "mac"))
	link.MAC[0] &^= 1
	if link.Kind == device.Bridge {
		link.Source = anyText.Draw(t, "bridge")
	} else {
		link.HostSide = device.HostSide{Addresses: some(t, "host addresses", address), Routes: some(t, "host routes", staticRoute)}
	}
	return link
}

func address(t *rapid.T) device.Address {
	return rapid.SampledFrom([]device.Address{
		{IP: netip.MustParseAddr("10.0.0.1"), Prefix: -1},
		{IP: netip.MustParseAddr("10.0.0.1"), Prefix: 24, Peer: netip.MustParseAddr("10.0.0.2")},
		{IP: netip.MustParseAddr("fd00::1"), Prefix: 64},
		{IP: netip.MustParseAddr("::ffff:1.2.3.4"), Prefix: -1},
	}).Draw(t, "address")
}

func staticRoute(t *rapid.T) device.Route {
	return rapid.SampledFrom([]device.Route{
		{To: netip.MustParseAddr("0.0.0.0"), Prefix: -1, Gateway: netip.MustParseAddr("1.2.3.4")},
		{To: netip.MustParseAddr("0.0.0.0"), Prefix: 0, Gateway: netip.MustParseAddr("1.2.3.4"), Family: "ipv4", Metric: 9},
		{To: netip.MustParseAddr("10.0.0.0"), Prefix: -1, Netmask: netip.MustParseAddr("255.0.0.0"), Gateway: netip.MustParseAddr("1.2.3.4")},
		{To: netip.MustParseAddr("fd00::"), Prefix: 64, Gateway: netip.MustParseAddr("fd00::1"), Family: "ipv6"},
	}).Draw(t, "route")
}

func TestRoundTrip(t *testing.T) {
	codec := newCodec()
	rapid.Check(t, func(t *rapid.T) {
		def := definition(t)
		printed := codec.Format(def, inactive)
		again, err := codec.Parse(printed)
		require.NoError(t, err, printed)
		assert.Equal(t, def, again, printed)

		name, uuid, has, err := codec.Peek(printed)
		require.NoError(t, err)
		assert.Equal(t, def.Name, name)
		assert.Equal(t, def.UUID, uuid)
		assert.True(t, has)
	})
}

// TestLiveHasMoreThanInactive shows one definition both ways.
func TestLiveHasMoreThanInactive(t *testing.T) {
	def := &container.Definition{
		Name: "a", Memory: 1, Init: container.Init{Path: "/i"},
		Links:    []device.Link{{Kind: device.Ethernet, HostName: "vnet4"}},
		Consoles: []device.Console{{Kind: "pty", TargetKind: "lxc", TTY: "/dev/pts/1", Alias: "console0"}},
	}
	codec := newCodec()
	live := codec.Format(def, running)
	off := codec.Format(def, inactive)
	for _, text := range []string{" id='7'", "tty='/dev/pts/1'", "<source path='/dev/pts/1'/>", "<alias name='console0'/>", "<target dev='vnet4'/>"} {
		assert.Contains(t, live, text)
		assert.NotContains(t, off, text)
	}
	assert.Contains(t, codec.Format(def, ports.Format{ID: 0}), "<domain type='lxc' id='0'>")
}
