package domxml_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/domxml"
	"virtlxcd/domain/container"
	"virtlxcd/ports"
)

// counting hands out identities that a test can predict.
type counting struct{}

func (counting) NewUUID() (container.UUID, error) {
	return container.ParseUUID("360360e4-65a0-4c21-ad40-d657ecbd637c")
}
func (counting) NewMAC() ([6]byte, error) { return [6]byte{0x52, 0x54, 0, 1, 2, 3}, nil }

func newCodec() *domxml.Codec {
	return domxml.New(counting{}, domxml.Options{Arch: "x86_64", Emulator: "/usr/lib/libvirt/libvirt_lxc"})
}

var (
	inactive = ports.Format{ID: container.NoID, Inactive: true}
	running  = ports.Format{ID: 7}
)

func golden(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return string(content)
}

// TestExamples follows a definition from a client's document to what is shown
// before and during its first run.
func TestExamples(t *testing.T) {
	for _, example := range []struct {
		name string
		id   int
		ttys []string
		run  func(*container.Definition)
	}{
		{"example1", 17152, []string{"/dev/pts/3"}, func(*container.Definition) {}},
		{"example2", 25952, []string{"/dev/pts/3", "/dev/pts/4"}, func(d *container.Definition) {
			d.Links[0].HostName = "vnet23"
			d.Links[1].GuestName = "eth0"
		}},
		{"example3", 30241, []string{"/dev/pts/3"}, func(*container.Definition) {}},
	} {
		t.Run(example.name, func(t *testing.T) {
			codec := newCodec()
			def, err := codec.Parse(golden(t, example.name+".input.xml"))
			require.NoError(t, err)
			assert.Equal(t, golden(t, example.name+".inactive.xml"), codec.Format(def, inactive))

			live := def.Clone()
			live.Partition = "/machine"
			for i, tty := range example.ttys {
				live.Consoles[i].TTY = tty
				live.Consoles[i].Alias = "console" + string(rune('0'+i))
			}
			example.run(live)
			shown := codec.Format(live, ports.Format{ID: example.id})
			assert.Equal(t, golden(t, example.name+".live.xml"), shown)

			// What a client read while it ran defines the same container again.
			again, err := codec.Parse(shown)
			require.NoError(t, err)
			again.Partition = def.Partition
			if example.name == "example2" {
				assert.Equal(t, "eth0", again.Links[1].GuestName, "a name inside is kept")
				again.Links[1].GuestName = ""
			}
			assert.Equal(t, def, again)
		})
	}
}
