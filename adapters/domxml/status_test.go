package domxml_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/ports"
)

func TestStatusRoundTrip(t *testing.T) {
	codec := newCodec()
	rapid.Check(t, func(t *rapid.T) {
		def := definition(t)
		for i := range def.Consoles {
			def.Consoles[i].TTY = fmt.Sprintf("/dev/pts/%d", i)
			def.Consoles[i].Alias = fmt.Sprintf("console%d", i)
		}
		for i := range def.Links {
			def.Links[i].HostName = fmt.Sprintf("vnet%d", i)
		}
		def.Filesystems = append(def.Filesystems, device.Filesystem{Kind: device.HostDir, Source: "/", Target: "/"})
		status := &container.Status{
			ID:         rapid.IntRange(-1, 1<<22).Draw(t, "id"),
			State:      rapid.SampledFrom([]lifecycle.State{lifecycle.Starting, lifecycle.Running, lifecycle.Paused}).Draw(t, "state"),
			Reason:     rapid.SampledFrom([]lifecycle.Reason{lifecycle.Unknown, lifecycle.Booted, lifecycle.ByUser, lifecycle.FailedReason}).Draw(t, "reason"),
			Definition: def,
			Persistent: rapid.Bool().Draw(t, "persistent"),
			BootID:     optionalText(t, "boot", lineText),
			CgroupPath: optionalText(t, "cgroup", anyText),
			Controller: container.Controller{
				PID:    rapid.IntRange(0, 1<<22).Draw(t, "pid"),
				Start:  rapid.Uint64().Draw(t, "start"),
				Socket: optionalText(t, "socket", anyText),
			},
			InitPID:   rapid.IntRange(0, 1<<22).Draw(t, "init"),
			InitStart: rapid.Uint64().Draw(t, "init start"),
		}
		printed := codec.FormatStatus(status)
		again, err := codec.ParseStatus("<!-- header -->\n\n" + printed)
		require.NoError(t, err, printed)
		assert.Equal(t, status, again, printed)
	})
}

// TestStatusOfAnotherDaemon reads what has only the stored facts everyone has.
func TestStatusOfAnotherDaemon(t *testing.T) {
	inner := sketch{attrs: " id='42'"}.String()
	status, err := newCodec().ParseStatus("<!--\nWARNING\n-->\n<domstatus state='paused' reason='user' pid='42'><init pid='43'/>" + inner + "</domstatus>")
	require.NoError(t, err)
	assert.Equal(t, 42, status.ID)
	assert.Equal(t, 42, status.Controller.PID)
	assert.Equal(t, 43, status.InitPID)
	assert.Equal(t, lifecycle.Paused, status.State)
	assert.Equal(t, lifecycle.ByUser, status.Reason)
	assert.Equal(t, "a", status.Definition.Name)
	assert.False(t, status.Persistent)
}

func TestStatusRejections(t *testing.T) {
	inner := sketch{}.String()
	with := func(more string) string { return "<domstatus state='running'>" + more + inner + "</domstatus>" }
	attrs := func(text string) string { return "<domstatus " + text + ">" + inner + "</domstatus>" }
	number := func(name, element, value string) string {
		return "Invalid value for attribute '" + name + "' in element '" + element + "': '" + value + "'. Expected non-negative integer value"
	}
	for document, text := range map[string]string{
		inner:                                        "expecting root element of 'domstatus', not 'domain'",
		attrs("state='zz' pid='1'"):                  "Invalid value for attribute 'state' in element 'domstatus': 'zz'.",
		attrs("pid='1'"):                             "Invalid value for attribute 'state' in element 'domstatus': ''.",
		attrs("state=''"):                            "Invalid value for attribute 'state' in element 'domstatus': ''.",
		attrs("state='running' pid='-1'"):            number("pid", "domstatus", "-1"),
		attrs("state='running' pid='2147483648'"):    number("pid", "domstatus", "2147483648"),
		with("<init pid='x'/>"):                      number("pid", "init", "x"),
		with("<init start='18446744073709551616'/>"): number("start", "init", "18446744073709551616"),
		with("<controller start='-1'/>"):             number("start", "controller", "-1"),
		"<domstatus state='running'>" + sketch{attrs: " id='x'"}.String() + "</domstatus>":          number("id", "domain", "x"),
		"<domstatus state='running'>" + sketch{attrs: " id='2147483648'"}.String() + "</domstatus>": number("id", "domain", "2147483648"),
		"<domstatus state='running' pid='1'/>":                                                      "no domain in the status",
		"<domstatus state='running'><a>" + inner + "</a></domstatus>":                               "no domain in the status",
		"<domstatus state='running'><domain><name>a</name></domain></domstatus>":                    "missing domain type attribute",
		"<domstatus state='running'":                                                                "(domain_status):1: unexpected EOF\n<domstatus state='running'\n--------------------------^",
	} {
		status, err := newCodec().ParseStatus(document)
		require.Error(t, err, document)
		assert.Nil(t, status, "no half of one")
		assert.EqualError(t, err, text)
	}
}

// TestStatusDocument pins what is on disk: another version of the daemon reads it.
func TestStatusDocument(t *testing.T) {
	codec := newCodec()
	def, err := codec.Parse(golden(t, "example1.input.xml"))
	require.NoError(t, err)
	def.Consoles[0].TTY, def.Consoles[0].Alias = "/dev/pts/3", "console0"
	status := &container.Status{
		ID: 7, State: lifecycle.Paused, Reason: lifecycle.ByUser, Definition: def, Persistent: true, BootID: "b-1", CgroupPath: "/machine/x&y",
		Controller: container.Controller{PID: 41, Start: 18446744073709551615, Socket: "/run/s"}, InitPID: 2147483647, InitStart: 9,
	}
	printed := codec.FormatStatus(status)
	head, document, _ := strings.Cut(printed, "  <domain ")
	assert.Equal(t, `<domstatus state='paused' reason='user' pid='41' persistent='yes'>
  <init pid='2147483647' start='9'/>
  <controller start='18446744073709551615' socket='/run/s'/>
  <host boot='b-1'/>
  <cgroup path='/machine/x&amp;y'/>
`, head)
	document, _, _ = strings.Cut("  <domain "+document, "</domstatus>")
	assert.Equal(t, codec.Format(def, ports.Format{ID: 7}), strings.ReplaceAll(strings.TrimPrefix(document, "  "), "\n  ", "\n"), "the live document, one level in")
	again, err := codec.ParseStatus(printed)
	require.NoError(t, err)
	assert.Equal(t, status, again)

	status.Definition = nil
	_, err = codec.ParseStatus(codec.FormatStatus(status))
	require.EqualError(t, err, "no domain in the status")
}

// TestStatusKeepsWhatRuns: names that were chosen at start, terminals and a
// missing access mode are facts here, and wishes in a client's document.
func TestStatusKeepsWhatRuns(t *testing.T) {
	inner := devices("<filesystem><source dir='/'/><target dir='/'/></filesystem>" + bridge + "<target dev='vnet5'/><alias name='net0'/></interface>" +
		"<console tty='/dev/pts/1'><alias name='console0'/></console><console><source path='/dev/pts/2'/></console><console type='file' tty='/dev/pts/9'><source path='/log'/></console>")
	status, err := newCodec().ParseStatus("<domstatus state='running' reason='no such'>" + inner + "</domstatus>")
	require.NoError(t, err)
	live := status.Definition
	assert.Equal(t, lifecycle.Unknown, status.Reason, "a later daemon may know more of them")
	assert.Equal(t, container.NoID, status.ID)
	assert.Equal(t, "vnet5", live.Links[0].HostName)
	assert.Empty(t, live.Filesystems[0].AccessMode)
	assert.Equal(t, "/dev/pts/1", live.Consoles[0].TTY)
	assert.Equal(t, "console0", live.Consoles[0].Alias)
	assert.Equal(t, "/dev/pts/2", live.Consoles[1].TTY)
	assert.Equal(t, "/dev/pts/9", live.Consoles[2].TTY, "the source of another kind is no terminal")

	def, err := newCodec().Parse(inner)
	require.NoError(t, err)
	assert.Empty(t, def.Links[0].HostName)
	assert.Equal(t, "passthrough", def.Filesystems[0].AccessMode)
	for _, console := range def.Consoles {
		assert.Empty(t, console.TTY+console.Alias)
	}
}

// statusOf is a running container of the definition.
func statusOf(def *container.Definition) *container.Status {
	return &container.Status{ID: 5, State: lifecycle.Running, Reason: lifecycle.Booted, Definition: def}
}
