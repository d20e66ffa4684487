package store

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/ports"
	"virtlxcd/ports/porttest"
)

// fullDisk is one on which files can be made and nothing be written to them.
type fullDisk struct{ disk }

func (d fullDisk) Create(path string, mode os.FileMode) (file, error) {
	f, err := d.disk.Create(path, mode)
	return fullFile{f}, err
}

type fullFile struct{ file }

func (fullFile) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestContract(t *testing.T) {
	porttest.TestStore(t, func(t *testing.T) porttest.StoreHarness {
		dir := t.TempDir()
		s := openStore(t, dir)
		damage := func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 200)) }
		return porttest.StoreHarness{
			Store:  s,
			Reopen: func(t *testing.T) ports.Store { return openStore(t, dir) },
			StripUUID: func(t *testing.T, name string) {
				text, err := os.ReadFile(s.configPath(name))
				require.NoError(t, err)
				d, err := s.codec.Parse(string(text))
				require.NoError(t, err)
				d.UUID = container.UUID{}
				require.NoError(t, os.WriteFile(s.configPath(name), []byte(encode(d)), 0o600))
			},
			Damage:       func(t *testing.T, name string) { damage(t, s.configPath(name)) },
			DamageStatus: func(t *testing.T, name string) { damage(t, s.statusPath(name)) },
			Fill: func(*testing.T) func() {
				s.disk = fullDisk{unflushed{osDisk{}}}
				return func() { s.disk = unflushed{osDisk{}} }
			},
			NewBoot: func(t *testing.T) ports.Store {
				require.NoError(t, os.RemoveAll(filepath.Join(dir, "run")))
				return openStore(t, dir)
			},
		}
	})
}
