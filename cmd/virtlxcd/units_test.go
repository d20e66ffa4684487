package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/settings"
)

// unit is a parsed unit file: values of "Section.Key" in order.
type unit map[string][]string

func readUnit(t *testing.T, name string) unit {
	t.Helper()
	u, section := unit{}, ""
	for number, line := range strings.Split(read(t, "units", name), "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "", strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			require.True(t, strings.HasSuffix(line, "]"), "%s:%d", name, number+1)
			section = strings.Trim(line, "[]")
		default:
			key, value, found := strings.Cut(line, "=")
			require.True(t, found && section != "", "%s:%d: no assignment in a section", name, number+1)
			u[section+"."+key] = append(u[section+"."+key], value)
		}
	}
	return u
}

// one is the value of a key that is given once.
func (u unit) one(t *testing.T, key string) string {
	t.Helper()
	require.Len(t, u[key], 1, key)
	return u[key][0]
}

// read returns a file below this directory.
func read(t *testing.T, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	return string(content)
}

var socketUnits = []string{"virtlxcd.socket", "virtlxcd-ro.socket", "virtlxcd-admin.socket"}

func TestUnitFiles(t *testing.T) {
	entries, err := os.ReadDir("units")
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
		assert.NotEmpty(t, readUnit(t, entry.Name())["Unit.Description"], entry.Name())
	}
	assert.ElementsMatch(t, append([]string{"virtlxcd.service", "virt-guest-shutdown.target"}, socketUnits...), names,
		"systemctl and other packages know them by these names")
}

// The daemon tells activated sockets apart by the unit's name, which systemd
// passes unless FileDescriptorName= says otherwise, and clients look for the paths.
func TestSocketUnits(t *testing.T) {
	paths := settings.PathsBelow("")
	for name, want := range map[string]struct{ path, mode string }{
		"virtlxcd.socket":       {paths.Socket, "0666"},
		"virtlxcd-ro.socket":    {paths.ReadOnly, "0666"},
		"virtlxcd-admin.socket": {paths.Admin, "0600"},
	} {
		t.Run(name, func(t *testing.T) {
			u := readUnit(t, name)
			assert.Equal(t, want.path, u.one(t, "Socket.ListenStream"))
			assert.Equal(t, want.mode, u.one(t, "Socket.SocketMode"))
			assert.Equal(t, "virtlxcd.service", u.one(t, "Socket.Service"))
			assert.Equal(t, "virtlxcd.service", u.one(t, "Unit.Before"))
			assert.Equal(t, "yes", u.one(t, "Socket.RemoveOnStop"))
			assert.Equal(t, "sockets.target", u.one(t, "Install.WantedBy"))
			assert.NotContains(t, u, "Socket.FileDescriptorName")
			assert.NotContains(t, u, "Socket.Accept", "one daemon serves all clients")
			if name != "virtlxcd.socket" {
				assert.Equal(t, "virtlxcd.socket", u.one(t, "Unit.BindsTo"))
				assert.Equal(t, "virtlxcd.socket", u.one(t, "Unit.After"))
			}
		})
	}
}

func TestServiceUnit(t *testing.T) {
	u := readUnit(t, "virtlxcd.service")
	for key, want := range map[string]string{
		"Service.Type":               "notify",
		"Service.NotifyAccess":       "main",
		"Service.ExecStart":          "/usr/sbin/virtlxcd $VIRTLXCD_ARGS",
		"Service.ExecReload":         "/bin/kill -HUP $MAINPID",
		"Service.Environment":        `VIRTLXCD_ARGS="--timeout 120"`,
		"Service.KillMode":           "process",
		"Service.Delegate":           "yes",
		"Service.OOMPolicy":          "continue",
		"Service.Restart":            "on-failure",
		"Service.RestartSec":         "1s",
		"Unit.StartLimitIntervalSec": "0",
		"Service.LimitNOFILE":        "8192:524288",
		"Service.TasksMax":           "32768",
		"Service.LimitMEMLOCK":       "64M",
		"Unit.Conflicts":             "libvirtd.service",
		"Install.WantedBy":           "multi-user.target",
	} {
		assert.Equal(t, want, u.one(t, key), key)
	}
	assert.Contains(t, u["Service.EnvironmentFile"], "-/etc/default/virtlxcd")
	assert.Contains(t, u["Service.EnvironmentFile"], "-/etc/sysconfig/virtlxcd")
	assert.NotContains(t, u, "Unit.Requires", "a masked socket could not be met, and masking is how they are turned off")
	assert.NotContains(t, u, "Unit.BindsTo", "as above")
	assert.Subset(t, u["Unit.Wants"], socketUnits)
	assert.Subset(t, u["Unit.After"], socketUnits)
	assert.ElementsMatch(t, socketUnits, u["Install.Also"])
	assert.Subset(t, u["Unit.After"], []string{
		"dbus.service", "systemd-machined.service", "systemd-logind.service", "local-fs.target", "remote-fs.target",
		"network.target", "apparmor.service",
	})
}

// inherited are beginnings of directives whose effect every container would
// inherit and could not undo.
var inherited = []string{
	"SystemCall", "Restrict", "LockPersonality", "MemoryDeny", "NoNewPrivileges", "Capability", "AmbientCapabilities",
	"Private", "Protect", "ReadOnlyPaths", "ReadWritePaths", "InaccessiblePaths", "BindPaths", "TemporaryFileSystem",
	"Root", "MountFlags", "Device", "IPAddress", "Memory", "CPU", "IO", "OOMScoreAdjust", "UMask", "Nice", "LimitCORE",
	"LimitNPROC", "User", "Group", "DynamicUser", "SecureBits", "Personality", "RuntimeDirectory",
}

func TestNothingThatContainersWouldInherit(t *testing.T) {
	for key := range readUnit(t, "virtlxcd.service") {
		for _, beginning := range inherited {
			assert.False(t, strings.HasPrefix(key, "Service."+beginning), key)
		}
	}
}

// Who uncomments the line must get what the unit does without it.
func TestDefaultArguments(t *testing.T) {
	unit := readUnit(t, "virtlxcd.service").one(t, "Service.Environment")
	assert.Contains(t, read(t, "default", "virtlxcd"), "\n#"+unit+"\n")
}
