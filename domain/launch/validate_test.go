package launch

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/host"
)

func TestRefusals(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*container.Definition)
		want   string
	}{
		"no console":        {func(d *container.Definition) { d.Consoles = nil }, "At least one PTY console is required"},
		"other console":     {func(d *container.Definition) { d.Consoles[0].Kind = "file" }, "Only PTY console types are supported"},
		"too many consoles": {func(d *container.Definition) { d.Consoles = make([]device.Console, 65) }, "65 consoles are more than the 64 that can be opened"},
		"unserved":          {func(d *container.Definition) { d.Unserved = []string{"disk 'vda'", "hostdev misc"} }, "disk 'vda', hostdev misc cannot be started by this version"},
		"relative init":     {func(d *container.Definition) { d.Init.Path = "bin/sh" }, "init path 'bin/sh' is not absolute"},
		"relative source":   {func(d *container.Definition) { d.Filesystems[0].Source = "root" }, "filesystem source 'root' for '/' is not an absolute path"},
		"memory as root":    {func(d *container.Definition) { d.Filesystems[0].Kind = device.Memory }, "a filesystem of type ram cannot be the root"},
		"memory without end": {func(d *container.Definition) {
			d.Filesystems = append(d.Filesystems, device.Filesystem{Kind: device.Memory, Usage: 1 << 54, Target: "/tmp"})
		}, "filesystem size of 18014398509481984 KiB for '/tmp' is too large"},
		"relative GuestDir": {func(d *container.Definition) {
			d.Filesystems = append(d.Filesystems, device.Filesystem{Kind: device.GuestDir, Source: "etc", Target: "/mnt"})
		}, "filesystem source 'etc' for '/mnt' is not an absolute path"},
		"one console of several": {func(d *container.Definition) {
			d.Consoles = append(d.Consoles, device.Console{Kind: "unix"})
		}, "Only PTY console types are supported"},
		"image":     {func(d *container.Definition) { d.Filesystems[0].Kind = device.ImageFile }, "Cannot mount filesystem type file"},
		"partition": {func(d *container.Definition) { d.Partition = "machine" }, "Resource partition 'machine' must start with '/'"},
		"host init": {func(d *container.Definition) { d.Filesystems, d.Init.Path = nil, "/sbin/../sbin/init" },
			"init '/sbin/../sbin/init' is the host's own init system and the container shares the host's root: it would be booted on the host's files; give the container a filesystem for '/' of its own"},
		"host init, root named": {func(d *container.Definition) { d.Filesystems[0].Source, d.Init.Path = "//", "/lib/systemd/systemd" },
			"init '/lib/systemd/systemd' is the host's own init system and the container shares the host's root: it would be booted on the host's files; give the container a filesystem for '/' of its own"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(Request{Definition: definition(row.change), Facts: facts()})
			require.ErrorIs(t, err, fault.UnsupportedConfig)
			assert.EqualError(t, err, row.want)
		})
	}
}

func TestHostsThatLackNamespaces(t *testing.T) {
	bare := &host.Facts{}
	_, err := New(Request{Definition: definition(func(d *container.Definition) { d.PrivateNet = true }), Facts: bare})
	assert.ErrorIs(t, err, fault.WrongState)
	_, err = New(Request{Definition: definition(mapped), Facts: bare})
	assert.ErrorIs(t, err, fault.UnsupportedConfig)
}

func TestTheContainersOwnInitIsItsOwnBusiness(t *testing.T) {
	_, err := New(Request{Definition: definition(func(d *container.Definition) { d.Init.Path = "/sbin/init" }), Facts: facts()})
	assert.NoError(t, err, "with a root of its own")
}

// TestTargetsThatCoverTheRoot: mounted there they would hide everything, and no
// path would lead below them.
func TestTargetsThatCoverTheRoot(t *testing.T) {
	for _, target := range []string{"", "//", "/.", "..", "/a/..", "/../.."} {
		_, err := New(Request{Facts: facts(), Definition: definition(func(d *container.Definition) {
			d.Filesystems = append(d.Filesystems, device.Filesystem{Kind: device.HostDir, Source: "/srv", Target: target})
		})})
		require.ErrorIs(t, err, fault.UnsupportedConfig, target)
		assert.EqualError(t, err, "filesystem target '"+target+"' would cover the root: write '/' if it is to be the root")
	}
}

// TestBoundariesThatAreAllowed: the last value on the good side of each limit.
func TestBoundariesThatAreAllowed(t *testing.T) {
	for name, change := range map[string]func(*container.Definition){
		"64 consoles": func(d *container.Definition) {
			d.Consoles = make([]device.Console, maxConsoles)
			for i := range d.Consoles {
				d.Consoles[i].Kind = "pty"
			}
		},
		"largest memory": func(d *container.Definition) {
			d.Filesystems = append(d.Filesystems, device.Filesystem{Kind: device.Memory, Usage: 1<<54 - 1, Target: "/tmp"})
		},
		"a second root":      func(d *container.Definition) { d.Filesystems = append(d.Filesystems, d.Filesystems[0]) },
		"an absolute group":  func(d *container.Definition) { d.Partition = "/machine" },
		"an init like it":    func(d *container.Definition) { d.Filesystems, d.Init.Path = nil, "/sbin/initial" },
		"an argument of it":  func(d *container.Definition) { d.Filesystems, d.Init.Args = nil, []string{"/sbin/init"} },
		"a shared net space": func(d *container.Definition) { d.PrivateNet = false },
	} {
		_, err := New(Request{Definition: definition(change), Facts: facts()})
		assert.NoError(t, err, name)
	}
}

// TestWhatIsStoredMayBeUnstartable: another host or version may run it.
func TestWhatIsStoredMayBeUnstartable(t *testing.T) {
	d := definition(func(d *container.Definition) { d.Unserved, d.Consoles = []string{"disk 'vda'"}, nil })
	require.NoError(t, Validate(d, facts()))
	assert.ErrorIs(t, Validate(definition(func(d *container.Definition) { d.PrivateNet = true }), &host.Facts{}), fault.WrongState)
	assert.ErrorIs(t, Validate(definition(func(d *container.Definition) { d.Filesystems, d.Init.Path = nil, "/sbin/init" }), facts()), fault.UnsupportedConfig)
}
