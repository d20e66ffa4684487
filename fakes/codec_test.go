package fakes

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/domain/policy"
	"virtlxcd/ports"
	"virtlxcd/ports/porttest"
)

// full has a value in every field that the line format covers.
func full() *container.Definition {
	return &container.Definition{
		Name: "web", UUID: container.UUID{1, 2, 3}, Title: "a title", Description: "says \"a lot\"\nin two lines",
		Metadata: []container.Metadata{{Namespace: "urn:x", Text: `<x:a xmlns:x="urn:x"/>`}},
		Memory:   1024, CurrentMemory: 512, VCPUs: 2, OnlineVCPUs: 1, CPUSet: "0-1", Partition: "/machine/web", Arch: "i686",
		Limits: policy.Limits{
			MemoryHard: new(uint64(1)), MemorySoft: new(uint64(2)), SwapHard: new(uint64(3)), CPUShares: new(uint64(4)),
			CPUPeriod: new(uint64(5)), CPUQuota: new(int64(-1)), BlockWeight: new(uint(100)), PIDs: new(uint64(7)), CPUSet: "0",
		},
		Init: container.Init{
			Path: "/bin/sh", Args: []string{"-c", "echo  two  blanks", ""}, Env: []container.EnvVar{{Name: "A", Value: "b c"}},
			Dir: "/srv/some where", User: "joe", Group: "staff", CommandLine: "quiet  splash",
		},
		IDMap: policy.IDMap{
			Users: []policy.IDRange{{Target: 1000, Count: 10}}, Groups: []policy.IDRange{{Target: 2000, Count: 20}},
		},
		Capabilities: policy.Capabilities{Policy: policy.CapDeny, States: map[string]bool{"chown": true, "kill": false}},
		PrivateNet:   true, OnPoweroff: "destroy", OnReboot: "restart", OnCrash: "preserve", Emulator: "/bin/libvirt_lxc",
		Filesystems: []device.Filesystem{
			{Kind: device.HostDir, Source: "/srv/the web", Target: "/", ReadOnly: true, AccessMode: "passthrough"},
			{Kind: device.Memory, Target: "/tmp", Usage: 4096},
		},
		Links: []device.Link{{
			Kind: device.Bridge, Source: "br0", MAC: device.MAC{0x52, 0x54, 0, 1, 2, 3}, HostName: "vnet5", GuestName: "eth0",
			Addresses: []device.Address{{IP: netip.MustParseAddr("192.0.2.1"), Prefix: 24}},
		}},
		Consoles: []device.Console{{Kind: "pty", TargetKind: "lxc", TTY: "/dev/pts/3", Alias: "console0"}},
		Unserved: []string{"disk vda"},
	}
}

func codec(t *testing.T) *Codec { return NewCodec(NewEntropy(tidyHost(t))) }

func TestCodecRoundTrip(t *testing.T) {
	c := codec(t)
	text := c.Format(full(), ports.Format{ID: 5, Secure: true})
	assert.Contains(t, text, "id 5\n")
	parsed, err := c.Parse(text)
	require.NoError(t, err)
	assert.Equal(t, full(), parsed)
	name, uuid, hasUUID, err := c.Peek(text)
	require.NoError(t, err)
	assert.Equal(t, []any{"web", full().UUID, true}, []any{name, uuid, hasUUID})
}

func TestCodecInactiveDropsWhatIsLive(t *testing.T) {
	c := codec(t)
	definition := full()
	parsed, err := c.Parse(c.Format(definition, ports.Format{ID: 5, Inactive: true}))
	require.NoError(t, err)
	assert.Empty(t, parsed.Consoles[0].TTY)
	assert.Empty(t, parsed.Links[0].HostName)
	assert.Equal(t, full(), definition, "the argument is not changed")
}

func TestCodecCompletes(t *testing.T) {
	c := codec(t)
	first, err := c.Parse("name web\nlink bridge br0\n")
	require.NoError(t, err)
	second, err := c.Parse("name mail\nlink bridge br0\n")
	require.NoError(t, err)
	assert.NotEqual(t, first.UUID, second.UUID)
	assert.NotEqual(t, first.Links[0].MAC, second.Links[0].MAC)
	assert.Equal(t, "/sbin/init", first.Init.Path)
	assert.Len(t, first.Consoles, 1)
	_, _, hasUUID, err := c.Peek("name web\n")
	require.NoError(t, err)
	assert.False(t, hasUUID)
}

func TestCodecRefuses(t *testing.T) {
	c := codec(t)
	for document, kind := range map[string]fault.Kind{
		"":                              fault.NoName,
		"uuid 1234\nname web":           fault.BadDefinition,
		"name web\ncolour blue":         fault.Malformed,
		"name \"web":                    fault.Malformed,
		"name a/b":                      fault.BadDefinition,
		"name web\nmemory much":         fault.BadDefinition,
		"name web\nlimit speed 7":       fault.BadDefinition,
		"name web\nlimit hard":          fault.BadDefinition,
		"name web\nfilesystem mount":    fault.BadDefinition,
		"name web\nlink bridge br0 xyz": fault.BadDefinition,
		"name web\nuidmap 0 1 2":        fault.UnsupportedConfig,
		"name web\ncaps some":           fault.BadDefinition,
	} {
		_, err := c.Parse(document)
		assert.ErrorIs(t, err, kind, document)
	}
}

func TestCodecStatusRoundTrip(t *testing.T) {
	c := codec(t)
	want := &container.Status{
		ID: 42, State: lifecycle.Paused, Reason: lifecycle.ByUser, Definition: full(), Persistent: true,
		BootID: "boot 1", CgroupPath: "/machine/a b", InitPID: 43, InitStart: 44,
		Controller: container.Controller{PID: 42, Start: 41, Socket: "/run/x.sock"},
	}
	got, err := c.ParseStatus(c.FormatStatus(want))
	require.NoError(t, err)
	assert.Equal(t, want, got)
	_, err = c.ParseStatus("name web\n")
	assert.ErrorIs(t, err, fault.Malformed)
}

func TestCodecMetadata(t *testing.T) {
	c := codec(t)
	got, err := c.Metadata("<note>x</note>", "n", "urn:n")
	require.NoError(t, err)
	assert.Equal(t, container.Metadata{Namespace: "urn:n", Text: `<n:note xmlns:n="urn:n">x</n:note>`}, got)
	got, err = c.Metadata("<note a='1'/>", "n", "urn:n")
	require.NoError(t, err)
	assert.Equal(t, `<n:note xmlns:n="urn:n" a='1'/>`, got.Text)
	_, err = c.Metadata("no element", "n", "urn:n")
	assert.ErrorIs(t, err, fault.Malformed)
	_, err = c.Metadata("<note/>", "", "urn:n")
	assert.ErrorIs(t, err, fault.InvalidArgument)
}

func TestCodecTellsWhatWasDrawn(t *testing.T) {
	c := codec(t)
	for document, want := range map[string]ports.Drawn{
		"name web\n":                     {UUID: true},
		"name web\nlink bridge br0\n":    {UUID: true, Addresses: true},
		c.Format(full(), ports.Format{}): {},
	} {
		d, drawn, err := c.ParseStored(document)
		require.NoError(t, err)
		assert.Equal(t, want, drawn, document)
		_, again, err := c.ParseStored(c.Format(d, ports.Format{}))
		require.NoError(t, err)
		assert.Zero(t, again)
	}
}

func TestCodecContract(t *testing.T) {
	porttest.TestCodec(t, func(t *testing.T) porttest.CodecHarness {
		return porttest.CodecHarness{
			Codec: NewCodec(NewEntropy(tidyHost(t))),
			Document: func(name string, uuid container.UUID, address bool) string {
				text := join("name", []string{name}) + "\nlink bridge virbr0"
				if address {
					text += " 52:54:00:00:00:01"
				}
				if uuid != (container.UUID{}) {
					text += "\nuuid " + uuid.String()
				}
				return text + "\n"
			},
			Malformed: "\"", Nameless: "init /sbin/init\n",
		}
	})
}

// FuzzCodec: what is read is printed so that it reads the same, and what is refused
// says why.
func FuzzCodec(f *testing.F) {
	for _, seed := range []string{
		"name web\n", "name \"a b\"\nlimit hard 5\n", "name web\nlimit hard -5\n", "name web\ncap kill perhaps\n",
		"name web\nuidmap 0 1 2\ngidmap 0 1 2\n", "name web\nfilesystem mount /a / ro 12 mapped\n",
		"name web\nlink bridge virbr0 52:54:00:00:00:01 vnet1 eth0 192.0.2.1/24\n", "name web\nmetadata urn:x \"<a>\\n</a>\"\n",
		"name \"we\\vb\\u00a0\"\n", "name web\nunserved \"\"\n", "name web\nmemory 5\nvcpus 0\n", "id 5\nname web\nprivnet\n",
	} {
		f.Add(seed)
	}
	f.Add((&Codec{}).Format(full(), ports.Format{ID: 1}))
	f.Fuzz(func(t *testing.T, document string) {
		codec := NewCodec(NewEntropy(NewHost()))
		first, err := codec.Parse(document)
		if err != nil {
			assert.NotEmpty(t, err.Error())
			return
		}
		name, _, _, err := codec.Peek(document)
		require.NoError(t, err)
		assert.Equal(t, name, first.Name)
		how := ports.Format{ID: container.NoID, Secure: true}
		printed := codec.Format(first, how)
		again, drawn, err := codec.ParseStored(printed)
		require.NoError(t, err, printed)
		assert.Zero(t, drawn)
		assert.Equal(t, printed, codec.Format(again, how))
	})
}

// FuzzWords: a line that was made is taken apart into what it was made of.
func FuzzWords(f *testing.F) {
	f.Add("a", "b c", "")
	f.Add("\v", "\u00a0x", "\\\"")
	f.Add("\xff", "\x85", "\n")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		words, err := split(join("key", []string{a, b, c}))
		require.NoError(t, err)
		assert.Equal(t, []string{"key", a, b, c}, words)
	})
}
