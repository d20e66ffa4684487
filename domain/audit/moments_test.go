package audit_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/audit"
	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
)

const uuid = "c7a5fdbd-edaf-9455-926a-d65c16db1809"

func web(t *testing.T) container.Identity {
	id, err := container.ParseUUID(uuid)
	require.NoError(t, err)
	return container.Identity{Name: "web", UUID: id, ID: 4711}
}

// printed shows records; text is in angle brackets.
func printed(records ...audit.Record) string {
	var out strings.Builder
	for _, r := range records {
		fmt.Fprintf(&out, "%d %t %d:", r.Kind, r.Success, r.Container.ID)
		for _, f := range r.Fields {
			value := f.Value
			if f.Missing {
				value = "?"
			}
			if f.Text {
				value = "<" + value + ">"
			}
			out.WriteString(" " + f.Name + "=" + value)
		}
		out.WriteByte('\n')
	}
	return out.String()
}

func TestStarted(t *testing.T) {
	definition := &container.Definition{
		Memory: 524288, VCPUs: 4, OnlineVCPUs: 2,
		Filesystems: []device.Filesystem{{Kind: device.HostDir, Source: "/srv/a b", Target: "/"}, {Kind: device.Memory, Target: "/tmp"}},
		Links:       []device.Link{{MAC: device.MAC{0x52, 0x54, 0, 0x0a, 0xbc, 1}}, {}},
		Consoles:    []device.Console{{Kind: "pty", TTY: "/dev/pts/3"}},
	}
	want := `2501 true 4711: virt=lxc resrc=fs reason=start vm=<web> uuid=` + uuid + ` old-fs=<?> new-fs=</srv/a b>
2501 true 4711: virt=lxc resrc=fs reason=start vm=<web> uuid=` + uuid + ` old-fs=<?> new-fs=<?>
2501 true 4711: virt=lxc resrc=net reason=start vm=<web> uuid=` + uuid + ` old-net=? new-net=52:54:00:0a:bc:01
2501 true 4711: virt=lxc resrc=net reason=start vm=<web> uuid=` + uuid + ` old-net=? new-net=?
2501 true 4711: virt=lxc resrc=chardev reason=start vm=<web> uuid=` + uuid + ` old-chardev=<?> new-chardev=</dev/pts/3>
2501 true 4711: virt=lxc resrc=mem reason=start vm=<web> uuid=` + uuid + ` old-mem=0 new-mem=524288
2501 true 4711: virt=lxc resrc=vcpu reason=start vm=<web> uuid=` + uuid + ` old-vcpu=0 new-vcpu=2
2500 %t 4711: virt=lxc op=start reason=%s vm=<web> uuid=` + uuid + ` vm-pid=%d
`
	assert.Equal(t, fmt.Sprintf(want, true, "booted", 4712),
		printed(audit.Started(definition, web(t), 4712, audit.Booted, true)...))
	assert.Equal(t, fmt.Sprintf(want, false, "reboot", 0),
		printed(audit.Started(definition, web(t), 0, audit.Rebooted, false)...), "only the start itself failed")
}

func TestInitAndStop(t *testing.T) {
	assert.Equal(t, "2500 true 4711: virt=lxc op=init vm=<web> uuid="+uuid+" vm-pid=4712 init-pid=4713 pid-ns=4026532001\n",
		printed(audit.Init(web(t), 4712, 4713, 4026532001)))
	for _, reason := range []string{audit.Destroyed, audit.Shutdown, audit.Rebooted, audit.Failed} {
		assert.Equal(t, "2500 true 4711: virt=lxc op=stop reason="+reason+" vm=<web> uuid="+uuid+" vm-pid=4712\n",
			printed(audit.Stopped(web(t), 4712, reason)))
	}
}

// TestRecordsShareNothing: a writer may add to the fields of one.
func TestRecordsShareNothing(t *testing.T) {
	records := audit.Started(&container.Definition{VCPUs: 1, OnlineVCPUs: 1}, web(t), 1, audit.Booted, true)
	before := printed(records[1:]...)
	records[0].Fields = append(records[0].Fields, audit.Field{Name: "x"})
	records[0].Fields[0].Value = "changed"
	assert.Equal(t, before, printed(records[1:]...))
}

// TestNothingGiven: a container without devices still has memory and processors.
func TestNothingGiven(t *testing.T) {
	records := audit.Started(&container.Definition{}, web(t), 0, audit.Booted, true)
	assert.Equal(t, `2501 true 4711: virt=lxc resrc=mem reason=start vm=<web> uuid=`+uuid+` old-mem=0 new-mem=0
2501 true 4711: virt=lxc resrc=vcpu reason=start vm=<web> uuid=`+uuid+` old-vcpu=0 new-vcpu=0
2500 true 4711: virt=lxc op=start reason=booted vm=<web> uuid=`+uuid+` vm-pid=0
`, printed(records...))
}

// TestOnlyWhatOthersChoseIsText: values that are not marked as text are printed as
// they are, so none may have a blank or a quote in it, whatever the definition says.
func TestOnlyWhatOthersChoseIsText(t *testing.T) {
	hostile := "a b\"c'd\\e=f\n"
	id := web(t)
	id.Name = hostile
	definition := &container.Definition{
		Filesystems: []device.Filesystem{{Source: hostile, Target: hostile}},
		Links:       []device.Link{{HostName: hostile, MAC: device.MAC{255, 255, 255, 255, 255, 255}}},
		Consoles:    []device.Console{{TTY: hostile, Alias: hostile}},
		Memory:      1<<64 - 1, VCPUs: 1<<32 - 1, OnlineVCPUs: 1<<32 - 1,
	}
	records := append(audit.Started(definition, id, 1<<22, audit.Booted, false), audit.Init(id, 1, 2, 1<<64-1), audit.Stopped(id, 1, audit.Failed))
	for _, record := range records {
		names := map[string]bool{}
		for _, field := range record.Fields {
			assert.False(t, names[field.Name], "%s twice in one record", field.Name)
			names[field.Name] = true
			if !field.Text {
				assert.NotContains(t, field.Value, "a b", field.Name)
				assert.False(t, strings.ContainsAny(field.Value, " \"'\\=\n"), "%s=%q", field.Name, field.Value)
			}
			assert.False(t, field.Missing && field.Value != "" && field.Text, "%s is both there and missing", field.Name)
		}
		assert.True(t, names["virt"] && names["vm"] && names["uuid"])
	}
}
